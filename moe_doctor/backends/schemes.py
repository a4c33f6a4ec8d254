"""The constraint on quantization: which pairs of weight and activation format, and where.

Source: `_supports_quant_scheme` of each experts class. Asked after the activation and before the
parallel sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from moe_doctor.backends.constraints import Device
from moe_doctor.backends.situation import Rejection, Situation

Pair = tuple[str | None, str | None]
"""(weight_key, activation_key) in the engine's names."""

PLAIN: Pair = (None, None)
"""Not quantized."""


class Pairs(NamedTuple):
    """Some formats and the device that they need."""

    pairs: frozenset[Pair]
    """Formats."""
    device: Device | None = None
    """What the device must be for them; None = any that the kernel runs on."""
    any_activation: bool = False
    """Whether only the weight format is looked at."""

    def hold(self, pair: Pair, situation: Situation) -> bool:
        """Whether this row takes `pair` here."""
        known = pair in self.pairs
        if self.any_activation:
            known = any(pair[0] == weight for weight, _ in self.pairs)
        return known and (self.device is None or self.device.rejects(situation) is None)


@dataclass(frozen=True, slots=True)
class QuantSchemes:
    """All formats that a kernel takes."""

    rows: tuple[Pairs, ...]
    """A pair must hold in one of them."""

    stage: ClassVar[int] = 3

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when no row takes the layer's formats."""
        quant = situation.query.quant
        pair: Pair = PLAIN if quant is None else (quant.weight_key, quant.activation_key)
        for row in self.rows:
            if row.hold(pair, situation):
                return None
        weight, activation = (key or "plain" for key in pair)
        return Rejection(
            f"kernel does not support quantization scheme {situation.scheme_text}",
            f"takes other formats than {weight} weights with {activation} inputs "
            f"on {situation.facts.device}",
        )


def schemes(*rows: Pairs) -> QuantSchemes:
    """`QuantSchemes` of some rows."""
    return QuantSchemes(rows)


def pairs(*items: Pair, device: Device | None = None, any_activation: bool = False) -> Pairs:
    """`Pairs` of some formats."""
    return Pairs(frozenset(items), device, any_activation)
