"""Which expert modules an ignore list takes out, by the grammar of each quantization method.

A list is long (hundreds of patterns) and mostly about attention, so patterns that cannot reach
experts are dropped once, and the rest are matched against a layer's module names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.models.patterns import Matcher, compile_pattern
from moe_doctor.models.quantized_layers import LayerQuantization, Rules

PLAIN = ("model.", "", "backbone.", "transformer.blocks.")
"""What stands before `layers.N` in checkpoints and in engines."""
NESTED = ("language_model.model.", "model.language_model.", "", "backbone.", "transformer.blocks.")
"""The same for a language model inside a wrapper."""
PREFIXES = tuple(dict.fromkeys((*PLAIN, *NESTED)))
"""Both, where it is not known which."""

PROJECTIONS = ("gate_proj", "up_proj", "down_proj", "w1", "w2")


class ExpertModules:
    """Names of the expert modules of a model, and the matchers made for its one ignore list."""

    def __init__(self, block: str, *, nested: bool = False) -> None:
        self.block = block
        """Path of the experts below a decoder layer, such as `mlp.experts`."""
        self.prefixes = NESTED if nested else PLAIN
        """What may stand before `layers.N`; a language model inside a wrapper has another one."""
        self.skipped: list[str] = []
        """Expressions that were not tried, because matching them could take forever."""
        self._matchers: list[Matcher] | None = None
        self._layers: LayerQuantization | None = None
        self._entries: dict[str, object] | None = None

    def names(self, layer: int) -> tuple[str, ...]:
        """Module paths that stand for the experts of one layer."""
        return tuple(f"{prefix}layers.{layer}.{self.block}" for prefix in self.prefixes)

    def rules(
        self, method: str, patterns: tuple[str, ...], raw: Mapping[str, Any], layer: int
    ) -> Rules | None:
        """The declaration's rules for one layer's experts; None where they stay unquantized."""
        if self._layers is None:
            self._layers = LayerQuantization(method, raw, patterns, self.skipped)
        names = self.names(layer)
        if self._layers.known:
            return self._layers.rules(names)
        if self._matchers is None:
            self._matchers = self._compile(method, patterns)
        if not self._matchers:
            return ()
        paths = _paths(names)
        return None if any(matcher.matches(names, paths) for matcher in self._matchers) else ()

    def entry(self, layers: Mapping[str, Any], layer: int) -> object | None:
        """Entry of `quantized_layers` for the experts of a layer: theirs or the first below."""
        if self._entries is None:
            self._entries = {}
            for key, value in layers.items():
                head, word, rest = str(key).partition(".experts")
                if word and (not rest or rest.startswith(".")):
                    found = {} if value is None else value
                    if rest:
                        self._entries.setdefault(head + word, found)
                    else:
                        self._entries[head + word] = found
        named = (name for name in self.names(layer) if name in self._entries)
        return next((self._entries[name] for name in named), None)

    def _compile(self, method: str, patterns: tuple[str, ...]) -> list[Matcher]:
        made = (
            compile_pattern(method, pattern, self.block, self.skipped)
            for pattern in dict.fromkeys(patterns)
        )
        return [matcher for matcher in made if matcher is not None]


def _paths(names: tuple[str, ...]) -> tuple[str, ...]:
    """Module paths of the first expert's projections."""
    return tuple(f"{name}.0.{projection}" for name in names for projection in PROJECTIONS)
