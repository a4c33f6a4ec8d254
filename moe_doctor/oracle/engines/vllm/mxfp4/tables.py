"""vLLM's MXFP4 oracles as tables: backends, input formats, priorities, explicit names.

Source: fused_moe/oracle/mxfp4.py of each release. One enum serves three select functions: a
general order that prefers bfloat16 inputs (0.20.x calls it gpt-oss's), and DeepSeek-V4's order that
prefers MXFP8 inputs (0.20.x calls it the general one).
"""

from __future__ import annotations

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release, Span, span
from moe_doctor.oracle.engines.vllm.oracle import BackendRow, Wording, backend_row

WORDING = Wording("Mxfp4", "Mxfp4", "MXFP4", quotes=True)

WEIGHT = "kMxfp4Static"

TRTLLM_BF16 = "FLASHINFER_TRTLLM_MXFP4_BF16"
TRTLLM_MXFP8 = "FLASHINFER_TRTLLM_MXFP4_MXFP8"
CUTLASS_BF16 = "FLASHINFER_CUTLASS_MXFP4_BF16"
CUTLASS_MXFP8 = "FLASHINFER_CUTLASS_MXFP4_MXFP8"
EP_CUTEDSL = "FLASHINFER_MOE_EP_CUTEDSL"
EP_DEEP_GEMM = "FLASHINFER_MOE_EP_DEEP_GEMM"
AITER_TRITON_BF16 = "AITER_TRITON_MXFP4_BF16"
AITER_TRITON_MXFP4 = "AITER_TRITON_MXFP4_MXFP4"

_TRTLLM = ("TrtLlmMxfp4ExpertsMonolithic", "TrtLlmMxfp4ExpertsModular")
_FLASHINFER = ("FlashInferExperts",)
_AITER = ("AiterExperts",)
_W4A16 = "AiterW4A16ExpertsMonolithic"
_HUMMING = ("BatchedHummingGroupedExperts", "HummingGroupedExperts", "HummingIndexedExperts")


def _row(
    member: str,
    kernels: tuple[str, ...],
    option: str | None = None,
    since: str = "0.19.0",
    until: str = "",
) -> BackendRow:
    """The enum spells every value like its member."""
    return backend_row(member, member, kernels, option, since, until)


# The option is what the command line of the release takes (config/kernel.py) for this member.
BACKENDS: tuple[BackendRow, ...] = (
    backend_row("NONE", "None", (), None, "0.19.0"),
    _row(TRTLLM_BF16, _TRTLLM, "flashinfer_trtllm"),
    _row(TRTLLM_MXFP8, _TRTLLM, None, until="0.21.0"),
    _row(TRTLLM_MXFP8, _TRTLLM, "flashinfer_trtllm", since="0.22.0"),
    _row(CUTLASS_BF16, _FLASHINFER, "flashinfer_cutlass"),
    _row(CUTLASS_MXFP8, _FLASHINFER, None, until="0.21.0"),
    _row(CUTLASS_MXFP8, _FLASHINFER, "flashinfer_cutlass", since="0.22.0"),
    _row("TRITON", ("OAITritonMxfp4ExpertsMonolithic", "OAITritonExperts"), "triton"),
    _row("TRITON_UNFUSED", ("UnfusedOAITritonExperts",), None, until="0.20.2"),
    _row("TRITON_UNFUSED", ("UnfusedOAITritonExperts",), "triton_unfused", since="0.21.0"),
    _row("MARLIN", ("MarlinExperts",), "marlin"),
    _row("BATCHED_MARLIN", ("BatchedMarlinExperts",), "marlin"),
    _row("CK", _AITER, None, until="0.19.1"),
    _row("AITER", _AITER, "aiter", "0.20.0", "0.20.2"),
    _row("AITER_MXFP4_BF16", _AITER, "aiter", "0.21.0", "0.26.0"),
    _row("AITER_MXFP4_BF16", (*_AITER, _W4A16), "aiter", "0.27.0", "0.29.0"),
    _row("AITER_MXFP4_BF16", _AITER, "aiter", "0.30.0", "0.32.0"),
    _row("AITER_MXFP4_BF16", ("AiterMxfp4Experts",), "aiter", "0.33.0"),
    _row(AITER_TRITON_BF16, (_W4A16,), "aiter_triton_mxfp4_bf16", "0.30.0"),
    _row("AITER_MXFP4_FP8", ("AiterW4A8ExpertsMonolithic",), "aiter", "0.21.0"),
    _row("AITER_MXFP4_MXFP4", _AITER, "aiter", "0.22.0", "0.32.0"),
    _row("AITER_MXFP4_MXFP4", ("AiterMxfp4Experts",), "aiter", "0.33.0"),
    _row(AITER_TRITON_MXFP4, ("AiterW4A4ExpertsMonolithic",), "aiter_triton_mxfp4_mxfp4", "0.33.0"),
    _row("XPU", ("XPUExpertsMXFp4",), None, until="0.22.1"),
    _row("XPU", ("XPUExpertsMxFp4",), None, since="0.23.0"),
    _row("DEEPGEMM_MXFP4", ("DeepGemmFP4Experts",), "deep_gemm", "0.20.0"),
    _row("EMULATION", ("OCP_MXQuantizationEmulationTritonExperts",), "emulation", "0.20.0"),
    _row("HUMMING", _HUMMING, "humming", "0.21.0"),
    _row("CPU", ("CPUExpertsMxfp4",), None, "0.22.0"),
    _row("B12X_MXFP4_MXFP8", ("B12xExperts",), "b12x", "0.29.0"),
    _row("B12X_MXFP4_BF16", ("B12xExperts",), "b12x", "0.29.0"),
    _row("CUTLASS_MXFP4_MXFP4", ("CutlassExpertsMxfp4",), None, "0.32.0"),
    _row(EP_CUTEDSL, ("FlashInferMoeEpExperts",), "flashinfer_moe_ep_cutedsl", "0.32.0"),
    _row(EP_DEEP_GEMM, ("FlashInferMoeEpExperts",), "flashinfer_moe_ep_mega_deep_gemm", "0.32.0"),
)

