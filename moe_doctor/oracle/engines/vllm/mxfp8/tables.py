"""vLLM's MXFP8 oracle as tables: backends, order, explicit names.

Source: fused_moe/oracle/mxfp8.py, from 0.18.0. From 0.19.0 it borrows the FP8 oracle's enum and
classes, and asks for them in an order of its own.
"""

from __future__ import annotations

from functools import lru_cache

from moe_doctor.backends.situation import Situation
from moe_doctor.core.release import Release, Span, span
from moe_doctor.oracle.engines.vllm.oracle import (
    BackendRow,
    ExplicitName,
    Wording,
    backend_row,
)

WORDING = Wording("MXFP8", "MxFp8", "MXFP8")

TRTLLM = "FLASHINFER_TRTLLM"
NATIVE = "Mxfp8NativeTritonExperts"
EMULATED = "Mxfp8EmulationTritonExperts"
_TRTLLM = ("TrtLlmFp8ExpertsMonolithic", "TrtLlmFp8ExpertsModular")
_HUMMING = ("BatchedHummingGroupedExperts", "HummingGroupedExperts", "HummingIndexedExperts")
_XPU_0_22 = ("XPUExpertsFp8", "XPUExpertsMxfp8")
_XPU_0_23 = ("XPUExpertsFp8", "XPUExpertsMxFp8", "XPUExpertsBlockFp8")

BACKENDS: tuple[BackendRow, ...] = (
    backend_row(TRTLLM, TRTLLM, (), "flashinfer_trtllm", until="0.18.1"),
    backend_row(TRTLLM, TRTLLM, _TRTLLM, "flashinfer_trtllm", since="0.19.0"),
    backend_row("DEEPGEMM", "DEEPGEMM", ("DeepGemmExperts",), "deep_gemm", since="0.24.0"),
    backend_row("MARLIN", "MARLIN", ("MarlinExperts",), "marlin", since="0.20.0"),
    backend_row("XPU", "XPU", _XPU_0_22, "xpu", "0.22.0", "0.22.1"),
    backend_row("XPU", "XPU", _XPU_0_23, "xpu", since="0.23.0"),
    backend_row("AITER_MXFP8", "AITER_MXFP8", ("AiterMxfp8Experts",), "aiter", since="0.25.0"),
    backend_row("HUMMING", "HUMMING", _HUMMING, "humming", since="0.25.0"),
    backend_row("NATIVE_MXFP8", "NATIVE_MXFP8", (NATIVE,), None, "0.24.0", "0.24.0"),
    # 0.25.0 to 0.26.0 take one of the two by the device, without asking the other
    backend_row("TRITON_MXFP8", "TRITON_MXFP8", (NATIVE, EMULATED), "triton", "0.25.0", "0.26.0"),
    backend_row("TRITON_MXFP8", "TRITON_MXFP8", (NATIVE,), "triton", since="0.27.0"),
    backend_row("EMULATION", "EMULATION", (EMULATED,), None, since="0.24.0"),
)

# _SUPPORTED_BACKENDS, the same on every platform.
ORDER: tuple[tuple[str, Span], ...] = (
    (TRTLLM, span()),
    ("DEEPGEMM", span("0.24.0")),
    ("MARLIN", span("0.20.0")),
    ("XPU", span("0.22.0")),
    ("AITER_MXFP8", span("0.25.0")),
    ("HUMMING", span("0.25.0")),
    ("TRITON_MXFP8", span("0.27.0")),
    ("EMULATION", span("0.27.0")),
)

# _BACKEND_NAME_MAP, in the order of the error message.
EXPLICIT_NAMES: tuple[ExplicitName, ...] = (
    ExplicitName("flashinfer_trtllm", TRTLLM, span("0.18.0")),
    ExplicitName("deep_gemm", "DEEPGEMM", span("0.24.0")),
    ExplicitName("marlin", "MARLIN", span("0.20.0")),
    ExplicitName("xpu", "XPU", span("0.22.0")),
    ExplicitName("aiter", "AITER_MXFP8", span("0.25.0")),
    ExplicitName("triton", "TRITON_MXFP8", span("0.25.0")),
    ExplicitName("humming", "HUMMING", span("0.25.0")),
)


@lru_cache(maxsize=64)
def base_order(release: Release) -> tuple[str, ...]:
    """The candidates that `release` has."""
    return tuple(member for member, held in ORDER if held.holds(release))


def order(situation: Situation, release: Release) -> list[str]:
    """The release's candidates in order of preference."""
    members = list(base_order(release))
    # 0.32.0 (quantization/utils/humming/priority.py): Humming measured faster on Hopper
    if release >= (0, 32, 0) and situation.facts.capability == (9, 0):
        members.remove("HUMMING")
        members.insert(members.index("MARLIN"), "HUMMING")
    return members
