"""Declarations that speak of single layers: which of their rules the experts of a layer follow.

Each format has its own grammar, and engines follow the format: GPTQModel's `dynamic`, the groups of
compressed-tensors, Quark's `layer_quant_config`, AutoRound's `extra_config`, the lists of plain
FP8 and of ModelOpt. A layer's rules are keys of the declaration; rules with equal contents share
the first key, so that layers stored alike stay together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from moe_doctor.core.named import NamedTuple
from moe_doctor.models.listed_entries import (
    LEFT_OUT,
    AutoRoundEntries,
    Pieces,
    endings,
    is_expression,
    items_of,
    read_auto_round,
    read_pieces,
)
from moe_doctor.models.patterns import Matcher, compile_regex, says_elsewhere

Rules = tuple[str, ...]
# An expert's projections as engines ask about them, which is not always as checkpoints call them.
_NAMINGS = (
    ("gate_proj", "up_proj", "down_proj"),
    ("w1", "w3", "w2"),
    ("up_proj", "None", "down_proj"),  # experts without a gate
)
WHOLE_TARGETS = frozenset({"Linear", "FusedMoE", "MoE", "RoutedExperts"})
"""Targets of compressed-tensors that mean every module of a class."""


class ListedNames(NamedTuple):
    """A list of exact paths and `re:` expressions, ready to be asked."""

    exact: frozenset[str]
    """Paths."""
    rules: tuple[Matcher, ...]
    """Expressions."""

    def names_any(self, names: tuple[str, ...]) -> bool:
        """Whether one of the spellings of a module's path is listed."""
        if any(name in self.exact for name in names):
            return True
        return any(searches(rule, names) for rule in self.rules)


class LayerQuantization:
    """One declaration's grammar, compiled once and asked for every layer with experts.

    `everywhere` keeps expressions that speak of other modules alone (attention, say).
    """

    def __init__(
        self,
        method: str,
        raw: Mapping[str, Any],
        ignore: tuple[str, ...],
        skipped: list[str],
        *,
        everywhere: bool = False,
    ) -> None:
        self._raw = raw
        self._ignore = ignore
        self._skipped = skipped
        self._everywhere = everywhere
        self._compiled: dict[str, Matcher | None] = {}
        self._listed: ListedNames | None = None
        self._heads: frozenset[str] | None = None
        self._pieces: Pieces | None = None
        self._entries: AutoRoundEntries | None = None
        self._grammar = _GRAMMARS.get(method)

    @property
    def known(self) -> bool:
        """Whether the format has a grammar of its own here."""
        return self._grammar is not None

    def rules(self, names: tuple[str, ...]) -> Rules | None:
        """Rules of the experts called `names`, or None where they stay unquantized."""
        return None if self._grammar is None else self._grammar(self, names)

    def gptq(self, names: tuple[str, ...]) -> Rules | None:
        """GPTQModel's `dynamic`: the first rule that matches the module's path decides."""
        for key, _ in items_of(self._raw.get("dynamic")):
            negative = key.startswith("-:")
            rule = self._regex(key[2:] if key.startswith(("-:", "+:")) else key)
            if rule is None or not searches(rule, names):
                continue
            return None if negative else (_first_alike(self._raw["dynamic"], key),)
        return ()

    def compressed(self, names: tuple[str, ...]) -> Rules | None:
        """compressed-tensors: one group per projection of the first expert.

        Where the ways to name projections lead to different groups, all follow: gate_proj, up_proj
        and down_proj first, then w1, w3 and w2, then those of experts without a gate.
        """
        found, *others = (self._groups_of(names, naming) for naming in _NAMINGS)
        if any(one != found for one in others):
            return tuple(group for naming in (found, *others) for group in naming)
        distinct = set(found)
        if distinct == {LEFT_OUT}:
            return None
        if distinct == {""}:  # no group by path: a group for the whole class, where there is one
            groups = items_of(self._raw.get("config_groups"))
            return () if self._has_whole_target() or not groups else None
        return found if len(distinct) > 1 else (found[0],)

    def quark(self, names: tuple[str, ...]) -> Rules | None:
        """Quark: `exclude` by path or expression, then the first pattern that matches."""
        if self._list().names_any(names) or self._begins_one(names):
            return None
        settings = self._raw.get("layer_quant_config")
        for key, _ in items_of(settings):
            matches = (
                any(fnmatchcase(name, key) for name in names)
                if "*" in key
                else any(name in key for name in names)
            )
            if matches and isinstance(settings, Mapping):
                return (_first_alike(settings, key),)
        return ()

    def auto_round(self, names: tuple[str, ...]) -> Rules:
        """AutoRound: (the module's own entry, the one that its projections share)."""
        if self._entries is None:
            self._entries = read_auto_round(self._raw.get("extra_config"))
        entries = self._entries
        own = next((name for name in names if name in entries.alike), "")
        own = own or next((end for end in endings(names) if end in entries.alike), "")
        own = own or next((key for key in entries.expressions if self._searches(key, names)), "")
        below = [entries.below[name] for name in names if name in entries.below]
        if not (own or below):
            return self._outside_blocks(names)
        return (entries.alike.get(own, ""), below[0] if below else "")

    def fp8(self, names: tuple[str, ...]) -> Rules | None:
        """Plain FP8: an entry leaves experts out when it is their path or begins with it."""
        return None if self._begins_one(names) else ()

    def modelopt(self, names: tuple[str, ...]) -> Rules | None:
        """ModelOpt: an entry is a piece of a path, a glob, or the path of one projection."""
        if self._pieces is None:
            self._pieces = read_pieces(self._ignore)
        if self._begins_one(names) or self._pieces.take_out(names):
            return None
        return ()

    def everything(self, names: tuple[str, ...]) -> Rules:
        """Formats whose lists never reach experts."""
        return ()

    def group_of(self, *paths: str) -> str | None:
        """compressed-tensors: group of a module by its path; "" for none, None for left out."""
        return None if self._list().names_any(paths) else self._group_of(paths)

    def _begins_one(self, names: tuple[str, ...]) -> bool:
        """Whether an entry of the list is the module's path or that of something below it."""
        if self._heads is None:
            cut = (entry.partition("experts") for entry in self._ignore)
            self._heads = frozenset(head + word for head, word, _ in cut if word)
        return any(name in self._heads for name in names)

    def _groups_of(self, names: tuple[str, ...], naming: tuple[str, ...]) -> tuple[str, ...]:
        found = []
        for projection in naming:
            paths = tuple(f"{name}.0.{projection}" for name in names)
            found.append(LEFT_OUT if self._list().names_any(paths) else self._group_of(paths))
        return tuple(found)

    def _group_of(self, paths: tuple[str, ...]) -> str:
        groups = self._raw.get("config_groups")
        for _, group in items_of(groups):
            for target in _targets(group):
                if target.startswith("re:"):
                    rule = self._regex(target[3:])
                    hit = rule is not None and searches(rule, paths)
                else:
                    hit = target in paths
                if hit and isinstance(groups, Mapping):
                    # A target that stands in several groups means the last of them.
                    named = [name for name, one in items_of(groups) if target in _targets(one)]
                    return _first_alike(groups, named[-1], without="targets")
        return ""

    def _has_whole_target(self) -> bool:
        groups = items_of(self._raw.get("config_groups"))
        return any(target in WHOLE_TARGETS for _, group in groups for target in _targets(group))

    def _outside_blocks(self, names: tuple[str, ...]) -> Rules:
        blocks = self._raw.get("block_name_to_quantize") or self._raw.get("to_quant_block_names")
        listed = blocks.split(",") if isinstance(blocks, str) else blocks
        if not isinstance(listed, (list, tuple)) or not listed:
            return ()
        starts = tuple(str(block) for block in listed)
        return () if any(name.startswith(starts) for name in names) else (LEFT_OUT, "")

    def _list(self) -> ListedNames:
        if self._listed is None:
            kept = (one for one in self._ignore if self._everywhere or not says_elsewhere(one))
            rules = (self._regex(one[3:]) for one in kept if one.startswith("re:"))
            self._listed = ListedNames(
                frozenset(one for one in self._ignore if not one.startswith("re:")),
                tuple(rule for rule in rules if rule is not None),
            )
        return self._listed

    def _searches(self, key: str, names: tuple[str, ...]) -> bool:
        if not is_expression(key):
            return False
        rule = self._regex(f".*?{key}")
        return rule is not None and any(rule.pattern.search(name) for name in names)

    def _regex(self, text: str) -> Matcher | None:
        if text not in self._compiled:
            self._compiled[text] = compile_regex(text, self._skipped)
        return self._compiled[text]