# _backend_activation_key(): the inputs that a backend asks its classes about; none = bfloat16.
OWN_INPUTS = {
    "DEEPGEMM_MXFP4": "kFp8Dynamic128Sym",
    TRTLLM_MXFP8: "kMxfp8Dynamic",
    CUTLASS_MXFP8: "kMxfp8Dynamic",
    "B12X_MXFP4_MXFP8": "kMxfp8Dynamic",
    "AITER_MXFP4_FP8": "kFp8StaticTensorSym",
    "AITER_MXFP4_MXFP4": "kMxfp4Dynamic",
    AITER_TRITON_MXFP4: "kMxfp4Dynamic",
    "CUTLASS_MXFP4_MXFP4": "kMxfp4Dynamic",
}


class Priority(NamedTuple):
    """An order of preference."""

    order: tuple[str, ...]
    """Members, best first."""
    span: Span
    """Releases."""
    platforms: tuple[str, ...] = ()
    """Platforms; empty = all."""
    majors: tuple[int, ...] = ()
    """CUDA capability families that it holds for; empty = all."""


_MARLIN = ("MARLIN", "BATCHED_MARLIN")
_AITER_0_22 = ("AITER_MXFP4_BF16", "AITER_MXFP4_FP8", "AITER_MXFP4_MXFP4")
_AITER_0_30 = ("AITER_MXFP4_BF16", AITER_TRITON_BF16, "AITER_MXFP4_FP8", "AITER_MXFP4_MXFP4")
_TRTLLM_BOTH = (TRTLLM_BF16, TRTLLM_MXFP8)
_CUTLASS_BOTH = (CUTLASS_BF16, CUTLASS_MXFP8)
_ORDER_0_22 = (*_TRTLLM_BOTH, *_AITER_0_22, "TRITON", *_CUTLASS_BOTH, *_MARLIN, "XPU")
_HEAD_0_32 = (*_TRTLLM_BOTH, *_AITER_0_30)
_CUTLASS_0_32 = (*_CUTLASS_BOTH, "CUTLASS_MXFP4_MXFP4")
_TAIL_0_32 = ("HUMMING", "XPU", "CPU", "EMULATION")

# _get_priority_backends_for_gpt_oss(), in 0.19.x _get_priority_backends()
GENERAL: tuple[Priority, ...] = (
    Priority(
        (TRTLLM_BF16, "CK", "TRITON", CUTLASS_BF16, "TRITON_UNFUSED", *_MARLIN, "XPU"),
        span("0.19.0", "0.19.1"),
    ),
    Priority(
        (TRTLLM_BF16, "AITER", "TRITON", CUTLASS_BF16, *_MARLIN, "XPU", "EMULATION"),
        span("0.20.0", "0.20.2"),
    ),
    Priority(
        (
            TRTLLM_BF16,
            "AITER_MXFP4_BF16",
            "AITER_MXFP4_FP8",
            "TRITON",
            CUTLASS_BF16,
            *_MARLIN,
            "XPU",
            "EMULATION",
        ),
        span("0.21.0", "0.21.0"),
    ),
    Priority(_ORDER_0_22, span("0.22.0", "0.24.0")),
    Priority((*_ORDER_0_22, "EMULATION"), span("0.25.0", "0.29.0")),
    Priority(
        (
            *_TRTLLM_BOTH,
            *_AITER_0_30,
            "TRITON",
            *_CUTLASS_BOTH,
            *_MARLIN,
            "XPU",
            "CPU",
            "EMULATION",
        ),
        span("0.30.0", "0.31.0"),
    ),
    Priority(
        (*_HEAD_0_32, *_CUTLASS_0_32, *_MARLIN, "TRITON", *_TAIL_0_32),
        span("0.32.0"),
        ("cuda",),
        (12,),
    ),
    Priority((*_HEAD_0_32, "TRITON", *_CUTLASS_0_32, *_MARLIN, *_TAIL_0_32), span("0.32.0")),
)

