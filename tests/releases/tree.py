"""The definitions of a release, normalised so that only what the code does is compared."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from tests.releases.sources import Sources, SourcesError

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, eq=False)
class Definition:
    """A function, a method, a class without its methods, or an assignment."""

    path: str
    """File, from the folder that holds `vllm`."""
    name: str
    """`select_fp8_moe_backend`, `TritonExperts`, `TritonExperts._supports_activation`."""
    node: ast.AST
    """Without docstrings, annotations of functions, and calls of the logger."""

    @cached_property
    def text(self) -> str:
        """Normalised source; of a class the bases and whatever is no method."""
        node = self.node
        if isinstance(node, ast.ClassDef):
            kept = [one for one in node.body if not isinstance(one, Function)]
            body: list[ast.stmt] = list(kept) or [ast.Pass()]
            node = ast.ClassDef(node.name, node.bases, node.keywords, body, node.decorator_list)
        return ast.unparse(node)


class Module(NamedTuple):
    """One file."""

    path: str
    """From the folder that holds `vllm`."""
    definitions: dict[str, Definition]
    """By qualified name, methods included."""
    imports: dict[str, tuple[str, str]]
    """Local name -> dotted module and the name in it (empty: the module itself)."""


class Tree:
    """The modules of one release, each parsed when it is first asked for."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._modules: dict[str, Module] = {}
        self._lineages: dict[Definition, tuple[Definition, ...]] = {}
        self.references: dict[object, tuple[tuple[Definition, Definition | None], ...]] = {}
        """What each definition refers to, kept by `closure`."""

    def matching(self, pattern: str) -> list[str]:
        """Paths of Python files under `vllm/` that match a regular expression as a whole."""
        wanted = re.compile(pattern)
        return sorted(
            path
            for path in self.sources.paths
            if path.endswith(".py") and wanted.fullmatch(path.removeprefix("vllm/"))
        )

    def module(self, path: str) -> Module:
        """A parsed file; raises SourcesError where it is no Python."""
        found = self._modules.get(path)
        if found is None:
            found = self._modules[path] = _parse(path, self.sources.read(path))
        return found

    def shares(self, other: Tree, path: str) -> bool:
        """Whether another release has the same file, byte for byte."""
        if path not in other.sources.paths:
            return False
        return self.sources.read(path) == other.sources.read(path)

    @cached_property
    def platform_methods(self) -> dict[str, list[Definition]]:
        """Method -> those of that name of every platform's class."""
        found: dict[str, list[Definition]] = {}
        for path in self.matching(r"platforms/\w+\.py"):
            for key, held in self.module(path).definitions.items():
                owner, _, name = key.rpartition(".")
                if owner and isinstance(held.node, Function):
                    found.setdefault(name, []).append(held)
        return found

    def find_module(self, dotted: str) -> Module | None:
        """The module of a dotted name, when it is one of vLLM's."""
        base = dotted.replace(".", "/")
        for path in (f"{base}.py", f"{base}/__init__.py"):
            if path in self.sources.paths:
                return self.module(path)
        return None

    def find(self, module: Module, name: str, depth: int = 4) -> Definition | None:
        """A top-level name as `module` sees it, imports followed."""
        held = module.definitions.get(name)
        if held is not None or depth == 0 or name not in module.imports:
            return held
        dotted, attribute = module.imports[name]
        other = self.find_module(dotted)
        return self.find(other, attribute, depth - 1) if other and attribute else None

    def method(
        self, owner: Definition, name: str, after: Definition | None = None
    ) -> Definition | None:
        """A class's attribute, its bases searched in order; from behind `after` for `super()`."""
        line = self.lineage(owner)
        if after is not None and after in line:
            line = line[line.index(after) + 1 :]
        for one in line:
            held = self.module(one.path).definitions.get(f"{one.name}.{name}")
            if held is not None:
                return held
        return None

    def lineage(self, owner: Definition) -> tuple[Definition, ...]:
        """A class and its bases in the order in which Python searches them."""
        found = self._lineages.get(owner)
        if found is None:
            walked = [owner]
            for base in self.bases(owner):
                walked += self.lineage(base)
            # a base that several share comes after all of them
            kept = dict.fromkeys(reversed(walked))
            found = self._lineages[owner] = tuple(reversed(kept))
        return found

    def bases(self, owner: Definition) -> Iterator[Definition]:
        """The bases of a class that are classes of vLLM."""
        if not isinstance(owner.node, ast.ClassDef):
            return
        module = self.module(owner.path)
        for base in owner.node.bases:
            while isinstance(base, ast.Subscript):
                base = base.value
            found = self.find_dotted(module, base)
            if found is not None and isinstance(found.node, ast.ClassDef):
                yield found

    def find_dotted(self, module: Module, node: ast.expr) -> Definition | None:
        """What `Name` or `alias.Name` stands for in a module."""
        if isinstance(node, ast.Name):
            return self.find(module, node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            other = self.find_alias(module, node.value.id)
            return self.find(other, node.attr) if other is not None else None
        return None

    def find_alias(self, module: Module, name: str) -> Module | None:
        """The module that a local name stands for, if it stands for one."""
        dotted, attribute = module.imports.get(name, ("", ""))
        return self.find_module(f"{dotted}.{attribute}" if attribute else dotted)

    @cached_property
    def variables(self) -> dict[str, str]:
        """envs.py: variable -> the normalised expression that reads it."""
        path = "vllm/envs.py"
        if path not in self.sources.paths:
            return {}
        held = self.module(path).definitions.get("environment_variables")
        value = getattr(held.node, "value", None) if held is not None else None
        if not isinstance(value, ast.Dict):
            return {}
        return {
            str(key.value): ast.unparse(read)
            for key, read in zip(value.keys, value.values, strict=True)
            if isinstance(key, ast.Constant)
        }


def refusals(node: ast.AST) -> str:
    """What a function refuses: its assertions, and the conditions before a `raise`."""
    found = []
    for one in ast.walk(node):
        if isinstance(one, ast.Assert):
            found.append(ast.unparse(one))
        elif isinstance(one, ast.If) and any(isinstance(each, ast.Raise) for each in one.body):
            raised = [ast.unparse(each) for each in one.body if isinstance(each, ast.Raise)]
            found.append(f"if {ast.unparse(one.test)}: {' '.join(raised)}")
    return "\n".join(found)


def _parse(path: str, text: str) -> Module:
    try:
        parsed = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SourcesError(f"{path} is no Python that this interpreter reads: {error}") from None
    tree = _Normalise().visit(parsed)
    definitions: dict[str, Definition] = {}
    imports: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        _note_import(path, node, imports)
    _collect(path, tree.body, "", definitions)
    return Module(path, definitions, imports)


def _collect(
    path: str, body: list[ast.stmt], prefix: str, definitions: dict[str, Definition]
) -> None:
    for node in body:
        if isinstance(node, (ast.If, ast.Try)):
            _collect(path, [*node.body, *node.orelse], prefix, definitions)
            continue
        if isinstance(node, (ast.ClassDef, *Function)):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [one.id for one in node.targets if isinstance(one, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        for name in names:
            definitions[prefix + name] = Definition(path, prefix + name, node)
        if isinstance(node, ast.ClassDef):
            _collect(path, node.body, f"{prefix}{node.name}.", definitions)


def _note_import(path: str, node: ast.AST, imports: dict[str, tuple[str, str]]) -> None:
    if isinstance(node, ast.Import):
        for one in node.names:
            imports[one.asname or one.name] = (one.name, "")
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = path.removesuffix(".py").split("/")[: -node.level]
            base = ".".join([*parts, *([base] if base else [])])
        for one in node.names:
            imports[one.asname or one.name] = (base, one.name)


class _Normalise(ast.NodeTransformer):
    """Drops docstrings, logging, and annotations of arguments and results."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for one in ast.walk(node.args):
            if isinstance(one, ast.arg):
                one.annotation = None
        node.body = _code(node.body)
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        node.body = _code(node.body)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = _code(node.body)
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        node.body = _code(node.body)
        return self.generic_visit(node)


def _code(body: list[ast.stmt]) -> list[ast.stmt]:
    return [one for one in body if not _is_talk(one)] or [ast.Pass()]


def _is_talk(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True
    called = node.value.func if isinstance(node.value, ast.Call) else None
    return (
        isinstance(called, ast.Attribute)
        and isinstance(called.value, ast.Name)
        and called.value.id == "logger"
    )
