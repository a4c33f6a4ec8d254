"""Formats of linear layers that vLLM has no kernel for on a platform.

Sources: the registries of kernels/linear/__init__.py (_POSSIBLE_NVFP4_KERNELS and the like), the
types of kernels/linear/mixed_precision/{cpu,xpu}.py, and CPUFp8BlockScaledMMKernel.is_supported.
ROCm's integers are not judged: its image may hold kernels of other packages.
"""

from __future__ import annotations

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release, Span, span
from moe_doctor.oracle.engines.vllm.linear.stored import Stored
from moe_doctor.oracle.engines.vllm.methods.integer_formats import NO_LINEAR_KERNEL
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    by_linear,
    refused_by_method,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

ANYWHERE = frozenset({"fp8", "mxfp8", "pb_wo", "ocp_mx"})
"""Kinds whose sizes are judged alike on every platform."""

_FORCES_MARLIN = (0, 23, 0)
# From then on what VLLM_BATCH_INVARIANT forces has to take plain inputs as well.
_INVARIANT_WITH_INPUTS = (0, 27, 0)
_LOOKS_UP_BLOCKS = span("0.20.0", "0.20.2")
_LOOKS_UP_BLOCKS_ON_XPU = span("0.20.0", "0.21.0")
# 0.24.0 takes compressed-tensors' blocks, 0.25 does not, and 0.28.0 does again.
_WHOLE_ON_XPU = (span("0.20.0", "0.23.0"), span("0.25.1", "0.27.0"))


class _Unserved(NamedTuple):
    name: str
    kinds: tuple[str, ...]
    platforms: tuple[str, ...]
    releases: Span


_UNSERVED = (
    _Unserved("NVFP4", ("nvfp4", "ct_nvfp4"), ("cpu", "xpu"), span("0.20.0")),
    _Unserved("MXFP8", ("mxfp8", "ct_mxfp8"), ("cpu",), span("0.20.0")),
    _Unserved("MXFP4", ("ct_mxfp4",), ("cpu",), span("0.22.1")),
    _Unserved("MXFP4", ("ct_mxfp4",), ("rocm",), span("0.22.1", "0.26.0")),
)


def refuse_platform(path: str, stored: Stored, question: Question) -> MethodRefused | None:
    """The refusal of a format that no linear kernel of the platform takes, or None."""
    release = question.release
    if stored.kind == "fp8" and question.is_on("cpu") and not question.setting.has_amx:
        return _refuse_blocks(path, question)
    if stored.kind in ("fp8", "pb_wo") and question.is_on("xpu"):
        return _refuse_blocks_on_xpu(path, stored, release)
    if stored.kind == "int" and stored.bits == 8 and question.is_on("cpu", "xpu"):
        reason = f"{path} holds 8-bit integers, and vLLM has no kernel for them on "
        reason += question.platform
        return by_linear(refused_by_method("ValueError", NO_LINEAR_KERNEL, reason))
    rows = [row for row in _UNSERVED if stored.kind in row.kinds and row.releases.holds(release)]
    is_forced = stored.kind == "nvfp4a16" and release >= _FORCES_MARLIN
    if is_forced and question.batch_invariant and release >= _INVARIANT_WITH_INPUTS:
        cutlass = question.is_on("cuda") and question.setting.reaches((10, 0))
        kernel = f"{'Cutlass' if cutlass else 'Emulation'}NvFp4LinearKernel"
        reason = f"{path} is NVFP4 with plain inputs, which no batch-invariant kernel takes"
        text = f"{kernel} does not support W4A16"
        return by_linear(refused_by_method("ValueError", text, reason))
    if not (rows or is_forced) or question.is_on("cuda"):
        return None
    if question.batch_invariant:
        return None  # NVFP4 is emulated then
    if is_forced:
        text = (
            "Forced NVFP4 kernel MarlinNvFp4LinearKernel is not supported: Marlin FP4 not available"
        )
        reason = f"{path} is NVFP4 with plain inputs, which vLLM gives to Marlin, on CUDA alone"
        return by_linear(refused_by_method("ValueError", text, reason))
    for row in rows:
        if question.is_on(*row.platforms):
            reason = f"{path} is {row.name}, and vLLM has no kernel for it on {question.platform}"
            return by_linear(refused_by_method("ValueError", _no_kernel(row.name), reason))
    return None


def _refuse_blocks(path: str, question: Question) -> MethodRefused | None:
    """FP8 in blocks on a processor without AMX tiles; 0.20 has no list for processors."""
    if question.release < (0, 20, 0):
        return None
    reason = f"{path} is FP8 in blocks, which vLLM runs on processors with AMX tiles alone"
    if _LOOKS_UP_BLOCKS.holds(question.release):
        reason = f"{path} is FP8 in blocks, and vLLM has no kernel for it on processors"
        return by_linear(refused_by_method("KeyError", "<PlatformEnum.CPU: 5>", reason))
    return by_linear(refused_by_method("ValueError", _no_kernel("ScaledMM"), reason))


def _refuse_blocks_on_xpu(path: str, stored: Stored, release: Release) -> MethodRefused | None:
    """Blocks went to a list without XPU (fp8), or to a kernel without blocks (the others)."""
    reason = f"{path} is FP8 in blocks, and this release has no kernel for them on XPU"
    if stored.kind == "fp8" and stored.lenient:
        if not _LOOKS_UP_BLOCKS_ON_XPU.holds(release):
            return None
        return by_linear(refused_by_method("KeyError", "<PlatformEnum.XPU: 4>", reason))
    spans = _WHOLE_ON_XPU[:1] if stored.kind == "pb_wo" else _WHOLE_ON_XPU
    if not any(one.holds(release) for one in spans):
        return None
    return by_linear(refused_by_method("ValueError", _no_kernel("ScaledMM"), reason))


def _no_kernel(name: str) -> str:
    return f"Failed to find a kernel that can implement the {name} linear layer. Reasons: "
