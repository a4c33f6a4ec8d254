"""What a release brings around the choice: models, options, variables, pins, tuned files."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping

from tests.releases.change import Change
from tests.releases.tree import Tree

_REGISTRY = "vllm/model_executor/models/registry.py"
# The tables of the registry whose models generate text.
_SERVED = ("_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS")
_NOT_NATIVE = ("_TRANSFORMERS_SUPPORTED_MODELS", "_PREVIOUSLY_SUPPORTED_MODELS")
_CONFIGS = "vllm/model_executor/layers/fused_moe/configs/"
_MOE_OPTION = re.compile(r"(?i)moe|expert|lora|quant|parallel|all2all|eplb|dtype|specul|backend")
_MOE_VARIABLE = re.compile(
    r"MOE|EXPERT|FLASHINFER|AITER|DEEP_GEMM|MARLIN|CUTLASS|LORA|INVARIANT|EPLB|HUMMING|TRITON"
    r"|FP8|FP4|B12X|QUANT|DEEPEP|NIXL|MORI|ALL2ALL|CUBIN|HAS_"
)
PINS = (
    "torch",
    "flashinfer-python",
    "flashinfer-cubin",
    "nvidia-cutlass-dsl",
    "humming-kernels",
    "tilelang",
    "compressed-tensors",
    "transformers",
)
"""Distributions whose pins our tables state; `transformers` decides which classes are generic."""


def registry(tree: Tree) -> dict[str, dict[str, str]]:
    """Table of models/registry.py -> architecture -> what stands for it."""
    if _REGISTRY not in tree.sources.paths:
        return {}
    tables: dict[str, dict[str, str]] = {}
    for name, held in tree.module(_REGISTRY).definitions.items():
        value = getattr(held.node, "value", None)
        if name.startswith("_") and isinstance(value, ast.Dict):
            tables[name] = {
                str(key.value): ast.unparse(stands)
                for key, stands in zip(value.keys, value.values, strict=True)
                if isinstance(key, ast.Constant)
            }
    return tables


def native_models(tree: Tree, known: Collection[str] = ()) -> frozenset[str]:
    """Architectures that the registry serves with a class of vLLM's own: those that generate text,
    and of its other tables those that are `known` already."""
    return frozenset(
        name
        for table, entries in registry(tree).items()
        if table not in _NOT_NATIVE
        for name in entries
        if table in _SERVED or name in known
    )


def options(tree: Tree) -> dict[str, str]:
    """Field of EngineArgs -> its default."""
    path = "vllm/engine/arg_utils.py"
    if path not in tree.sources.paths:
        return {}
    found = {}
    for name, held in tree.module(path).definitions.items():
        owner, _, field = name.rpartition(".")
        if owner == "EngineArgs" and isinstance(held.node, ast.AnnAssign):
            found[field] = ast.unparse(held.node.value) if held.node.value is not None else ""
    return found


def choices(tree: Tree) -> dict[str, tuple[str, ...]]:
    """Literal (`MoEBackend`, `QuantizationMethods`, ...) -> its values in order."""
    found = {}
    for path in tree.matching(r"config/.*|model_executor/layers/quantization/__init__\.py"):
        for name, held in tree.module(path).definitions.items():
            value = getattr(held.node, "value", None)
            if isinstance(value, ast.Subscript) and ast.unparse(value.value) == "Literal":
                found[name] = tuple(
                    str(one.value) for one in ast.walk(value.slice) if isinstance(one, ast.Constant)
                )
    return found


def pins(tree: Tree) -> dict[str, str]:
    """Distribution -> what the METADATA requires of it, markers dropped; several joined."""
    found: dict[str, list[str]] = {}
    for line in tree.sources.requires:
        requirement, _, marker = line.partition(";")
        match = re.match(r"\s*([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*\(?([^)]*)\)?", requirement)
        if match is None or "extra ==" in marker:
            continue
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        found.setdefault(name, []).append(match[2].strip())
    return {name: " or ".join(dict.fromkeys(wanted)) for name, wanted in found.items()}


def tuned_files(tree: Tree) -> frozenset[str]:
    """Names of the tile-size files, without `.json`."""
    return frozenset(
        path.removeprefix(_CONFIGS)[:-5]
        for path in tree.sources.paths
        if path.startswith(_CONFIGS) and path.endswith(".json")
    )


def compare_surroundings(old: Tree, new: Tree) -> Iterator[Change]:
    """Everything that this module reads, side by side."""
    before, after = registry(old), registry(new)
    for table in sorted(before.keys() | after.keys()):
        sides = before.get(table, {}), after.get(table, {})
        yield from _mapping("registry", f"{table}: ", *sides, _REGISTRY, _always)
    fields = options(old), options(new)
    yield from _mapping(
        "option", "EngineArgs.", *fields, "vllm/engine/arg_utils.py", _MOE_OPTION.search
    )
    for name, (had, has) in _joined(choices(old), choices(new)).items():
        if had != has:
            gone = tuple(f"- {one}" for one in had or () if one not in (has or ()))
            come = tuple(f"+ {one}" for one in has or () if one not in (had or ()))
            kind = "appeared" if had is None else "vanished" if has is None else "changed"
            counts = bool(_MOE_OPTION.search(name)) and bool(gone or come)
            yield Change("option", kind, name, "vllm/config", (*gone, *come), concerns=counts)
    yield from _mapping(
        "variable", "", old.variables, new.variables, "vllm/envs.py", _MOE_VARIABLE.search
    )
    wanted = [{name: pins(tree).get(name, "") for name in PINS} for tree in (old, new)]
    yield from _mapping("pin", "", wanted[0], wanted[1], "METADATA", _always)
    files = [dict.fromkeys(tuned_files(tree), "") for tree in (old, new)]
    yield from _mapping("tuned file", "", files[0], files[1], _CONFIGS, _always)


def _always(name: str) -> bool:
    return bool(name)


def _joined(
    old: Mapping[str, tuple[str, ...]], new: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[tuple[str, ...] | None, tuple[str, ...] | None]]:
    return {name: (old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())}


def _mapping(
    section: str,
    prefix: str,
    old: Mapping[str, str],
    new: Mapping[str, str],
    path: str,
    counts: object,
) -> Iterator[Change]:
    assert callable(counts)
    for name in sorted(old.keys() | new.keys()):
        had, has = old.get(name), new.get(name)
        if had == has:
            continue
        kind = "appeared" if had is None else "vanished" if has is None else "changed"
        details = tuple(
            f"{sign} {text}" for sign, text in (("-", had), ("+", has)) if text is not None and text
        )
        concerns = bool(counts(name))
        yield Change(section, kind, f"{prefix}{name}", path, details, concerns=concerns)
