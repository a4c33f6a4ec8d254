"""AMD GPUs through the kernel's topology files (amdkfd), without amdsmi or ROCm.

/sys/class/kfd/kfd/topology/nodes/N/properties has one `key value` pair a line; a node whose
simd_count is 0 is a CPU (Linux kernel, drivers/gpu/drm/amd/amdkfd/kfd_topology.c).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from moe_doctor.core.machine import Absent, Gpu, Present, Probe, ProbeFailed
from moe_doctor.probes.cuda import Accelerators
from moe_doctor.probes.gpu_table import KnownGpu, shared_memory_of
from moe_doctor.probes.gpus import find_gpu
from moe_doctor.probes.visible import visible_indices

_NODES = "sys/class/kfd/kfd/topology/nodes"

# PCI device id -> product (vLLM 0.33, vllm/platforms/rocm.py).
_PRODUCTS = {
    0x74A0: "mi300a",
    0x74A1: "mi300x",
    0x74B5: "mi300x",
    0x74A2: "mi308x",
    0x74A5: "mi325x",
    0x74B9: "mi325x",
    0x744C: "rx-7900-xtx",
    0x1586: "strix-halo",
    0x7550: "rx-9070-xt",
    0x7551: "r9700",
}

# heap_type of device memory: 1 public (visible to the host), 2 private (kfd_topology.h).
_DEVICE_HEAPS = (1, 2)


def probe_rocm(environ: Mapping[str, str], root: Path = Path("/")) -> Accelerators:
    """Never raises; `root` stands in for `/`."""
    nodes = root / _NODES
    try:
        folders = sorted(
            (folder for folder in nodes.iterdir() if folder.name.isdigit()),
            key=lambda folder: int(folder.name),
        )
    except FileNotFoundError:
        return Accelerators()
    except OSError as error:
        return Accelerators(driver=ProbeFailed(f"{nodes}: {type(error).__name__}"))
    gpus: list[Gpu] = []
    uuids: list[str] = []
    notes: list[str] = []
    for folder in folders:
        try:
            properties = _properties(folder / "properties")
        except (OSError, ValueError) as error:
            notes.append(f"KFD node {folder.name} cannot be read: {type(error).__name__}")
            continue
        if properties.get("simd_count", 0) > 0:
            gpus.append(_gpu(properties, folder))
            uuids.append(f"GPU-{properties.get('unique_id', 0):016x}")
    seen = _visible(environ, uuids)
    if len(seen) < len(gpus):
        notes.append(f"HIP or ROCr variables leave {len(seen)} of {len(gpus)} GPUs visible")
    driver = _driver(root) if gpus else Absent()
    return Accelerators(
        tuple(gpus[index] for index in seen), len(gpus), driver, Absent(), tuple(notes)
    )


def gfx_name(target_version: int) -> str:
    """90402 -> `gfx942`; 90010 -> `gfx90a`; 110000 -> `gfx1100`."""
    major, rest = divmod(target_version, 10000)
    minor, step = divmod(rest, 100)
    return f"gfx{major}{minor:x}{step:x}"


def _visible(environ: Mapping[str, str], uuids: list[str]) -> tuple[int, ...]:
    """ROCr hides first; HIP then counts what is left, and takes CUDA's variable as its own."""
    left = visible_indices(environ.get("ROCR_VISIBLE_DEVICES"), uuids)
    value = environ.get("HIP_VISIBLE_DEVICES", environ.get("CUDA_VISIBLE_DEVICES"))
    return tuple(left[index] for index in visible_indices(value, [uuids[i] for i in left]))


def _gpu(properties: Mapping[str, int], folder: Path) -> Gpu:
    version = properties.get("gfx_target_version", 0)
    arch = gfx_name(version) if version else None
    known = _product(properties.get("device_id", 0), arch)
    simds = properties["simd_count"]
    lds_kib = properties.get("lds_size_in_kb", 0)
    return Gpu(
        name=known.device_name if known else f"AMD GPU {arch or 'of unknown architecture'}",
        arch=arch,
        memory_bytes=_memory(folder / "mem_banks"),
        bandwidth_bytes_per_s=known.bandwidth_bytes_per_s if known else None,
        shared_memory_bytes=lds_kib * 1024 if lds_kib else shared_memory_of(None, arch, "rocm"),
        num_sms=simds // max(1, properties.get("simd_per_cu", 4)),
    )


def _product(device_id: int, arch: str | None) -> KnownGpu | None:
    key = _PRODUCTS.get(device_id)
    known = None if key is None else find_gpu(key)
    return known if known is not None and known.arch == arch else None


def _properties(path: Path) -> dict[str, int]:
    """Whole numbers only; raises OSError, ValueError."""
    pairs = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _memory(banks: Path) -> int | None:
    """Sum of the device's own banks; None for an APU, which has none."""
    total = 0
    try:
        for bank in banks.iterdir():
            properties = _properties(bank / "properties")
            if properties.get("heap_type") in _DEVICE_HEAPS:
                total += properties.get("size_in_bytes", 0)
    except (OSError, ValueError):
        return None
    return total or None


def _driver(root: Path) -> Probe:
    """Release of the DKMS driver; the kernel's own amdgpu has none."""
    try:
        return Present((root / "sys/module/amdgpu/version").read_text(encoding="ascii").strip())
    except FileNotFoundError:
        return Absent()
    except (OSError, ValueError) as error:
        return ProbeFailed(f"amdgpu version: {type(error).__name__}")
