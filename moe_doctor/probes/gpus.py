"""Names of GPUs: what a user types, or a driver says, -> one row of the table.

Case, spaces, dashes and vendor words do not count, so that `H100 SXM`, `nvidia-h100` and
`rtx5090` are found.
"""

from __future__ import annotations

import re
from functools import cache

from moe_doctor.core.errors import UnknownNameError, nearest_names
from moe_doctor.core.machine import Gpu
from moe_doctor.core.record import replace
from moe_doctor.probes.gpu_table import ARCH_GPUS, CAPABILITY_GPUS, KNOWN_GPUS, KnownGpu

__all__ = [
    "KNOWN_GPUS",
    "KnownGpu",
    "as_gpu",
    "find_gpu",
    "gpu_for_arch",
    "gpu_for_capability",
    "gpu_of_device",
]

_VENDOR_WORDS = re.compile(
    r"\((?:r|tm)\)|\b(?:nvidia|amd|intel|geforce|tesla|instinct|radeon|jetson|graphics)\b"
)


def find_gpu(name: str) -> KnownGpu:
    """Product of that name; raises UnknownNameError with the nearest names."""
    index = _by_spelling()
    folded = _fold(name)
    if folded in index:
        return index[folded]
    other = _other_option(name.strip().lower())
    if other:
        raise UnknownNameError("GPU", name, (), f"it is no product's name: {other}")
    nearest = _nearest(folded, index)
    known = ", ".join(sorted(gpu.key for gpu in KNOWN_GPUS))
    hint = f"nearest: {', '.join(nearest)}; any other CUDA GPU: --capability X.Y; known: {known}"
    raise UnknownNameError("GPU", name, nearest, hint)


def _other_option(name: str) -> str:
    """The option that takes what was given as a product, or empty."""
    if name in ARCH_GPUS:
        return f"--arch {name}"
    if name in ("xpu", "tpu"):
        return f"--platform {name}"
    if name in ("cuda", "nvidia"):
        return "--capability 9.0, or another"
    if name in ("rocm", "hip", "amd"):
        return "--arch gfx942, or another"
    found = re.fullmatch(r"(?:sm_?|cc_?)?(\d{1,2})\.?(\d)[af]?", name)
    if found is not None and (int(found[1]), int(found[2])) in CAPABILITY_GPUS:
        return f"--capability {found[1]}.{found[2]}"
    return ""


def gpu_of_device(device_name: str) -> KnownGpu | None:
    """Row of the product that a driver calls by this name, or None; never a near match."""
    for known in KNOWN_GPUS:
        if device_name in (known.device_name, *known.other_names):
            return known
    return None


def gpu_for_capability(capability: tuple[int, int]) -> KnownGpu | None:
    """The product that stands for a compute capability, or None when no GPU has it."""
    key = CAPABILITY_GPUS.get(capability)
    return None if key is None else find_gpu(key)


def gpu_for_arch(arch: str) -> KnownGpu | None:
    """The product that stands for a ROCm architecture, or None when it is in no row."""
    key = ARCH_GPUS.get(arch)
    return None if key is None else find_gpu(key)


def as_gpu(known: KnownGpu) -> Gpu:
    """The row as a device of a simulated machine."""
    return Gpu(
        name=known.device_name,
        capability=known.capability,
        arch=known.arch,
        memory_bytes=known.memory_bytes,
        bandwidth_bytes_per_s=known.bandwidth_bytes_per_s,
        shared_memory_bytes=known.shared_memory_bytes,
        num_sms=known.num_sms,
    )


@cache
def _by_spelling() -> dict[str, KnownGpu]:
    index: dict[str, KnownGpu] = {}
    for known in KNOWN_GPUS:
        for spelling in (known.key, known.device_name, *known.aliases):
            index[_fold(spelling)] = known
    for known in KNOWN_GPUS:
        for name in known.other_names:
            # A variant answers under its own name: tuned configs are looked up by it.
            index.setdefault(_fold(name), replace(known, device_name=name))
    return index


def _fold(name: str) -> str:
    """`NVIDIA H100-SXM` -> `h100sxm`."""
    return re.sub(r"[^a-z0-9]", "", _VENDOR_WORDS.sub(" ", re.sub(r"[_-]", " ", name.lower())))


def _nearest(folded: str, index: dict[str, KnownGpu]) -> tuple[str, ...]:

    # A name of any length is accepted on the command line; difflib is quadratic.
    close = nearest_names(folded[:64], index, n=8, cutoff=0.4)
    keys = dict.fromkeys(index[spelling].key for spelling in close)
    return tuple(keys)[:4] or ("h100", "b200", "rtx-4090", "mi300x")
