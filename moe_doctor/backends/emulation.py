"""Kernels that only imitate a format: weights are expanded to bfloat16, then run by Triton."""

from __future__ import annotations

from typing import ClassVar

from moe_doctor.backends.kernel import Kernel, row
from moe_doctor.backends.schemes import QuantSchemes
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.backends.triton import TRITON_EXPERTS
from moe_doctor.core.record import record


@record
class NeedsQuark:
    """AMD's quark does the expansion; asked before anything else."""

    stage: ClassVar[int] = -1

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the package is not installed."""
        if "quark" in situation.facts.features:
            return None
        return Rejection("kernel requires amd-quark package", situation.facts.missing["quark"])


OCP_MX_EMULATION = Kernel(
    name="OCP_MXQuantizationEmulationTritonExperts",
    source="fused_moe/experts/ocp_mx_emulation_moe.py",
    rows=(
        # A subclass of TritonExperts that takes every format.
        *(one for one in TRITON_EXPERTS.rows if not isinstance(one.constraint, QuantSchemes)),
        row(NeedsQuark(), since="0.28.0"),
    ),
)
