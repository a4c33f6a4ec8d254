"""FlashInfer's TRT-LLM generated MoE kernels for MXFP4 weights: Blackwell only."""

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

_SOURCE = "fused_moe/experts/trtllm_mxfp4_moe.py"
_RENORMALIZE = frozenset({"Renormalize", "RenormalizeNaive"})
_ALONE = ParallelSizes(refuses_any_all2all=True, refuses_eplb=True, refuses_dp=True)

_BASE: tuple[Row, ...] = (
    row(Device(("cuda",), majors=(10,), feature="flashinfer")),
    row(GatedOnly()),
    row(Activations(frozenset({"swigluoai"})), until="0.19.1"),
    row(Activations(frozenset({"swigluoai", "silu"})), since="0.20.0", until="0.26.0"),
    # situ where FlashInfer has ActivationType.Situ, as every pinned one from 0.27.0 on does
    row(Activations(frozenset({"swigluoai", "silu", "situ"})), since="0.27.0"),
    row(schemes(pairs(("kMxfp4Static", None), ("kMxfp4Static", "kMxfp8Dynamic")))),
    row(Format("standard")),
    row(NotBatchInvariant(), since="0.20.0"),
    row(NoLoRA(), since="0.20.0"),
)

TRTLLM_MXFP4_KERNELS = (
    Kernel(
        name="TrtLlmMxfp4ExpertsMonolithic",
        source=_SOURCE,
        rows=(
            *_BASE,
            row(_ALONE),
            row(NoHashRouting(), since="0.31.0"),
            row(NoAdjustedRoutes(), since="0.33.0"),
            row(RoutingMethods(_RENORMALIZE), until="0.26.0"),
            row(RoutingMethods(_RENORMALIZE | {"DeepSeekV3"}), since="0.27.0"),
        ),
    ),
    Kernel(name="TrtLlmMxfp4ExpertsModular", source=_SOURCE, rows=_BASE),
    Kernel(
        # new in 0.33.0, asked only for LoRA and an explicit --moe-backend
        name="TrtLlmMxfp4LoRAExperts",
        source="fused_moe/experts/trtllm_lora_moe.py",
        rows=(
            row(Device(("cuda",), majors=(10,), feature="flashinfer_trtllm")),
            row(GatedOnly()),
            row(Activations(frozenset({"swigluoai", "silu"}))),
            row(schemes(pairs(("kMxfp4Static", None)))),
            row(_ALONE),
            row(Format("standard")),
            row(NotBatchInvariant()),
        ),
    ),
)
