"""Every kernel that the tables know, by its engine's class name, and the file that states it.

A file is loaded when a kernel of it is first asked for: a question to one oracle reads the tables
of that oracle's kernels and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from moe_doctor.backends.kernel import Kernel, ResolvedKernel, SettledKernel, index, resolve
from moe_doctor.backends.situation import Facts, Situation
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.release import Release

FAMILIES: dict[str, tuple[str, ...]] = {
    "aiter": (
        "AiterExperts",
        "AiterUnquantizedExperts",
        "AiterFp8BlockExperts",
        "AiterFp8TensorExperts",
        "AiterFp8ChannelExperts",
        "AiterMxfp4Experts",
    ),
    "aiter_mxfp4": (
        "AiterW4A8ExpertsMonolithic",
        "AiterW4A16ExpertsMonolithic",
        "AiterW4A4ExpertsMonolithic",
    ),
    "b12x": ("B12xExperts",),
    "cpu": (
        "X86CPUUnquantizedExperts",
        "ArmCPUUnquantizedExperts",
        "PowerCPUUnquantizedExperts",
        "CPUUnquantizedExperts",
    ),
    "cpu_fp8": (
        "CPUExpertsFp8",
        "CPUExpertsFp8W8A8",
    ),
    "cpu_int": (
        "CPUExpertsInt4",
        "CPUExpertsInt4 with int8 inputs",
        "CPUExpertsInt8",
        "ArmCPUExpertsInt8",
        "PowerCPUExpertsInt8",
        "ZenCPUExpertsInt8",
        "ZentorchExpertsInt4",
    ),
    "cpu_mxfp4": ("CPUExpertsMxfp4",),
    "cutlass_fp8": (
        "CutlassExpertsFp8",
        "TritonOrCutlassExperts",
        "CutlassBatchedExpertsFp8",
    ),
    "cutlass_mxfp4": ("CutlassExpertsMxfp4",),
    "cutlass_w4a8": ("CutlassExpertsW4A8Fp8",),
    "deep_gemm": (
        "DeepGemmExperts",
        "TritonOrDeepGemmExperts",
        "BatchedDeepGemmExperts",
    ),
    "deep_gemm_mxfp4": ("DeepGemmFP4Experts",),
    "emulation": ("OCP_MXQuantizationEmulationTritonExperts",),
    "flashinfer_cutlass": ("FlashInferExperts",),
    "flashinfer_moe_ep": ("FlashInferMoeEpExperts",),
    "flashinfer_trtllm": (
        "flashinfer_fused_moe_bf16",
        "TrtLlmBf16Experts",
        "TrtLlmBf16ExpertsMonolithic",
        "TrtLlmBf16ExpertsModular",
        "TrtLlmBf16LoRAExperts",
    ),
    "flashinfer_trtllm_fp8": (
        "is_supported_config_trtllm_fp8",
        "TrtLlmFp8Experts",
        "TrtLlmFp8ExpertsMonolithic",
        "TrtLlmFp8ExpertsModular",
    ),
    "flashinfer_trtllm_mxfp4": (
        "TrtLlmMxfp4ExpertsMonolithic",
        "TrtLlmMxfp4ExpertsModular",
        "TrtLlmMxfp4LoRAExperts",
    ),
    "flashinfer_trtllm_nvfp4": (
        "flashinfer_trtllm_fp4_moe",
        "TrtLlmNvFp4ExpertsMonolithic",
        "TrtLlmNvFp4ExpertsModular",
    ),
    "hpc": ("HPCExperts",),
    "humming": (
        "BatchedHummingGroupedExperts",
        "HummingGroupedExperts",
        "HummingIndexedExperts",
    ),
    "marlin": (
        "MarlinExperts",
        "BatchedMarlinExperts",
    ),
    "moonep": ("MoonEPExperts",),
    "mxfp8": (
        "Mxfp8NativeTritonExperts",
        "Mxfp8EmulationTritonExperts",
        "AiterMxfp8Experts",
    ),
    "nvfp4": (
        "FlashInferCuteDSLExperts",
        "FlashInferCuteDSLBatchedExperts",
        "FlashInferB12xExperts",
        "CutlassExpertsFp4",
        "Nvfp4QuantizationEmulationTritonExperts",
    ),
    "oai_triton": (
        "OAITritonMxfp4ExpertsMonolithic",
        "OAITritonExperts",
        "UnfusedOAITritonExperts",
    ),
    "triton": (
        "TritonExperts",
        "BatchedTritonExperts",
    ),
    "wna16": (
        "TritonWNA16Experts",
        "Int4EmulationTritonExperts",
        "XPUExpertsWNA16",
        "TrtLlmMxint4ExpertsMonolithic",
        "Rdna3WNA16Experts",
    ),
    "xpu": (
        "XPUExperts",
        "XPUExpertsFp8",
        "XPUExpertsMxFp8",
        "XPUExpertsMxfp8",
        "XPUExpertsBlockFp8",
        "XPUExpertsMXFp4",
        "XPUExpertsMxFp4",
    ),
}
"""File in this room -> the kernels that it states (their key where two share a class name)."""

# Kernels of all releases by name and by the identity of what they ask, which the tables keep.
_FIRST: dict[tuple[Any, ...], ResolvedKernel] = {}
_HOMES = {name: file for file, names in FAMILIES.items() for name in names}


class Kernels(Mapping[str, ResolvedKernel]):
    """Every kernel as one release states it, each resolved when it is first asked for."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._resolved: dict[str, ResolvedKernel] = {}

    def __getitem__(self, name: str) -> ResolvedKernel:
        found = self._resolved.get(name)
        if found is None:
            own = resolve(find_kernel(name), self._release)
            # Most releases state a kernel as the one before does, and then it is one object.
            same = name, *map(id, own.constraints)
            found = self._resolved[name] = _FIRST.setdefault(same, own)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)


