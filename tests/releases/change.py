"""One difference between two releases, and how two sets of definitions are set side by side."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tests.releases.tree import Definition, refusals


@dataclass(frozen=True)
class Change:
    """Something that appeared, vanished, moved or changed."""

    section: str
    """`oracle`, `kernel`, `quantization`, `layer`, ..."""
    kind: str
    """`appeared`, `vanished`, `moved` or `changed`."""
    name: str
    """The function, class, predicate, variable, option or file."""
    path: str = ""
    """Where the new release has it (where the old one had it, if it vanished)."""
    details: tuple[str, ...] = ()
    """What changed, one clause each."""
    diff: str = ""
    """Unified diff of the normalised source."""
    edit: tuple[str, ...] = ()
    """The files of ours that state it; empty = none does."""
    concerns: bool = True
    """Whether the tables have to say something about it."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def diff_texts(old: str, new: str) -> str:
    """Unified diff of two normalised sources, without its file header."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2)
    return "\n".join(list(lines)[2:])


# Code that runs when tokens come or weights are loaded; of it only what it refuses is compared.
_AT_RUN_TIME = (
    "apply",
    "forward",
    "process_weights",
    "convert",
    "prepare",
    "finalize",
    "workspace",
    "weight_loader",
    "load_",
    "_load",
    "moe_problem_size",
    "moe_sum",
    "run_",
    "_run",
    "quantize",
    "swizzle",
    "shuffle",
    "permute",
    "dequant",
    "invoke_",
    "maybe_",
    "_kernel",
)


def decisive_text(definition: Definition) -> str:
    """What of a definition may decide: all of it, or of run-time code what it refuses."""
    last = definition.name.rpartition(".")[2].lstrip("_")
    if not isinstance(definition.node, ast.ClassDef) and (
        last.startswith(tuple(one.lstrip("_") for one in _AT_RUN_TIME)) or last.endswith("kernel")
    ):
        return refusals(definition.node)
    return definition.text


def compare_definitions(
    section: str, old: Iterable[Definition], new: Iterable[Definition]
) -> Iterator[Change]:
    """Changes between two sets of definitions; one that moved to another file is found again."""
    before, after = _by_place(old), _by_place(new)
    moved = _moves(before, after)
    classes = [
        {key for key, one in side.items() if isinstance(one.node, ast.ClassDef)}
        for side in (before, after)
    ]
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if other is not None and one is None and key in moved.values():
            continue
        if one is not None and other is None and key in moved:
            other = after[moved[key]]
        owner = key[0], key[1].partition(".")[0]
        # of a class that appeared or vanished whole, its name is enough
        is_part = (one is None or other is None) and owner != key and owner not in moved
        if is_part and (owner in classes[0]) != (owner in classes[1]):
            continue
        yield from _compare(section, one, other)


def _compare(section: str, one: Definition | None, other: Definition | None) -> Iterator[Change]:
    if one is None or other is None:
        held = one or other
        if held is not None and decisive_text(held):
            kind = "vanished" if other is None else "appeared"
            yield Change(section, kind, held.name, held.path, literals(held.node))
        return
    texts = decisive_text(one), decisive_text(other)
    details = compare_literals(one.node, other.node) if texts[0] != texts[1] else ()
    if one.path != other.path:
        details = (f"from {one.path}", *details)
    if texts[0] != texts[1]:
        yield Change(section, "changed", other.name, other.path, details, diff_texts(*texts))
    elif one.path != other.path and "." not in other.name:
        yield Change(section, "moved", other.name, other.path, details, concerns=False)


Place = tuple[str, str]


def _by_place(definitions: Iterable[Definition]) -> dict[Place, Definition]:
    return {(one.path, one.name): one for one in definitions}


def _moves(before: Mapping[Place, Definition], after: Mapping[Place, Definition]) -> dict[Any, Any]:
    """Places of the old release whose definition the new one has in one other file."""
    fresh: dict[str, list[Place]] = {}
    for place in after:
        if place not in before:
            fresh.setdefault(place[1], []).append(place)
    gone: dict[str, list[Place]] = {}
    for place in before:
        if place not in after:
            gone.setdefault(place[1], []).append(place)
    return {
        places[0]: fresh[name][0]
        for name, places in gone.items()
        if len(places) == 1 and len(fresh.get(name, ())) == 1
    }


def literals(node: ast.AST) -> tuple[str, ...]:
    """What a definition names: members of an enum, entries of a dict, members in their order."""
    return tuple(sorted(_entries(node)))


def compare_literals(old: ast.AST, new: ast.AST) -> tuple[str, ...]:
    """Entries and members that came or went, and lists of members whose order changed."""
    before, after = _entries(old), _entries(new)
    return (
        *(f"- {one}" for one in sorted(before - after)),
        *(f"+ {one}" for one in sorted(after - before)),
    )


def _entries(node: ast.AST) -> set[str]:
    found: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Dict):
            for key, value in zip(one.keys, one.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, (ast.Attribute, ast.Name)):
                    found.add(f"{ast.unparse(key)}: {ast.unparse(value)}")
        elif isinstance(one, (ast.List, ast.Tuple)) and len(one.elts) > 1:
            if all(isinstance(each, ast.Attribute) for each in one.elts):
                found.add(f"order {', '.join(ast.unparse(each) for each in one.elts)}")
        elif isinstance(one, ast.ClassDef) and _is_enum(one):
            found |= {ast.unparse(each) for each in one.body if isinstance(each, ast.Assign)}
    return found


def _is_enum(node: ast.ClassDef) -> bool:
    return any("Enum" in ast.unparse(base) for base in node.bases)
