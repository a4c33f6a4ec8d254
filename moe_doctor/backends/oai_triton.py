"""OpenAI's Triton kernels for MXFP4 weights (the triton_kernels package), as vLLM calls them."""

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

# until 0.19.1 fused_moe/gpt_oss_triton_kernels_moe.py
_SOURCE = "fused_moe/experts/gpt_oss_triton_kernels_moe.py"
_FEATURE = "triton_kernels"
_PLATFORMS = ("cuda", "rocm")
_UNFUSED = frozenset({"silu", "gelu", "swigluoai", "swiglustep"})
# Until 0.21.0 ROCm is asked for its architecture as a capability: 9.0 up to 11.0.
_ROCM_0_19 = ("gfx9", "gfx10")
_ROCM_0_22 = ("gfx90a", "gfx942", "gfx950", "gfx11", "gfx12")
# 0.27.0 counts gfx1250 as CDNA (platforms/rocm.py, on_gfx1x)
_ROCM_0_27 = ("gfx90a", "gfx942", "gfx950", "gfx11", "gfx120")

_BASE: tuple[Row, ...] = (
    row(Device(_PLATFORMS, majors=(9, 10), archs=_ROCM_0_19), until="0.19.1"),
    row(
        Device(_PLATFORMS, majors=(9, 10), archs=_ROCM_0_19, feature=_FEATURE),
        since="0.20.0",
        until="0.21.0",
    ),
    row(
        Device(_PLATFORMS, majors=(9, 10), archs=_ROCM_0_22, feature=_FEATURE),
        since="0.22.0",
        until="0.26.0",
    ),
    row(
        Device(_PLATFORMS, majors=(9, 10), archs=_ROCM_0_27, feature=_FEATURE),
        since="0.27.0",
        until="0.31.0",
    ),
    row(
        Device(_PLATFORMS, majors=(9, 10, 11, 12), archs=_ROCM_0_27, feature=_FEATURE),
        since="0.32.0",
    ),
    row(GatedOnly()),
    row(schemes(pairs(("kMxfp4Static", None)))),
    row(Format("standard")),
    row(NotBatchInvariant(), since="0.20.0"),
)

OAI_TRITON_KERNELS = (
    Kernel(
        name="OAITritonMxfp4ExpertsMonolithic",
        source=_SOURCE,
        rows=(
            *_BASE,
            row(Activations(frozenset({"swigluoai"}))),
            row(ParallelSizes(refuses_any_all2all=True, refuses_eplb=True, refuses_dp=True)),
            row(NoHashRouting(), since="0.31.0"),
            row(NoAdjustedRoutes(), since="0.33.0"),
            row(RoutingMethods(frozenset({"Renormalize", "RenormalizeNaive"}))),
            row(NoLoRA(), since="0.20.0"),
        ),
    ),
    Kernel(
        name="OAITritonExperts",
        source=_SOURCE,
        rows=(
            *_BASE,
            row(Activations(frozenset({"swigluoai"}))),
            row(NoLoRA(), since="0.20.0"),
        ),
    ),
    Kernel(
        # adds adapters between its two unfused products
        name="UnfusedOAITritonExperts",
        source=_SOURCE,
        rows=(
            *_BASE,
            row(Activations(_UNFUSED), until="0.23.0"),
            row(Activations(_UNFUSED | {"swigluoai_uninterleave"}), since="0.24.0"),
        ),
    ),
)