class SettledKernels(dict[str, SettledKernel]):
    """A release's kernels on one machine, each settled when it is first asked for."""

    def __init__(self, facts: Facts, release: Release) -> None:
        super().__init__()
        # Settling looks at the machine alone, and at how the release words its reasons.
        self._situation = Situation(MoEQuery(0, 0, 0, 0, 0), facts, terse=release < (0, 17, 0))
        self._kernels = kernels_of(release)
        self._known = facts.kernels

    def __missing__(self, name: str) -> SettledKernel:
        kernel, terse = self._kernels[name], self._situation.terse
        known = self._known.get((id(kernel), terse))
        if known is None:
            known = self._known[id(kernel), terse] = kernel.settle(self._situation)
        self[name] = known
        return known


def settled_kernels(facts: Facts, release: Release) -> SettledKernels:
    """Every kernel as `release` states it, on the machine behind `facts`; made once for them."""
    made = facts.settled
    found = made.get(release)
    if not isinstance(found, SettledKernels):
        found = made[release] = SettledKernels(facts, release)
    return found


@lru_cache(maxsize=64)
def kernels_of(release: Release) -> Kernels:
    """Every kernel as `release` states it."""
    return Kernels(release)


def find_kernel(name: str) -> Kernel:
    """A kernel's rows over all releases; raises KeyError for a name that no file states."""
    return _stated(_HOMES[name])[name]


def all_kernels() -> dict[str, Kernel]:
    """Every kernel of every file."""
    return {name: find_kernel(name) for name in _HOMES}


@lru_cache(maxsize=64)
def _stated(file: str) -> dict[str, Kernel]:
    """The kernels of one file; those that it takes over from another are not its own."""
    found: list[Kernel] = []
    for value in vars(import_module(f"moe_doctor.backends.{file}")).values():
        items = value if isinstance(value, tuple) else (value,)
        found += [item for item in items if isinstance(item, Kernel)]
    own = {id(kernel): kernel for kernel in found if (kernel.key or kernel.name) in FAMILIES[file]}
    return index(own.values())
