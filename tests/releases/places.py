"""Which file of ours states what a change is about: where a person has to edit."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import moe_doctor
from moe_doctor.backends.registry import FAMILIES
from moe_doctor.oracle.engines.vllm.select import ORACLES
from tests.releases.change import Change
from tests.releases.kernels import kernel_classes, kernel_functions
from tests.releases.tree import Tree
from tests.releases.watched import oracle_modules

PACKAGE = Path(moe_doctor.__file__).parent
_ENGINE = "moe_doctor/oracle/engines/vllm"
_HOMES = {
    name.split(" with ")[0]: f"moe_doctor/backends/{file}.py"
    for file, names in FAMILIES.items()
    for name in names
}
# Files of vLLM (regular expression under vllm/) -> ours, where no class or name leads there.
_FILES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r".*/fused_moe/oracle/base\.py", (f"{_ENGINE}/oracle.py",)),
    (r".*/fused_moe/activation\.py", ("moe_doctor/backends/activation_sets.py",)),
    (
        r".*/fused_moe/(all2all_utils|modular_kernel)\.py",
        (f"{_ENGINE}/parallel.py", f"{_ENGINE}/aftermath.py"),
    ),
    (
        r".*/fused_moe/config\.py",
        (f"{_ENGINE}/parallel.py", f"{_ENGINE}/routing_numbers.py", f"{_ENGINE}/layers.py"),
    ),
    (r".*/fused_moe/router/.*", (f"{_ENGINE}/layer_routing.py",)),
    (r".*/fused_moe/\w*method\w*\.py", (f"{_ENGINE}/aftermath.py",)),
    (
        r".*/fused_moe/(layer|routed_experts|expert_substitution)\.py|.*/fused_moe/runner/.*",
        (f"{_ENGINE}/layers.py", f"{_ENGINE}/layer_refusals.py"),
    ),
    (r".*/fused_moe/utils\.py|.*/batch_invariant\.py", ("moe_doctor/backends/constraints.py",)),
    (r".*/quantization/modelopt\.py", (f"{_ENGINE}/methods/modelopt.py",)),
    (
        r".*/quantization/compressed_tensors/.*",
        (f"{_ENGINE}/methods/compressed.py", f"{_ENGINE}/methods/compressed_integers.py"),
    ),
    (r".*/quantization/quark/.*", (f"{_ENGINE}/methods/quark.py",)),
    (r".*/quantization/online/.*", (f"{_ENGINE}/methods/online.py",)),
    (r".*/quantization/(utils/)?humming.*", ("moe_doctor/backends/humming.py",)),
    (r".*/quantization/(\w*mxfp4|gpt_oss)\w*\.py", (f"{_ENGINE}/methods/mxfp4.py",)),
    (r".*/quantization/fp8\.py", (f"{_ENGINE}/methods/fp8.py",)),
    (r".*/quantization/utils/quant_utils\.py", (f"{_ENGINE}/quant_keys.py",)),
    (
        r".*/quantization/\w*(awq|gptq|wna16|inc|int8|bits)\w*\.py",
        (f"{_ENGINE}/methods/integers.py", f"{_ENGINE}/methods/integer_formats.py"),
    ),
    (
        r".*/quantization/(__init__|base_config)\.py",
        (f"{_ENGINE}/methods/names.py", f"{_ENGINE}/methods/overrides.py"),
    ),
    (r".*/quantization/.*", (f"{_ENGINE}/methods/demands.py",)),
    (r".*/lora/.*", (f"{_ENGINE}/aftermath.py", f"{_ENGINE}/architectures/lora.py")),
    (r".*/config/lora\.py", (f"{_ENGINE}/architectures/lora.py",)),
    (r".*/model_arch_config_convertor\.py", (f"{_ENGINE}/methods/declared.py",)),
    (
        r".*/config/speculative\.py|.*/configs/eagle\.py",
        (f"{_ENGINE}/drafting_tables.py", f"{_ENGINE}/drafting.py"),
    ),
    (r".*/config/.*|.*/engine/.*", (f"{_ENGINE}/layer_options.py", f"{_ENGINE}/layer_refusals.py")),
    (r".*/_aiter_ops\.py", (f"{_ENGINE}/features/aiter.py",)),
    (r".*/utils/flashinfer\.py", (f"{_ENGINE}/features/flashinfer.py",)),
    (
        r".*/(utils/(deep_gemm|import_utils)|platforms/\w+)\.py",
        (f"{_ENGINE}/features/packages.py",),
    ),
    (r".*/_custom_ops\.py", (f"{_ENGINE}/features/cpu.py", f"{_ENGINE}/features/integers.py")),
    (r".*/models/registry\.py", (f"{_ENGINE}/architectures/registered.py",)),
    (r".*/models/.*", (f"{_ENGINE}/architectures/newer.py",)),
    (r"vllm/config", (f"{_ENGINE}/layer_options.py", f"{_ENGINE}/methods/names.py")),
    (r"vllm/envs\.py", ("moe_doctor/probes/variables.py",)),
    (r"METADATA", (f"{_ENGINE}/releases.py",)),
    (r".*/fused_moe/configs/", (f"{_ENGINE}/tuned_files.txt",)),
)


def with_places(change: Change) -> Change:
    """The change with the files of ours to edit."""
    return replace(change, edit=tuple(dict.fromkeys(_places(change))))


def _places(change: Change) -> Iterator[str]:
    owner = change.name.split(".")[0]
    asking = [one for one in change.details if one.startswith("asked by ")]
    if asking:
        owners = asking[0].removeprefix("asked by ").split(", ")
        yield from (_HOMES[one] for one in owners if one in _HOMES)
        return
    if owner in _HOMES:
        yield _HOMES[owner]
        return
    stem = change.path.rpartition("/")[2].removesuffix(".py")
    if change.section == "oracle" and (PACKAGE.parent / _ENGINE / stem).is_dir():
        room = f"{_ENGINE}/{stem}"
        yield from (f"{room}/{name}.py" for name in ("tables", "steps"))
        others = sorted(path.name for path in (PACKAGE.parent / room).glob("*.py"))
        yield from (f"{room}/{name}" for name in others if name != "__init__.py")
        return
    if change.section in ("registry", "tuned file", "pin"):
        yield from _by_file(change.path)
        if change.name == "transformers":
            yield f"{_ENGINE}/architectures/transformers_classes.py"
        return
    named = [name for name in (change.name, owner) if len(name) > 5]
    if change.section == "model":
        stem_found = _mentioning(f"{stem}.py {change.name}") or _mentioning(f"{stem}.py")
        yield from stem_found or _by_file(change.path)
        return
    for name in named:
        found = _mentioning(name)
        if found:
            yield from found
            break
    if (
        change.section not in ("variable", "option")
        or not named
        or not any(_mentioning(name) for name in named)
    ):
        yield from _by_file(change.path)


def _by_file(path: str) -> tuple[str, ...]:
    return next((ours for pattern, ours in _FILES if re.fullmatch(pattern, path)), ())


@lru_cache(maxsize=4096)
def _mentioning(name: str) -> tuple[str, ...]:
    wanted = re.compile(rf"(?<![\w]){re.escape(name)}(?!\w)")
    return tuple(path for path, text in _ours() if wanted.search(text))[:4]


@lru_cache(maxsize=1)
def _ours() -> tuple[tuple[str, str], ...]:
    rooms = ("backends", "oracle", "probes/variables.py")
    files: list[Path] = []
    for room in rooms:
        place = PACKAGE / room
        files += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    root = PACKAGE.parent
    return tuple((one.relative_to(root).as_posix(), one.read_text("utf-8")) for one in files)


def is_stated(name: str) -> bool:
    """Whether a table of ours states a kernel class or an oracle."""
    return name in _HOMES


def unstated(tree: Tree) -> Iterator[Change]:
    """Classes and oracles of a release that our tables do not have at all."""
    for name, path in oracle_modules(tree).items():
        if name not in ORACLES and name != "base":
            yield Change("oracle", "unstated", f"oracle {name}", path)
    asked = _asked_classes(tree)
    for name, held in kernel_classes(tree).items():
        if name in asked and not is_stated(name) and not held.path.endswith("modular_kernel.py"):
            yield Change("kernel", "unstated", name, held.path, (f"named in {asked[name]}",))
    for name, held in kernel_functions(tree).items():
        if not is_stated(name) and "." not in name:
            yield Change("kernel", "unstated", name, held.path)


def _asked_classes(tree: Tree) -> dict[str, str]:
    """Class names that an oracle or a quantization method mentions, and a file that does."""
    asked: dict[str, str] = {}
    for path in tree.matching(r"model_executor/layers/(fused_moe/oracle|quantization)/.*"):
        for held in tree.module(path).definitions.values():
            for node in ast.walk(held.node):
                name = getattr(node, "id", None) or getattr(node, "attr", None)
                if isinstance(node, (ast.Name, ast.Attribute)) and name:
                    asked.setdefault(name, path)
    return asked
