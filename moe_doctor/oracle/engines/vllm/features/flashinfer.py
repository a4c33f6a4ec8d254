"""FlashInfer: has_flashinfer*() of vLLM's utils/flashinfer.py."""

from __future__ import annotations

from moe_doctor.core.machine import MachineSnapshot, Present
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.features.environ import is_nonzero


def no_flashinfer(machine: MachineSnapshot, release: Release) -> str | None:
    """Why has_flashinfer() answers no, or None (vLLM utils/flashinfer.py)."""
    if machine.platform != "cuda":
        return f"needs FlashInfer, which runs on CUDA; this is {machine.platform}"
    if not machine.has("flashinfer-python"):
        return "needs flashinfer-python, which is not installed"
    if machine.has("flashinfer-cubin"):
        return None
    if is_nonzero(machine.environment, "VLLM_HAS_FLASHINFER_CUBIN"):
        return None
    if not isinstance(machine.toolkit.nvcc, Present):
        return "needs flashinfer-cubin or nvcc; neither is there"
    # 0.32.0 asks for ninja too, because the JIT cannot build without it
    if release >= (0, 32, 0) and not isinstance(machine.toolkit.ninja, Present):
        return "needs flashinfer-cubin, or nvcc and ninja; ninja is not there"
    return None


# All three need only names that every pinned FlashInfer has.
FEATURES = {
    "flashinfer": no_flashinfer,
    "flashinfer_cutlass": no_flashinfer,
    "flashinfer_trtllm": no_flashinfer,
}
