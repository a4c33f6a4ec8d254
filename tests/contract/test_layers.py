"""Who may import whom: a room imports only rooms with a smaller number."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "moe_doctor"
LAYERS = {
    "core": 0,
    "rules": 1,
    "models": 1,
    "probes": 1,
    "kernels": 1,
    "backends": 2,
    "oracle": 3,
    "proof": 4,
    "live": 4,
    "checks": 5,
    "pipeline": 6,
    "doctor": 7,
    "render": 7,
    "survey": 8,
    "cli": 9,
}
HEAVY = frozenset(
    {
        "torch",
        "triton",
        "flashinfer",
        "vllm",
        "huggingface_hub",
        "rich",
        "pynvml",
        "numpy",
        "jsonschema",
    }
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(module: str) -> str:
    """`moe_doctor.oracle.select` -> `oracle`; the package itself -> empty."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Every imported module, and whether that happens when the module is imported."""
    todo: list[tuple[ast.AST, bool]] = [(tree, True)]
    while todo:
        node, top = todo.pop()
        match node:
            case ast.Import(names=names):
                yield from ((each.name, top) for each in names)
            case ast.ImportFrom(module=str() as module, names=names, level=0):
                yield module, top
                if module == "moe_doctor":
                    yield from ((f"{module}.{each.name}", top) for each in names)
            case ast.ImportFrom():
                yield "<relative>", top
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        todo.extend(
            (child, top and not inside and not guarded) for child in ast.iter_child_nodes(node)
        )


def found(path: Path) -> list[tuple[str, bool]]:
    return list(imports(ast.parse(path.read_text(encoding="utf-8"))))


def test_every_room_has_a_layer() -> None:
    rooms = {room(name_of(path)) for path in MODULES} - {"", "__main__"}
    assert rooms <= set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_smaller_numbers(path: Path) -> None:
    own = room(name_of(path))
    wrong = []
    for module, _ in found(path):
        other = room(module)
        if not module.startswith("moe_doctor.") or other not in LAYERS or own not in LAYERS:
            continue
        if other != own and LAYERS[other] >= LAYERS[own]:
            wrong.append(module)
    assert wrong == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_heavy_is_imported_with_a_module(path: Path) -> None:
    own = room(name_of(path))
    # The proof's child code and the kernels are the only ones that exist to use these.
    allowed = {"torch", "triton"} if own in ("kernels", "proof") else set()
    heavy = {module.split(".")[0] for module, top in found(path) if top} & HEAVY
    assert heavy - allowed == set()


def test_there_are_no_relative_imports_and_no_junk_drawers() -> None:
    for path in MODULES:
        assert "<relative>" not in dict(found(path)), path
        assert path.stem not in {"utils", "helpers", "common", "misc"}, path


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in MODULES
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
