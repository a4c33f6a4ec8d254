"""What a function's answer hangs on: itself and whatever of vLLM it calls or reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

from tests.releases.tree import Definition, Function, Module, Tree

# Code beyond these says how work is done, not whether a class can do it.
_FOLLOWED = re.compile(
    r"vllm/(model_executor/layers/(fused_moe|quantization|batch_invariant)|platforms|utils"
    r"|_aiter_ops|_custom_ops|scalar_type|model_executor/kernels)"
)
_CONFIG = (
    ("vllm/model_executor/layers/fused_moe/config.py", "FusedMoEConfig"),
    ("vllm/model_executor/layers/fused_moe/config.py", "FusedMoEParallelConfig"),
    ("vllm/model_executor/layers/fused_moe/activation.py", "MoEActivation"),
)
_DEPTH = 6


def closure(
    tree: Tree,
    start: Definition,
    owner: Definition | None = None,
    without: Collection[str] = (),
) -> dict[str, str]:
    """Name -> normalised text of everything that `start` hangs on, itself included.

    `owner` is the class that asks, where `start` is a method that it may have inherited: `cls` and
    `self` are that class. Names in `without` are not followed. `envs.X` is a variable.
    """
    found: dict[str, str] = {}
    waiting = [(start, owner, 0)]
    while waiting:
        definition, cls, depth = waiting.pop()
        if definition.name in found or definition.name in without:
            continue
        found[definition.name] = definition.text
        if depth == _DEPTH:
            continue
        found |= _variables(tree, definition)
        key = (definition, cls)
        if key not in tree.references:
            tree.references[key] = tuple(
                (other, its_class)
                for other, its_class in _references(tree, definition, cls)
                if _FOLLOWED.match(other.path) and not isinstance(other.node, ast.ClassDef)
            )
        for other, its_class in tree.references[key]:
            waiting.append((other, its_class, depth + 1))
    return found


def _variables(tree: Tree, definition: Definition) -> dict[str, str]:
    names = set(re.findall(r"\benvs\.(\w+)", definition.text))
    return {f"envs.{name}": tree.variables[name] for name in names if name in tree.variables}


def _references(
    tree: Tree, definition: Definition, owner: Definition | None
) -> Iterator[tuple[Definition, Definition | None]]:
    module = tree.module(definition.path)
    for node in ast.walk(definition.node):
        if isinstance(node, ast.Name):
            found = tree.find(module, node.id)
            if found is not None:
                yield found, None
        elif isinstance(node, ast.Attribute):
            yield from _attribute(tree, module, definition, owner, node)


def _attribute(
    tree: Tree,
    module: Module,
    definition: Definition,
    owner: Definition | None,
    node: ast.Attribute,
) -> Iterator[tuple[Definition, Definition | None]]:
    base = node.value
    if isinstance(base, ast.Call) and isinstance(base.func, ast.Name) and base.func.id == "super":
        home = _home(tree, definition)
        found = tree.method(owner or home, node.attr, home) if home is not None else None
        if found is not None:
            yield found, owner
        return
    if isinstance(base, ast.Name):
        if base.id in ("self", "cls") and owner is not None:
            found = tree.method(owner, node.attr)
            if found is not None:
                yield found, owner
            return
        if base.id == "current_platform":
            yield from ((one, None) for one in tree.platform_methods.get(node.attr, ()))
            return
        other = tree.find_alias(module, base.id)
        held = tree.find(other, node.attr) if other is not None else None
        if held is not None:
            yield held, None
            return
    cls = tree.find_dotted(module, base)
    if cls is not None and isinstance(cls.node, ast.ClassDef):
        found = tree.method(cls, node.attr)
        if found is not None:
            # a method that is handed `cls` asks the class that called it
            is_base = owner is not None and cls in tree.lineage(owner)
            yield found, owner if is_base else cls
        return
    yield from ((one, cls) for one, cls in _of_config(tree, node.attr))


def _home(tree: Tree, definition: Definition) -> Definition | None:
    """The class whose body holds a method."""
    name, _, method = definition.name.rpartition(".")
    return tree.module(definition.path).definitions.get(name) if method else None


def _of_config(tree: Tree, name: str) -> Iterator[tuple[Definition, Definition]]:
    """A property of the MoE configuration, whoever holds the configuration."""
    for path, cls in _CONFIG:
        if path not in tree.sources.paths:
            continue
        held = tree.module(path).definitions
        found = held.get(f"{cls}.{name}")
        if found is not None and isinstance(found.node, Function):
            yield found, held[cls]
