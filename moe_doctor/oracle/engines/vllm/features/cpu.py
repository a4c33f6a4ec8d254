"""CPU instruction sets."""

from __future__ import annotations

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.release import Release


def no_amx(machine: MachineSnapshot, release: Release) -> str | None:
    """Why torch.cpu._is_amx_tile_supported() answers no, or None."""
    if "amx_tile" in machine.cpu_features:
        return None
    return "needs a processor with AMX tiles (amx_tile); this one has none"


def no_amx_fp8(machine: MachineSnapshot, release: Release) -> str | None:
    """Why cpu_has_amx_fp8() of vLLM's _custom_ops.py answers no, or None."""
    if "amx_fp8" in machine.cpu_features:
        return None
    return "needs a processor with AMX-FP8 (amx_fp8); this one has none"


FEATURES = {"amx_tile": no_amx, "amx_fp8": no_amx_fp8}
