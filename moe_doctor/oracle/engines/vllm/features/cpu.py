"""CPU instruction sets."""

from __future__ import annotations

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.release import Release


def no_amx(machine: MachineSnapshot, release: Release) -> str | None:
    """Why torch.cpu._is_amx_tile_supported() answers no, or None."""
    if "amx_tile" in machine.cpu_features:
        return None
    return "needs a processor with AMX tiles (amx_tile); this one has none"


FEATURES = {"amx_tile": no_amx}
