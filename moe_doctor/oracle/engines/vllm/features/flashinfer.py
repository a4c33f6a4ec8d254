"""FlashInfer: has_flashinfer*() of vLLM's utils/flashinfer.py."""

from __future__ import annotations

import re
from collections.abc import Callable

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


def has_names_from(first: str, names: str) -> Callable[[MachineSnapshot, Release], str | None]:
    """A check for names that FlashInfer has from version `first` on."""
    wanted = _numbers(first)

    def check(machine: MachineSnapshot, release: Release) -> str | None:
        why = no_flashinfer(machine, release)
        if why is not None:
            return why
        version = machine.version("flashinfer-python")
        if not version or _numbers(version) >= wanted:
            return None
        return f"needs flashinfer-python {first} or newer ({names}); {version} is installed"

    return check


def no_module(machine: MachineSnapshot, release: Release) -> str | None:
    """Why `import flashinfer` fails, or None: some vLLM modules import it without asking."""
    if machine.has("flashinfer-python"):
        return None
    return "needs flashinfer-python, which is not installed"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _NUMBERS.findall(version)[:3])


_NUMBERS = re.compile(r"\d+")

# The first four need only names that every pinned FlashInfer has.
FEATURES = {
    "flashinfer": no_flashinfer,
    "flashinfer_cutlass": no_flashinfer,
    "flashinfer_trtllm": no_flashinfer,
    "flashinfer_cutedsl_masked": no_flashinfer,
    "flashinfer_cutedsl": has_names_from("0.6.4", "cute_dsl_fused_moe_nvfp4"),
    "flashinfer_b12x": has_names_from("0.6.11", "b12x_fused_moe"),
    "flashinfer_situ": has_names_from("0.6.16", "ActivationType.Situ"),
    "flashinfer_module": no_module,
}
