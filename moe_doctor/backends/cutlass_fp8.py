"""vLLM's own CUTLASS grouped GEMMs in FP8: scales per tensor or per channel, never per block."""

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
from moe_doctor.backends.fp8_formats import CHANNEL, TENSOR_DYNAMIC, TENSOR_STATIC
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import pairs, schemes

_SILU_GELU = frozenset({"silu", "gelu", "swigluoai"})
_GATED_0_28 = _SILU_GELU | {"gelu_tanh", "situ", "swiglustep", "swigluoai_uninterleave"}

_COMMON: tuple[Row, ...] = (
    # cutlass_group_gemm_supported() of _custom_ops.py: 9.0 up to, but not, 11.0
    row(Device(("cuda",), majors=(9, 10))),
    row(GatedOnly()),
    row(schemes(pairs(CHANNEL, TENSOR_DYNAMIC, TENSOR_STATIC))),
    row(NotBatchInvariant(), since="0.20.0"),
    row(NoLoRA(), since="0.20.0"),
)
_HIGH_THROUGHPUT = frozenset({"flashinfer_all2allv", "deepep_high_throughput"})
_STANDARD: tuple[Row, ...] = (
    row(ParallelSizes(refuses_all2all=_HIGH_THROUGHPUT), until="0.17.1"),
    row(
        ParallelSizes(
            refuses_all2all=_HIGH_THROUGHPUT
            | {"flashinfer_nvlink_one_sided", "flashinfer_nvlink_two_sided"}
        ),
        since="0.18.0",
    ),
    row(Format("standard")),
)
_OWN_ACTIVATIONS: tuple[Row, ...] = (
    row(Activations(_SILU_GELU), until="0.22.1"),
    row(Activations(_SILU_GELU | {"gelu_tanh"}), since="0.23.0", until="0.27.1"),
    row(Activations(_GATED_0_28), since="0.28.0"),
)

CUTLASS_EXPERTS_FP8 = Kernel(
    name="CutlassExpertsFp8",
    # until 0.19.1 fused_moe/cutlass_moe.py
    source="fused_moe/experts/cutlass_moe.py",
    rows=(*_COMMON, *_OWN_ACTIVATIONS, *_STANDARD),
)

TRITON_OR_CUTLASS_EXPERTS = Kernel(
    # FallbackExperts: Triton takes every layer that CUTLASS takes
    name="TritonOrCutlassExperts",
    source="fused_moe/experts/triton_cutlass_moe.py",
    rows=(*_COMMON, *_OWN_ACTIVATIONS, *_STANDARD),
)

CUTLASS_BATCHED_EXPERTS_FP8 = Kernel(
    name="CutlassBatchedExpertsFp8",
    source="fused_moe/experts/cutlass_moe.py",
    rows=(*_COMMON, *_OWN_ACTIVATIONS, row(Format("batched"))),
)
