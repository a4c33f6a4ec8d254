"""AMD's AITER fused MoE on ROCm."""

from __future__ import annotations

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
)
from moe_doctor.backends.fp8_formats import BLOCK, CHANNEL, TENSOR_DYNAMIC, TENSOR_STATIC
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import PLAIN, pairs, quantized_only, schemes

_FEATURE = "aiter_fused_moe"
_NVLINK = frozenset(
    {"flashinfer_all2allv", "flashinfer_nvlink_one_sided", "flashinfer_nvlink_two_sided"}
)
_FP8 = (PLAIN, BLOCK, TENSOR_STATIC, TENSOR_DYNAMIC, CHANNEL)
_MXFP4 = ("kMxfp4Static", None)
_MXFP4_BOTH = ("kMxfp4Static", "kMxfp4Dynamic")
# 0.27.0 means to add gfx1250, but its condition still takes gfx950 alone
_MI350 = Device(("rocm",), archs=("gfx950",))

_ROWS: tuple[Row, ...] = (
    row(Device(("rocm",), feature=_FEATURE), until="0.21.0"),
    row(
        Device(
            ("rocm",),
            feature=_FEATURE,
            appendix=(
                "AITER MoE is not enabled — set VLLM_ROCM_USE_AITER=1 and "
                "VLLM_ROCM_USE_AITER_MOE=1 to enable it"
            ),
        ),
        since="0.22.0",
    ),
    # Until 0.19.1 the unquantized oracle asks only whether AITER is switched on.
    row(quantized_only(GatedOnly()), until="0.19.1"),
    row(quantized_only(Activations(frozenset({"silu", "gelu"}))), until="0.18.1"),
    row(
        quantized_only(Activations(frozenset({"silu", "gelu", "swigluoai"}))),
        since="0.19.0",
        until="0.19.1",
    ),
    row(
        quantized_only(ParallelSizes(refuses_all2all=frozenset({"flashinfer_all2allv"}))),
        until="0.17.1",
    ),
    row(quantized_only(ParallelSizes(refuses_all2all=_NVLINK)), since="0.18.0", until="0.19.1"),
    row(quantized_only(Format("standard")), until="0.19.1"),
    row(GatedOnly(), since="0.20.0"),
    row(
        Activations(frozenset({"silu", "gelu", "swigluoai"})),
        since="0.20.0",
        until="0.24.0",
    ),
    row(
        Activations(frozenset({"silu", "gelu", "swigluoai", "swigluoai_uninterleave"})),
        since="0.25.0",
        until="0.27.1",
    ),
    row(
        Activations(frozenset({"silu", "gelu", "situ", "swigluoai", "swigluoai_uninterleave"})),
        since="0.28.0",
    ),
    row(ParallelSizes(refuses_all2all=_NVLINK), since="0.20.0"),
    row(Format("standard"), since="0.20.0"),
    row(NotBatchInvariant(), since="0.20.0"),
    row(NoLoRA(), since="0.20.0"),
)

AITER_EXPERTS = Kernel(
    name="AiterExperts",
    # until 0.21.0 fused_moe/rocm_aiter_fused_moe.py
    source="fused_moe/experts/rocm_aiter_moe.py",
    rows=(
        *_ROWS,
        row(schemes(pairs(*_FP8)), until="0.18.1"),
        row(schemes(pairs(*_FP8), pairs(_MXFP4, device=_MI350)), since="0.19.0", until="0.21.0"),
        row(schemes(pairs(*_FP8), pairs(_MXFP4, _MXFP4_BOTH, device=_MI350)), since="0.22.0"),
    ),
)

AITER_UNQUANTIZED_EXPERTS = Kernel(
    # 0.33.0 split one class per scheme off AiterExperts
    name="AiterUnquantizedExperts",
    source="fused_moe/experts/rocm_aiter_moe.py",
    rows=(*_ROWS, row(schemes(pairs(PLAIN)))),
)

AITER_FP8_EXPERTS = tuple(
    Kernel(
        name=f"AiterFp8{granularity}Experts",
        source="fused_moe/experts/rocm_aiter_moe.py",
        rows=(*_ROWS, row(schemes(pairs(*formats)))),
    )
    for granularity, formats in (
        ("Block", (BLOCK,)),
        ("Tensor", (TENSOR_STATIC, TENSOR_DYNAMIC)),
        ("Channel", (CHANNEL,)),
    )
)

AITER_MXFP4_EXPERTS = Kernel(
    # from 0.33.0
    name="AiterMxfp4Experts",
    source="fused_moe/experts/rocm_aiter_moe.py",
    rows=(
        *_ROWS,
        row(
            schemes(
                pairs(("kInt4Static32", None), device=Device(("rocm",), archs=("gfx942",))),
                pairs(_MXFP4, _MXFP4_BOTH, device=_MI350),
            )
        ),
    ),
)
