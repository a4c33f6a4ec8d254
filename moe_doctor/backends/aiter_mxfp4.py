"""AITER's Triton kernels for MXFP4 weights, which route inside the kernel: MI300 and newer."""

from __future__ import annotations

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoAdjustedRoutes,
    NoHashRouting,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
    RoutingMethods,
)
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import pairs, schemes

_FEATURE = "aiter"
_ROCM = ("rocm",)
_RENORMALIZE = frozenset({"Renormalize", "RenormalizeNaive"})
_ALONE = ParallelSizes(refuses_any_all2all=True, refuses_eplb=True, refuses_dp=True)
_NO_EP = ParallelSizes(refuses_ep=True, refuses_eplb=True, refuses_dp=True)

_COMMON: tuple[Row, ...] = (
    row(GatedOnly()),
    row(NoAdjustedRoutes(), since="0.33.0"),
    row(Format("standard")),
    row(NotBatchInvariant()),
    row(NoLoRA()),
)

AITER_MXFP4_KERNELS = (
    Kernel(
        # new in 0.21.0
        name="AiterW4A8ExpertsMonolithic",
        source="fused_moe/experts/aiter_mxfp4_w4a8_moe.py",
        rows=(
            *_COMMON,
            row(Device(_ROCM, archs=("gfx950",), feature=_FEATURE), until="0.26.0"),
            row(Device(_ROCM, archs=("gfx950", "gfx1250"), feature=_FEATURE), since="0.27.0"),
            row(Activations(frozenset({"swigluoai"}))),
            row(schemes(pairs(("kMxfp4Static", "kFp8StaticTensorSym")))),
            row(_ALONE, until="0.30.0"),
            row(_NO_EP, since="0.31.0"),
            row(NoHashRouting(), since="0.31.0"),
            row(RoutingMethods(_RENORMALIZE)),
        ),
    ),
    Kernel(
        # new in 0.27.0
        name="AiterW4A16ExpertsMonolithic",
        # until 0.29.0 fused_moe/experts/aiter_mxfp4_w4a8_moe.py
        source="fused_moe/experts/aiter_mxfp4_w4a16_moe.py",
        rows=(
            *_COMMON,
            row(Device(_ROCM, archs=("gfx950", "gfx1250"), feature=_FEATURE), until="0.29.0"),
            row(
                Device(_ROCM, archs=("gfx942", "gfx950", "gfx1250"), feature=_FEATURE),
                since="0.30.0",
            ),
            row(Activations(frozenset({"swigluoai", "silu"}))),
            row(schemes(pairs(("kMxfp4Static", None)))),
            row(_ALONE, until="0.30.0"),
            row(_NO_EP, since="0.31.0", until="0.32.0"),
            row(_ALONE, since="0.33.0"),
            row(NoHashRouting(), since="0.31.0", until="0.32.0"),
            row(RoutingMethods(_RENORMALIZE | {"DeepseekV4"}), until="0.31.0"),
            row(RoutingMethods(_RENORMALIZE | {"DeepseekV4", "DeepSeekV3"}), since="0.32.0"),
        ),
    ),
    Kernel(
        # new in 0.33.0
        name="AiterW4A4ExpertsMonolithic",
        source="fused_moe/experts/aiter_mxfp4_w4a4_moe.py",
        rows=(
            *_COMMON,
            row(Device(_ROCM, archs=("gfx1250",), feature=_FEATURE)),
            row(Activations(frozenset({"swigluoai", "swigluoai_uninterleave", "silu"}))),
            row(schemes(pairs(("kMxfp4Static", "kMxfp4Dynamic")))),
            row(_ALONE),
            row(RoutingMethods(_RENORMALIZE | {"DeepseekV4", "DeepSeekV3", "MiniMax2"})),
        ),
    ),
)
