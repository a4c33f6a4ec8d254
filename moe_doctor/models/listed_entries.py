"""Lists and objects that name modules, indexed once so that each layer is asked quickly.

ModelOpt's lists have hundreds of entries, AutoRound's objects one per projection of each expert.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from moe_doctor.core.named import NamedTuple

LEFT_OUT = "-"
"""Stands for modules that a declaration leaves out, or tells apart, where others follow a rule."""

_SPECIAL = frozenset("*+?^$()[]{}|\\")
_GLOB = frozenset("*?[")
_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


def items_of(value: object) -> tuple[tuple[str, Any], ...]:
    """Items of an object with text keys; empty for anything else."""
    if not isinstance(value, Mapping):
        return ()
    return tuple((str(key), item) for key, item in value.items())


def is_expression(key: str) -> bool:
    """Whether AutoRound reads a key as an expression."""
    return not _SPECIAL.isdisjoint(key)


class Pieces(NamedTuple):
    """ModelOpt's list, sorted by the one layer that an entry can speak of."""

    of_layer: Mapping[str, tuple[str, ...]]
    """Number of a layer -> entries that name it."""
    of_any: tuple[str, ...]
    """Entries that name no layer, or an unfinished number."""

    def take_out(self, names: tuple[str, ...]) -> bool:
        """Whether an entry takes out a module, given the spellings of its path."""
        found = _LAYER.search(names[0])
        number = "" if found is None else found.group(1)
        entries = (*self.of_layer.get(number, ()), *self.of_any)
        return any(_takes_out(entry, names) for entry in entries)


def read_pieces(entries: tuple[str, ...]) -> Pieces:
    """Sort the entries of a list."""
    of_layer: dict[str, list[str]] = {}
    of_any = []
    for entry in dict.fromkeys(entries):
        found = _LAYER.search(entry)
        if found is None:
            of_any.append(entry)
        else:
            of_layer.setdefault(found.group(1), []).append(entry)
    return Pieces({number: tuple(some) for number, some in of_layer.items()}, tuple(of_any))


def _takes_out(entry: str, names: tuple[str, ...]) -> bool:
    # An entry that ends with a star also stands without it.
    piece = entry[:-1] if entry[-1:] == "*" and entry[-2:-1] != "." else entry
    if any(piece in name for name in names):
        return True
    if _GLOB.isdisjoint(entry) or ("[" not in entry and not _holds_parts(entry, names)):
        return False
    return any(fnmatchcase(name, entry) for name in names)


def _holds_parts(entry: str, names: tuple[str, ...]) -> bool:
    """Whether a path has all that stands between the stars: a quick no."""
    parts = entry.replace("?", "*").split("*")
    return any(all(part in name for part in parts) for name in names)


class AutoRoundEntries(NamedTuple):
    """AutoRound's `extra_config`, indexed."""

    alike: Mapping[str, str]
    """Key -> first key with the same content."""
    expressions: tuple[str, ...]
    """Keys that are expressions."""
    below: Mapping[str, str]
    """Path of experts -> what their projections share, or LEFT_OUT where they differ."""


def read_auto_round(raw: object) -> AutoRoundEntries:
    """Index the entries."""
    first: dict[str, str] = {}
    alike: dict[str, str] = {}
    below: dict[str, str] = {}
    for key, item in items_of(raw):
        alike[key] = first.setdefault(repr(item), key)
        head, word, rest = key.partition(".experts.")
        if word and rest:
            path = f"{head}.experts"
            if below.setdefault(path, alike[key]) != alike[key]:
                below[path] = LEFT_OUT
    special = tuple(key for key in alike if is_expression(key))
    return AutoRoundEntries(alike, special, below)


def endings(names: tuple[str, ...]) -> tuple[str, ...]:
    """Every shorter ending of the paths at a dot."""
    ends = []
    for name in names:
        _, _, rest = name.partition(".")
        while rest:
            ends.append(rest)
            _, _, rest = rest.partition(".")
    return tuple(ends)
