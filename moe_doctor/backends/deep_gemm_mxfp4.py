"""DeepGEMM's grouped product of FP8 inputs and MXFP4 weights."""

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
from moe_doctor.backends.kernel import Kernel, row
from moe_doctor.backends.schemes import pairs, schemes

_FEATURE = "deep_gemm"

DEEP_GEMM_FP4_EXPERTS = Kernel(
    name="DeepGemmFP4Experts",
    source="fused_moe/experts/deep_gemm_moe.py",
    rows=(
        row(Device(("cuda",), majors=(10,), feature=_FEATURE), until="0.23.0"),
        row(Device(("cuda",), majors=(10, 12), feature=_FEATURE), since="0.24.0"),
        row(GatedOnly()),
        row(Activations(frozenset({"silu", "swiglustep"})), until="0.26.0"),
        row(Activations(frozenset({"silu", "swiglustep", "situ"})), since="0.27.0"),
        row(schemes(pairs(("kMxfp4Static", "kFp8Dynamic128Sym")))),
        row(
            ParallelSizes(
                refuses_all2all=frozenset(
                    {
                        "flashinfer_all2allv",
                        "flashinfer_nvlink_one_sided",
                        "flashinfer_nvlink_two_sided",
                    }
                )
            )
        ),
        row(Format("standard")),
        row(NotBatchInvariant()),
        row(NoLoRA()),
    ),
)