# _get_priority_backends() from 0.20.0 on
MXFP8_FIRST: tuple[Priority, ...] = (
    Priority(("AITER_MXFP4_BF16",), span("0.21.0", "0.26.0"), ("rocm",)),
    Priority(("AITER_MXFP4_BF16", "EMULATION"), span("0.27.0"), ("rocm",)),
    Priority(("XPU",), span("0.22.0"), ("xpu",)),
    Priority(("CPU",), span("0.30.0"), ("cpu",)),
    Priority((TRTLLM_MXFP8, "DEEPGEMM_MXFP4", *_MARLIN), span("0.20.0", "0.31.0")),
    Priority((TRTLLM_MXFP8, "DEEPGEMM_MXFP4", *_MARLIN, "HUMMING"), span("0.32.0")),
)

# On ROCm, for DeepSeek-V4's own routing.
DEEPSEEK_V4_ROCM: tuple[Priority, ...] = (
    Priority(("TRITON_UNFUSED", "AITER_MXFP4_BF16"), span("0.21.0", "0.22.1")),
    Priority(("AITER_MXFP4_BF16", "TRITON_UNFUSED"), span("0.23.0")),
)


class ExplicitName(NamedTuple):
    """A value of `--moe-backend` and the members that it stands for."""

    option: str
    """What the user types."""
    members: tuple[str, ...]
    """Tried in order."""
    span: Span
    """Releases."""


# In the order of the error message of map_mxfp4_backend.
EXPLICIT_NAMES: tuple[ExplicitName, ...] = (
    ExplicitName("b12x", ("B12X_MXFP4_MXFP8", "B12X_MXFP4_BF16"), span("0.29.0")),
    ExplicitName("deep_gemm", ("DEEPGEMM_MXFP4",), span("0.20.0")),
    ExplicitName("flashinfer_trtllm", (TRTLLM_BF16,), span("0.19.0", "0.21.0")),
    ExplicitName("flashinfer_trtllm", _TRTLLM_BOTH, span("0.22.0")),
    ExplicitName("flashinfer_trtllm_afp8", (TRTLLM_MXFP8,), span("0.19.0")),
    ExplicitName("flashinfer_cutlass", (CUTLASS_BF16,), span("0.19.0", "0.21.0")),
    ExplicitName("flashinfer_cutlass", _CUTLASS_BOTH, span("0.22.0")),
    ExplicitName("flashinfer_cutlass_afp8", (CUTLASS_MXFP8,), span("0.19.0")),
    ExplicitName("flashinfer_moe_ep_cutedsl", (EP_CUTEDSL,), span("0.32.0")),
    ExplicitName("flashinfer_moe_ep_mega_deep_gemm", (EP_DEEP_GEMM,), span("0.32.0")),
    ExplicitName("triton", ("TRITON",), span("0.19.0")),
    ExplicitName("triton_unfused", ("TRITON_UNFUSED",), span("0.20.0")),
    ExplicitName("humming", ("HUMMING",), span("0.21.0")),
    ExplicitName("marlin", ("MARLIN",), span("0.19.0")),
    ExplicitName("ck", ("CK",), span("0.19.0", "0.19.1")),
    ExplicitName("aiter", ("AITER",), span("0.20.0", "0.20.2")),
    ExplicitName("aiter", ("AITER_MXFP4_BF16",), span("0.21.0", "0.21.0")),
    ExplicitName("aiter", _AITER_0_22, span("0.22.0", "0.29.0")),
    ExplicitName("aiter", _AITER_0_30, span("0.30.0", "0.32.0")),
    ExplicitName("aiter", (*_AITER_0_30, AITER_TRITON_MXFP4), span("0.33.0")),
    ExplicitName("aiter_triton_mxfp4_bf16", (AITER_TRITON_BF16,), span("0.30.0")),
    ExplicitName("aiter_mxfp4_fp8", ("AITER_MXFP4_FP8",), span("0.21.0")),
    ExplicitName("aiter_triton_mxfp4_mxfp4", (AITER_TRITON_MXFP4,), span("0.33.0")),
    ExplicitName("aiter_mxfp4_mxfp4", ("AITER_MXFP4_MXFP4",), span("0.22.0")),
    ExplicitName("xpu", ("XPU",), span("0.19.0")),
    ExplicitName("cpu", ("CPU",), span("0.22.0")),
    ExplicitName("emulation", ("EMULATION",), span("0.20.0")),
)


def names_of(release: Release) -> dict[str, tuple[str, ...]]:
    """The release's values of `--moe-backend`, in the order of its message."""
    return {one.option: one.members for one in EXPLICIT_NAMES if one.span.holds(release)}
