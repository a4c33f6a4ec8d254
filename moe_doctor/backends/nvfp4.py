"""More kernels for NVFP4 weights: FlashInfer's CuTe DSL and B12X, vLLM's CUTLASS, emulation."""

from __future__ import annotations

from typing import ClassVar

from moe_doctor.backends.activation_sets import APPLIED_0_20, APPLIED_0_21, APPLIED_0_28
from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
)
from moe_doctor.backends.flashinfer_trtllm_nvfp4 import W4A4, W4A4_BY_TOKEN
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import QuantSchemes, pairs, schemes
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.backends.triton import TRITON_EXPERTS
from moe_doctor.core.record import record

_SILU = Activations(frozenset({"silu"}))
_SILU_RELU2 = Activations(frozenset({"silu", "relu2_no_mul"}))
_CUTEDSL_0_28 = frozenset({"silu", "swigluoai", "swigluoai_uninterleave", "relu2_no_mul"})
_MASKED = Device(("cuda",), majors=(10,), feature="flashinfer_cutedsl_masked")
_REFUSALS: tuple[Row, ...] = (row(NotBatchInvariant(), "0.20.0"), row(NoLoRA(), "0.20.0"))

CUTEDSL_EXPERTS = Kernel(
    # Until 0.19.1 it takes the batched format; then FlashInferCuteDSLBatchedExperts does.
    name="FlashInferCuteDSLExperts",
    source="fused_moe/experts/flashinfer_cutedsl_moe.py",
    rows=(
        row(Device(("cuda",), majors=(10,)), until="0.18.1"),
        row(_MASKED, "0.19.0", "0.19.1"),
        row(Device(("cuda",), majors=(10,), feature="flashinfer_cutedsl"), "0.20.0"),
        row(GatedOnly(), until="0.26.0"),
        row(_SILU, until="0.26.0"),
        row(_SILU_RELU2, "0.27.0", "0.27.1"),
        row(Activations(_CUTEDSL_0_28), "0.28.0", "0.29.0"),
        row(Activations(_CUTEDSL_0_28 | {"situ"}), "0.30.0"),
        row(schemes(pairs(W4A4)), until="0.31.0"),
        row(schemes(pairs(W4A4, W4A4_BY_TOKEN)), "0.32.0"),
        row(Format("batched"), until="0.19.1"),
        row(Format("standard"), "0.20.0"),
        *_REFUSALS,
    ),
)

CUTEDSL_BATCHED_EXPERTS = Kernel(
    name="FlashInferCuteDSLBatchedExperts",
    source="fused_moe/experts/flashinfer_cutedsl_batched_moe.py",
    rows=(
        row(_MASKED),
        row(GatedOnly()),
        row(_SILU),
        row(schemes(pairs(W4A4))),
        row(Format("batched")),
        *_REFUSALS,
    ),
)

FLASHINFER_B12X_EXPERTS = Kernel(
    name="FlashInferB12xExperts",
    source="fused_moe/experts/flashinfer_b12x_moe.py",
    rows=(
        row(Device(("cuda",), majors=(12,), feature="flashinfer_b12x")),
        row(GatedOnly(), until="0.24.0"),
        row(_SILU, until="0.24.0"),
        row(_SILU_RELU2, "0.25.0", "0.27.1"),
        row(Activations(frozenset({"silu", "gelu_tanh", "relu2_no_mul"})), "0.28.0"),
        row(schemes(pairs(W4A4)), until="0.22.1"),
        row(schemes(pairs(W4A4, ("kNvfp4Static", None))), "0.23.0"),
        row(ParallelSizes(refuses_ep=True), "0.25.0"),
        row(Format("standard")),
        *_REFUSALS,
    ),
)

CUTLASS_FP4_EXPERTS = Kernel(
    # until 0.19.1 fused_moe/cutlass_moe.py
    name="CutlassExpertsFp4",
    source="fused_moe/experts/cutlass_moe.py",
    rows=(
        row(Device(("cuda",), majors=(10, 11, 12))),
        row(GatedOnly(), until="0.18.1"),
        row(Activations(frozenset({"silu", "gelu", "swigluoai"})), until="0.16.0"),
        row(
            Activations(frozenset({"silu", "gelu", "swigluoai", "swiglustep"})), "0.17.0", "0.18.1"
        ),
        row(Activations(APPLIED_0_20), "0.19.0", "0.22.1"),
        row(Activations(APPLIED_0_21), "0.23.0", "0.27.1"),
        row(Activations(APPLIED_0_28), "0.28.0"),
        row(schemes(pairs(W4A4))),
        row(ParallelSizes(refuses_ep=True), until="0.31.0"),
        row(
            ParallelSizes(
                refuses_all2all=frozenset(
                    {
                        "deepep_high_throughput",
                        "flashinfer_all2allv",
                        "flashinfer_nvlink_one_sided",
                        "flashinfer_nvlink_two_sided",
                    }
                )
            ),
            "0.32.0",
        ),
        row(Format("standard")),
        row(NotBatchInvariant(), "0.20.0", "0.27.1"),
        row(NoLoRA(), "0.20.0"),
    ),
)


@record
class NoLoRAFirst:
    """The refusal of adapters, asked before anything else."""

    stage: ClassVar[int] = -2

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when LoRA is on."""
        if not situation.query.lora:
            return None
        return Rejection("kernel does not support LoRA", "cannot apply LoRA adapters; LoRA is on")


@record
class NoBias:
    """Expert biases would be dropped; asked before the general conditions."""

    stage: ClassVar[int] = -1

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the expert projections carry a bias."""
        if not situation.query.has_bias:
            return None
        return Rejection("kernel does not support bias", "adds no bias; these experts have one")


NVFP4_EMULATION = Kernel(
    # A subclass of TritonExperts that expands the weights to 16 bits.
    name="Nvfp4QuantizationEmulationTritonExperts",
    source="fused_moe/experts/nvfp4_emulation_moe.py",
    rows=(
        *(one for one in TRITON_EXPERTS.rows if not isinstance(one.constraint, QuantSchemes)),
        row(schemes(pairs(W4A4))),
        row(NoLoRAFirst(), "0.25.0"),
        row(NoBias(), "0.25.0"),
    ),
)

NVFP4_KERNELS = (
    CUTEDSL_EXPERTS,
    CUTEDSL_BATCHED_EXPERTS,
    FLASHINFER_B12X_EXPERTS,
    CUTLASS_FP4_EXPERTS,
    NVFP4_EMULATION,
)
