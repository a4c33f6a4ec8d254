"""Kernel classes: every subclass of the experts' base classes, and what it says it supports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from tests.releases.change import Change, diff_texts
from tests.releases.closure import closure
from tests.releases.tree import Definition, Function, Tree, refusals

_CLASS = re.compile(
    r"^class \w+\([^)]*(?:Experts|MoE)|^\s+def (?:_supports_|is_supported_config)|"
    r"^def is_supported_config",
    re.MULTILINE,
)
_PREDICATE = re.compile(
    r"_?supports\w*|is_supported\w*|_is_supported\w*|activation_format|is_monolithic"
    r"|expects_unquantized_inputs|_requires\w*|_can_\w+|_get_unsupported\w*|_unsupported\w*"
)
_MADE = "__init__"


def kernel_classes(tree: Tree) -> dict[str, Definition]:
    """Class name -> class: those that state a predicate, and all that derive from one of them."""
    return dict(_kernels(tree))


@lru_cache(maxsize=4)
def _kernels(tree: Tree) -> tuple[tuple[str, Definition], ...]:
    candidates: list[Definition] = []
    for path in tree.matching(r"(?!models/|model_executor/models/|entrypoints/|v1/).*"):
        text = tree.sources.read(path)
        if not _CLASS.search(text):
            continue
        held = tree.module(path).definitions.values()
        candidates += [one for one in held if isinstance(one.node, ast.ClassDef)]
    stating = {
        (one.path, one.name) for one in candidates if "." not in one.name and _states(tree, one)
    }
    kernels = {}
    for one in candidates:
        if "." not in one.name and _descends(tree, one, stating):
            kernels[one.name] = one
    return tuple(sorted(kernels.items()))


def _states(tree: Tree, cls: Definition) -> bool:
    held = tree.module(cls.path).definitions
    names = ("_supports_current_device", "_supports_activation", "is_supported_config")
    return any(f"{cls.name}.{name}" in held for name in names)


def _descends(tree: Tree, cls: Definition, stating: set[tuple[str, str]], depth: int = 8) -> bool:
    if (cls.path, cls.name) in stating:
        return True
    return depth > 0 and any(_descends(tree, one, stating, depth - 1) for one in tree.bases(cls))


def kernel_functions(tree: Tree) -> dict[str, Definition]:
    """Module-level functions that judge a configuration (releases before classes did)."""
    return {
        name: held
        for path in tree.matching(r"model_executor/layers/.*")
        if "def is_supported_config" in tree.sources.read(path)
        for name, held in tree.module(path).definitions.items()
        if name.startswith("is_supported_config") and isinstance(held.node, Function)
    }


def predicates(tree: Tree, cls: Definition) -> dict[str, Definition]:
    """Predicate -> the method that answers it for `cls`: its own, or an inherited one."""
    found: dict[str, Definition] = {}
    for one in tree.lineage(cls):
        for name, held in tree.module(one.path).definitions.items():
            owner, _, method = name.rpartition(".")
            if owner == one.name and _PREDICATE.fullmatch(method):
                found.setdefault(method, held)
    return found


def compare_kernels(old: Tree, new: Tree) -> Iterator[Change]:
    """Classes that came, went or moved, and every predicate whose answer may have changed.

    What many classes inherit is told once, with the names of the classes.
    """
    groups: dict[tuple[str, tuple[str, ...], str], list[Change]] = {}
    for one in _compare_each(old, new):
        groups.setdefault((one.kind, one.details, one.diff), []).append(one)
    for alike in groups.values():
        if len(alike) < 3 or "." not in alike[0].name:
            yield from alike
            continue
        names = [one.name for one in alike]
        methods = {name.rpartition(".")[2] for name in names}
        owners = ", ".join(name.partition(".")[0] for name in names)
        details = (*alike[0].details, f"asked by {owners}")
        yield replace(alike[0], name=f"{'/'.join(sorted(methods))}", details=details)


def _compare_each(old: Tree, new: Tree) -> Iterator[Change]:
    before, after = kernel_classes(old), kernel_classes(new)
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        if one is None or other is None:
            held = one or other
            assert held is not None
            tree, kind = (old, "vanished") if other is None else (new, "appeared")
            details = tuple(sorted(predicates(tree, held)))
            yield Change("kernel", kind, name, held.path, details)
            continue
        if one.path != other.path:
            moved = (f"from {one.path}",)
            yield Change("kernel", "moved", name, other.path, moved, concerns=False)
        yield from _compare_class(old, one, new, other)
    judges = kernel_functions(old), kernel_functions(new)
    for name in sorted(judges[0].keys() | judges[1].keys()):
        yield from _compare_judge(name, old, judges[0].get(name), new, judges[1].get(name))


def _compare_class(old: Tree, one: Definition, new: Tree, other: Definition) -> Iterator[Change]:
    bases = [
        ", ".join(ast.unparse(base) for base in each.node.bases)
        for each in (one, other)
        if isinstance(each.node, ast.ClassDef)
    ]
    if bases[0] != bases[1]:
        details = (f"- bases {bases[0]}", f"+ bases {bases[1]}")
        yield Change("kernel", "changed", other.name, other.path, details)
    asked, asks = predicates(old, one), predicates(new, other)
    for name in sorted(asked.keys() | asks.keys()):
        full = f"{other.name}.{name}"
        if name not in asked or name not in asks:
            kind = "vanished" if name not in asks else "appeared"
            held = asked.get(name) or asks[name]
            inherited = () if held.name == full else (f"inherited: {held.name}",)
            diff = diff_texts("", held.text) if kind == "appeared" else diff_texts(held.text, "")
            yield Change("kernel", kind, full, held.path, inherited, diff)
            continue
        # what is_supported_config asks is told predicate by predicate
        others = [
            {held.name for held in side.values()} - {side[name].name} for side in (asked, asks)
        ]
        sides = (
            closure(old, asked[name], one, others[0]),
            closure(new, asks[name], other, others[1]),
        )
        yield from _compare_closures(full, asks[name], *sides, asked[name].name)
    made = [_made(tree, cls) for tree, cls in ((old, one), (new, other))]
    if made[0] != made[1]:
        refused = ("what the constructor refuses",)
        name = f"{other.name}.__init__"
        yield Change("kernel", "changed", name, other.path, refused, diff_texts(*made))


def _compare_judge(
    name: str, old: Tree, one: Definition | None, new: Tree, other: Definition | None
) -> Iterator[Change]:
    if one is None or other is None:
        held = one or other
        assert held is not None
        yield Change("kernel", "vanished" if other is None else "appeared", name, held.path)
        return
    yield from _compare_closures(name, other, closure(old, one), closure(new, other), one.name)


def _compare_closures(
    full: str, asked: Definition, before: dict[str, str], after: dict[str, str], old_name: str
) -> Iterator[Change]:
    """One change for a predicate, however many of the things that it hangs on changed."""
    if old_name != asked.name and old_name in before:
        before = {asked.name if key == old_name else key: text for key, text in before.items()}
    details, diffs = [], []
    for name in sorted(before.keys() | after.keys(), key=lambda key: (key != asked.name, key)):
        texts = before.get(name, ""), after.get(name, "")
        if texts[0] == texts[1]:
            continue
        if name == asked.name:
            if name != full:
                details.append(f"inherited: {name} changed")
        else:
            verb = "changed" if all(texts) else "is called now" if texts[1] else "is called no more"
            details.append(f"through {name}: {verb}")
        if (texts[0] and texts[1]) or name == asked.name:
            diffs.append(f"{name}\n{diff_texts(*texts)}")
    if details or diffs:
        yield Change("kernel", "changed", full, asked.path, tuple(details), "\n".join(diffs))


def _made(tree: Tree, cls: Definition) -> str:
    held = tree.method(cls, _MADE)
    return refusals(held.node) if held is not None else ""
