"""Which expert modules an ignore list takes out, by the grammar of each quantization method.

A list is long (hundreds of patterns) and mostly about attention, so patterns that cannot reach
experts are dropped once, and the rest are matched against a layer's module names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.models.patterns import Matcher, compile_pattern, compile_regex

PREFIXES = (
    "model.",
    "",
    "backbone.",
    "language_model.model.",
    "model.language_model.",
    "transformer.blocks.",
)
"""What stands before `layers.N` in checkpoints and in engines."""

PROJECTIONS = ("gate_proj", "up_proj", "down_proj", "w1", "w2")
WHOLE_TARGETS = frozenset({"Linear", "FusedMoE", "MoE"})
"""Targets of compressed-tensors that mean every module of a class."""


class ExpertModules:
    """Names of the expert modules of a model, and the matchers made for its one ignore list."""

    def __init__(self, block: str) -> None:
        self.block = block
        """Path of the experts below a decoder layer, such as `mlp.experts`."""
        self.skipped: list[str] = []
        """Expressions that were not tried, because matching them could take forever."""
        self._matchers: list[Matcher] | None = None

    def names(self, layer: int) -> tuple[str, ...]:
        """Module paths that stand for the experts of one layer."""
        return tuple(f"{prefix}layers.{layer}.{self.block}" for prefix in PREFIXES)

    def ignored(
        self, method: str, patterns: tuple[str, ...], raw: Mapping[str, Any], layer: int
    ) -> bool:
        """Whether a declaration leaves the experts of a layer unquantized."""
        if self._matchers is None:
            self._matchers = self._compile(method, patterns, raw)
        targets = _targets(raw) if method == "compressed-tensors" else ()
        if not self._matchers and not targets:
            return False
        names = self.names(layer)
        paths = _paths(names)
        if any(matcher.matches(names, paths) for matcher in self._matchers):
            return True
        return self._untargeted(targets, names, paths)

    def entry(self, layers: Mapping[str, Any], layer: int) -> object | None:
        """Entry of `quantized_layers` for the experts of a layer: theirs or one expert's."""
        names = self.names(layer)
        for path in (*names, *_paths(names)):
            if path in layers:
                return layers[path] if layers[path] is not None else {}
        return None

    def _compile(
        self, method: str, patterns: tuple[str, ...], raw: Mapping[str, Any]
    ) -> list[Matcher]:
        made = [
            compile_pattern(method, pattern, self.block, self.skipped)
            for pattern in dict.fromkeys(patterns)
        ]
        # GPTQModel's `dynamic`: a key with `-:` in front leaves modules out.
        dynamic = raw.get("dynamic")
        rules = [str(rule) for rule in dynamic] if isinstance(dynamic, Mapping) else []
        made.extend(
            compile_regex(rule[2:], self.skipped) for rule in rules if rule.startswith("-:")
        )
        return [matcher for matcher in made if matcher is not None]

    def _untargeted(
        self, targets: tuple[str, ...], names: tuple[str, ...], paths: tuple[str, ...]
    ) -> bool:
        """compressed-tensors: experts that no group's targets name stay as they are."""
        for target in targets:
            if target.startswith("re:"):
                rule = compile_regex(target[3:], self.skipped)
                if rule is None or rule.matches(names, paths):
                    return False
            elif any(path.endswith(target) for path in (*names, *paths)):
                return False
        return bool(targets)


def _targets(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Targets of all groups; empty when one of them means every linear module."""
    groups = raw.get("config_groups")
    targets = [
        str(target)
        for group in (groups.values() if isinstance(groups, Mapping) else ())
        if isinstance(group, Mapping) and isinstance(group.get("targets"), (list, tuple))
        for target in group["targets"]
    ]
    return () if not WHOLE_TARGETS.isdisjoint(targets) else tuple(dict.fromkeys(targets))


def _paths(names: tuple[str, ...]) -> tuple[str, ...]:
    """Module paths of the first expert's projections."""
    return tuple(f"{name}.0.{projection}" for name in names for projection in PROJECTIONS)
