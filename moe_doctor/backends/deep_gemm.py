"""DeepGEMM's FP8 kernels; the standard class falls back to Triton for small shapes at run time."""

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
from moe_doctor.backends.fp8_formats import BLOCK
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import pairs, schemes

_DEVICE = Device(("cuda",), feature="deep_gemm")
_BLACKWELL = Device(("cuda",), majors=(10,))
_MXFP8 = ("kMxfp8Static", "kMxfp8Dynamic")
_SILU_0_16 = frozenset({"silu", "swiglustep"})

_STANDARD: tuple[Row, ...] = (
    row(_DEVICE),
    row(GatedOnly()),
    row(Activations(_SILU_0_16), until="0.23.0"),
    row(Activations(_SILU_0_16 | {"swigluoai_uninterleave"}), since="0.24.0"),
    row(ParallelSizes(refuses_all2all=frozenset({"flashinfer_all2allv"})), until="0.17.1"),
    row(
        ParallelSizes(
            refuses_all2all=frozenset(
                {
                    "flashinfer_all2allv",
                    "flashinfer_nvlink_one_sided",
                    "flashinfer_nvlink_two_sided",
                }
            )
        ),
        since="0.18.0",
    ),
    row(Format("standard")),
    row(NotBatchInvariant(), since="0.20.0"),
    row(NoLoRA(), since="0.20.0"),
)

DEEP_GEMM_EXPERTS = Kernel(
    name="DeepGemmExperts",
    source="fused_moe/experts/deep_gemm_moe.py",
    rows=(
        *_STANDARD,
        row(schemes(pairs(BLOCK)), until="0.23.0"),
        row(schemes(pairs(BLOCK), pairs(_MXFP8, device=_BLACKWELL)), since="0.24.0"),
    ),
)

TRITON_OR_DEEP_GEMM_EXPERTS = Kernel(
    # FallbackExperts: both classes must take the layer, so only block-scaled FP8 is left
    name="TritonOrDeepGemmExperts",
    source="fused_moe/experts/triton_deep_gemm_moe.py",
    rows=(*_STANDARD, row(schemes(pairs(BLOCK)))),
)

BATCHED_DEEP_GEMM_EXPERTS = Kernel(
    name="BatchedDeepGemmExperts",
    source="fused_moe/experts/batched_deep_gemm_moe.py",
    rows=(
        row(_DEVICE),
        row(GatedOnly()),
        row(Activations(frozenset({"silu"}))),
        row(schemes(pairs(BLOCK))),
        row(Format("batched")),
        row(NotBatchInvariant(), since="0.20.0"),
        row(NoLoRA(), since="0.20.0"),
    ),
)