_GRAMMARS: dict[str, Callable[[LayerQuantization, tuple[str, ...]], Rules | None]] = {
    "gptq": LayerQuantization.gptq,
    "compressed-tensors": LayerQuantization.compressed,
    "quark": LayerQuantization.quark,
    "auto-round": LayerQuantization.auto_round,
    "inc": LayerQuantization.auto_round,
    "fp8": LayerQuantization.fp8,
    "modelopt": LayerQuantization.modelopt,
    "modelopt_fp4": LayerQuantization.modelopt,
    "modelopt_mixed": LayerQuantization.modelopt,
    "modelopt_mxfp8": LayerQuantization.modelopt,
    "mxfp4": LayerQuantization.everything,
    "bitsandbytes": LayerQuantization.everything,
}


def searches(rule: Matcher, names: tuple[str, ...]) -> bool:
    """Whether an expression finds a module under one of the engine's spellings.

    Engines rename the prefixes of paths in a list and leave expressions as they are, so what only a
    checkpoint says (`model.language_model`, `model.visual`) is found by none.
    """
    return any(
        rule.pattern.search(name)
        for name in names
        if not name.startswith("model.") or name.startswith("model.layers.")
    )


def _targets(group: object) -> tuple[str, ...]:
    targets = group.get("targets") if isinstance(group, Mapping) else None
    return tuple(str(one) for one in targets) if isinstance(targets, (list, tuple)) else ()


def _first_alike(entries: Mapping[str, Any], key: str, without: str = "") -> str:
    """The first key whose content equals that of `key`, less one field."""

    def content(item: object) -> object:
        if not without or not isinstance(item, Mapping):
            return item
        return {name: value for name, value in item.items() if name != without}

    wanted = content(entries[key])
    return next(str(name) for name, item in entries.items() if content(item) == wanted)
