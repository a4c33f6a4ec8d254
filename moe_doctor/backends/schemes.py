"""The constraint on quantization: which pairs of weight and activation format, and where.

Source: `_supports_quant_scheme` of each experts class. Asked after the activation and before the
parallel sizes.
"""

from __future__ import annotations

import re
from typing import ClassVar

from moe_doctor.backends.constraints import Constraint, Device, Question, settle
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.record import record

Pair = tuple[str | None, str | None]
"""(weight_key, activation_key) in the engine's names."""

PLAIN: Pair = (None, None)
"""Not quantized."""


class Pairs(NamedTuple):
    """Some formats and the device that they need."""

    pairs: frozenset[Pair]
    """Formats; those of `any_activation` have None as their second half."""
    device: Device | None = None
    """What the device must be for them; None = any that the kernel runs on."""
    any_activation: bool = False
    """Whether only the weight format is looked at."""

    def hold(self, pair: Pair, situation: Situation) -> bool:
        """Whether this row takes `pair` here."""
        known = (pair[0], None) in self.pairs if self.any_activation else pair in self.pairs
        return known and (self.device is None or self.device.rejects(situation) is None)


@record
class QuantSchemes:
    """All formats that a kernel takes."""

    rows: tuple[Pairs | RefinedBlocks | IntegerGroups, ...]
    """A pair must hold in one of them."""

    stage: ClassVar[int] = 3

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when no row takes the layer's formats."""
        pair = _pair(situation)
        for row in self.rows:
            if row.hold(pair, situation):
                return None
        return _refuse_pair(pair, situation)

    def settle(self, situation: Situation) -> Question:
        """The rows whose device this machine is, as one set of pairs and one of weights."""
        held = tuple(
            row for row in self.rows if row.device is None or row.device.rejects(situation) is None
        )
        plain = [row for row in held if isinstance(row, Pairs) and not row.any_activation]
        pairs = frozenset(pair for row in plain for pair in row.pairs)
        others = tuple(row for row in held if row not in plain)

        def rejects(situation: Situation) -> Rejection | None:
            pair = _pair(situation)
            if pair in pairs:
                return None
            for row in others:
                if row.hold(pair, situation):
                    return None
            return _refuse_pair(pair, situation)

        return rejects


def _pair(situation: Situation) -> Pair:
    quant = situation.query.quant
    return PLAIN if quant is None else (quant.weight_key, quant.activation_key)


_BLOCKS = re.compile(r"QuantKey\((\w+),scale\(\w+,static,GroupShape\(row=(\d+), ?col=(\d+)\)")
"""A format without a name of its own: dtype, and rows and columns of a block."""


def spoken_format(key: str | None) -> str:
    """A format's name; `f8e4m3fn 64x64` for one that the engine only describes."""
    blocks = _BLOCKS.match(key or "")
    return f"{blocks[1]} {blocks[2]}x{blocks[3]}" if blocks else key or "plain"


def _refuse_pair(pair: Pair, situation: Situation) -> Rejection:
    weight, activation = (spoken_format(key) for key in pair)
    named = "" if situation.terse else f" {situation.scheme_text}"
    return Rejection(
        f"kernel does not support quantization scheme{named}",
        f"takes other formats than {weight} weights with {activation} inputs "
        f"on {situation.facts.device}",
        situation.scheme_error,
    )


@record
class OnlyFor:
    """A condition that holds for quantized layers alone, or for plain ones alone.

    Until 0.19.1 the unquantized oracle has conditions of its own and asks no class.
    """

    inner: Constraint
    """The condition."""
    quantized: bool
    """Whose it is."""

    @property
    def stage(self) -> int:
        """When the inner condition is asked."""
        return self.inner.stage

    def rejects(self, situation: Situation) -> Rejection | None:
        """The inner condition's reason, for the layers that it holds for."""
        if (situation.query.quant is not None) is not self.quantized:
            return None
        return self.inner.rejects(situation)

    def settle(self, situation: Situation) -> Question | None:
        """Nothing where the inner condition always holds on this machine."""
        return None if settle(self.inner, situation) is None else self.rejects


def quantized_only(inner: Constraint) -> OnlyFor:
    """`inner` for quantized layers."""
    return OnlyFor(inner, quantized=True)


def plain_only(inner: Constraint) -> OnlyFor:
    """`inner` for layers without quantization."""
    return OnlyFor(inner, quantized=False)


class RefinedBlocks(NamedTuple):
    """Weights whose scale blocks were cut finer to fit a shard (oracle/fp8.py of 0.29.0)."""

    device: Device
    """What the device must be."""

    @property
    def words(self) -> str:
        """The formats for a reader."""
        return "FP8 blocks cut finer x kFp8Dynamic128Sym"

    def hold(self, pair: Pair, situation: Situation) -> bool:
        """Whether `pair` is a weight with FP8 blocks and inputs scaled per 128 values."""
        weight, activation = pair
        if activation != "kFp8Dynamic128Sym" or weight is None:
            return False
        if not weight.startswith(REFINED_PREFIX):
            return False
        flat = weight.startswith(f"{REFINED_PREFIX}1,") or ", col=1)" in weight
        return not flat and self.device.rejects(situation) is None


REFINED_PREFIX = "QuantKey(f8e4m3fn,scale(f32,static,GroupShape(row="
"""How a query names such a weight: as vLLM prints a key that it has no constant for."""


def refined_blocks(device: Device) -> RefinedBlocks:
    """`RefinedBlocks` on a device."""
    return RefinedBlocks(device)


class IntegerGroups(NamedTuple):
    """Unsigned integer weights of 2 to 8 bits with a scale per channel or per group.

    vLLM describes them instead of naming them (fused_humming_moe.py of 0.29.0,
    _is_supported_wna16_weight_key).
    """

    inputs: frozenset[str | None]
    """Activation formats; None = not quantized."""
    device: Device | None = None
    """What the device must be; None = any that the kernel runs on."""

    @property
    def words(self) -> str:
        """The formats for a reader."""
        inputs = ", ".join(sorted(one or "plain" for one in self.inputs))
        return f"unsigned integers of 2 to 8 bits by channel or group x {inputs}"

    def hold(self, pair: Pair, situation: Situation) -> bool:
        """Whether `pair` is such a weight with one of the inputs."""
        weight, activation = pair
        return weight is not None and activation in self.inputs and bool(_INTEGERS.match(weight))


_INTEGERS = re.compile(
    r"QuantKey\((?:u8|uint\d(?:b\d+)?),"
    r"scale\(\w+,static,(?:per_channel|GroupShape\(row=1, col=[1-9]\d*\))\),a?symmetric\)$"
)
"""How vLLM prints the key of such a weight: dtype, dtype of the scales, values per scale."""


def integer_groups(*inputs: str | None) -> IntegerGroups:
    """`IntegerGroups` with these inputs."""
    return IntegerGroups(frozenset(inputs))


def schemes(*rows: Pairs | RefinedBlocks | IntegerGroups) -> QuantSchemes:
    """`QuantSchemes` of some rows."""
    return QuantSchemes(rows)


def pairs(*items: Pair, device: Device | None = None, any_activation: bool = False) -> Pairs:
    """`Pairs` of some formats."""
    if any_activation:
        items = tuple((weight, None) for weight, _ in items)
    return Pairs(frozenset(items), device, any_activation)
