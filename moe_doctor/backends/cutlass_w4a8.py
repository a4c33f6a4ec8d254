"""vLLM's CUTLASS grouped GEMM with 4-bit integer weights and FP8 inputs."""

from __future__ import annotations

from moe_doctor.backends.activation_sets import APPLIED_0_28
from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoLoRA,
    NotBatchInvariant,
)
from moe_doctor.backends.dtypes import FirstInputTypes
from moe_doctor.backends.kernel import Kernel, row
from moe_doctor.backends.schemes import pairs, schemes

CUTLASS_W4A8_FP8 = Kernel(
    name="CutlassExpertsW4A8Fp8",
    source="fused_moe/experts/cutlass_moe.py",
    # No oracle asks it before 0.22.0.
    rows=(
        row(FirstInputTypes(frozenset({"bfloat16"}))),
        row(Device(("cuda",), majors=(9, 10)), until="0.30.0"),
        row(Device(("cuda",), exact=((9, 0),)), since="0.31.0"),
        row(GatedOnly()),
        row(Activations(frozenset({"silu", "gelu", "swigluoai"})), until="0.27.1"),
        # every gated activation that apply_moe_activation has; GatedOnly is asked before
        row(Activations(APPLIED_0_28), since="0.28.0"),
        row(schemes(pairs(("kInt4Static", "kFp8DynamicTokenSym")))),
        row(Format("standard")),
        row(NotBatchInvariant()),
        row(NoLoRA()),
    ),
)
