"""Intel GPUs by PCI id from /sys/class/drm.

Only discrete products of the table count: an integrated GPU has the same vendor id, and vLLM's XPU
platform would ask torch.xpu, which is never imported here.
"""

from __future__ import annotations

from pathlib import Path

from moe_doctor.core.machine import Gpu
from moe_doctor.probes.cuda import Accelerators
from moe_doctor.probes.gpus import as_gpu, find_gpu

_INTEL = 0x8086

# PCI ids from the Linux kernel, include/drm/intel/pciids.h (PVC and BMG lists).
_PRODUCTS = {0x0BD5: "max-1550", 0x0BD6: "max-1550", 0xE20B: "arc-b580", 0xE211: "arc-pro-b60"}


def probe_xpu(root: Path = Path("/")) -> Accelerators:
    """Never raises; `root` stands in for `/`. Figures are the product's, not read."""
    gpus: list[Gpu] = []
    notes: list[str] = []
    try:
        cards = sorted((root / "sys/class/drm").glob("card[0-9]*"))
    except OSError:
        cards = []
    for card in cards:
        vendor, device = _id(card / "device/vendor"), _id(card / "device/device")
        # card0-DP-1 and the like are connectors of card0.
        if "-" in card.name or vendor != _INTEL or device is None:
            continue
        if device in _PRODUCTS:
            gpus.append(as_gpu(find_gpu(_PRODUCTS[device])))
        else:
            notes.append(
                f"an Intel GPU with PCI id {device:#06x} is in no table; "
                "--platform xpu asks about it"
            )
    return Accelerators(tuple(gpus), len(gpus), notes=tuple(notes))


def _id(path: Path) -> int | None:
    """`0x8086` as a number, or None."""
    try:
        return int(path.read_text(encoding="ascii").strip(), 16)
    except (OSError, ValueError):
        return None
