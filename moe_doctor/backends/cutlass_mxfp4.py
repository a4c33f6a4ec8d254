"""vLLM's own CUTLASS grouped product of MXFP4 inputs and MXFP4 weights."""

from __future__ import annotations

from moe_doctor.backends.activation_sets import APPLIED_0_28
from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
)
from moe_doctor.backends.kernel import Kernel, row
from moe_doctor.backends.schemes import pairs, schemes

CUTLASS_MXFP4_EXPERTS = Kernel(
    # The class is older; the oracle of 0.32.0 is the first to ask it.
    name="CutlassExpertsMxfp4",
    source="fused_moe/experts/cutlass_moe.py",
    rows=(
        # mxfp4_experts_quant_supported() of the compiled extension: from 10.0 to below 12.0, read
        # from the machine code of the published wheels (0.24.0 to 0.33.0).
        row(Device(("cuda",), majors=(10, 11)), since="0.32.0"),
        row(Activations(APPLIED_0_28), since="0.32.0"),
        row(schemes(pairs(("kMxfp4Static", "kMxfp4Dynamic"))), since="0.32.0"),
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
            since="0.32.0",
        ),
        row(Format("standard"), since="0.32.0"),
        row(NotBatchInvariant(), since="0.32.0"),
        row(NoLoRA(), since="0.32.0"),
    ),
)
