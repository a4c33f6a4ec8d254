"""What kernels for integer weights ask for: compiled operators and a switch of their own."""

from __future__ import annotations

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.features.environ import is_nonzero
from moe_doctor.oracle.engines.vllm.features.flashinfer import no_flashinfer


def no_mxint4(machine: MachineSnapshot, release: Release) -> str | None:
    """Why is_flashinfer_mxint4_moe_available() answers no, or None."""
    if not is_nonzero(machine.environment, "VLLM_USE_FLASHINFER_MOE_INT4"):
        return "needs VLLM_USE_FLASHINFER_MOE_INT4=1; it is off"
    return no_flashinfer(machine, release)


def no_rdna3_moe(machine: MachineSnapshot, release: Release) -> str | None:
    """Why rdna3_moe_kernel_available() answers no on gfx1100, or None.

    It looks for a compiled operator, which no package list names: a simulated machine has none.
    """
    if machine.platform != "rocm":
        return f"needs ROCm; this is {machine.platform}"
    if machine.simulated:
        return "needs vLLM's operator moe_gptq_gemm_rdna3; a simulated machine shows no operators"
    return None


def no_zentorch(machine: MachineSnapshot, release: Release) -> str | None:
    """Why has_zentorch_op() answers no, or None (kernels/linear/zentorch_utils.py)."""
    if machine.platform != "cpu":
        return f"needs zentorch, which runs on AMD processors; this is {machine.platform}"
    return None if machine.has("zentorch") else "needs zentorch, which is not installed"


FEATURES = {
    "flashinfer_mxint4": no_mxint4,
    "rdna3_moe": no_rdna3_moe,
    "zentorch": no_zentorch,
}
