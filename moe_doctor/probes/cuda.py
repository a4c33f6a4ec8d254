"""NVIDIA GPUs through NVML: what a CUDA process started now would see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from moe_doctor.core.machine import Absent, Gpu, Present, Probe, ProbeFailed
from moe_doctor.core.record import record
from moe_doctor.probes.gpu_table import shared_memory_of
from moe_doctor.probes.gpus import as_gpu, find_gpu, gpu_of_device
from moe_doctor.probes.nvml import Nvml, describe, is_library_missing, text
from moe_doctor.probes.visible import visible_indices

T = TypeVar("T")

_ABSENT = Absent()


@record
class Accelerators:
    """What one vendor's driver says."""

    gpus: tuple[Gpu, ...] = ()
    """Visible devices."""
    num_devices: int = 0
    """Devices before a visibility variable hides any."""
    driver: Probe = _ABSENT
    """Driver release."""
    cuda: Probe = _ABSENT
    """CUDA release that the driver supports."""
    notes: tuple[str, ...] = ()
    """What was odd."""


def probe_cuda(environ: Mapping[str, str], load: Callable[[], Nvml]) -> Accelerators:
    """Never raises; `load` gives NVML or raises ImportError."""
    try:
        nvml = load()
        nvml.nvmlInit()
    except ImportError as error:
        return Accelerators(driver=ProbeFailed(f"nvidia-ml-py cannot be imported: {error}"))
    except Exception as error:  # NVML's errors share no base that can be named
        if is_library_missing(error):
            return Accelerators()
        return Accelerators(driver=ProbeFailed(describe(error)))
    try:
        return _read(nvml, environ)
    except Exception as error:
        return Accelerators(driver=ProbeFailed(describe(error)))
    finally:
        _try(nvml.nvmlShutdown)


def probe_jetson(root: Path) -> Accelerators | None:
    """A Jetson whose NVML is missing or silent, or None when this is none.

    vLLM takes it for CUDA all the same (vllm/platforms/__init__.py, `cuda_is_jetson`).
    """
    release, firmware = root / "etc/nv_tegra_release", root / "sys/class/tegra-firmware"
    try:
        if not (release.is_file() or firmware.exists()):
            return None
        model = (root / "proc/device-tree/model").read_bytes().decode("utf-8", "replace")
    except OSError:
        model = ""
    key = next((key for key in ("thor", "orin") if key in model.lower()), None)
    note = f"this is a Jetson ({model.strip(chr(0)) or 'model unknown'}) and NVML does not answer"
    gpus = () if key is None else (as_gpu(find_gpu(key)),)
    return Accelerators(gpus=gpus, num_devices=1, notes=(note,))


def _read(nvml: Nvml, environ: Mapping[str, str]) -> Accelerators:
    driver = _probe(lambda: text(nvml.nvmlSystemGetDriverVersion()))
    cuda = _probe(lambda: _release(nvml.nvmlSystemGetCudaDriverVersion()))
    count = nvml.nvmlDeviceGetCount()
    notes: list[str] = []
    value = environ.get("CUDA_VISIBLE_DEVICES")
    if value is not None and value.strip().upper().startswith("MIG-"):
        gpus = _named_instance(nvml, value.split(",")[0].strip(), notes)
    else:
        handles = [_handle(nvml, index, notes) for index in range(count)]
        uuids = [_uuid(nvml, handle) for handle in handles]
        chosen = [handles[index] for index in visible_indices(value, uuids)]
        gpus = tuple(_gpu(nvml, handle, notes) for handle in chosen if handle is not None)
    if value is not None and len(gpus) < count:
        notes.append(f"CUDA_VISIBLE_DEVICES leaves {len(gpus)} of {count} GPUs visible")
    # The driver counts by PCI bus, CUDA by speed unless it is told otherwise.
    if len({gpu.name for gpu in gpus}) > 1 and environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        notes.append(
            "GPUs differ and CUDA_DEVICE_ORDER is not PCI_BUS_ID: CUDA may number them otherwise"
        )
    return Accelerators(gpus, count, driver, cuda, tuple(notes))


def _handle(nvml: Nvml, index: int, notes: list[str]) -> Any:
    try:
        return nvml.nvmlDeviceGetHandleByIndex(index)
    except Exception as error:  # one dead GPU must not hide the others
        notes.append(f"GPU {index} cannot be read: {describe(error)}")
        return None


def _named_instance(nvml: Nvml, uuid: str, notes: list[str]) -> tuple[Gpu, ...]:
    """CUDA uses one MIG instance at most: the first that is named."""
    try:
        instance = nvml.nvmlDeviceGetHandleByUUID(uuid)
        parent = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance)
    except Exception as error:  # NVML's errors share no base that can be named
        notes.append(f"CUDA_VISIBLE_DEVICES names a MIG instance: {describe(error)}")
        return ()
    return (_instance_gpu(nvml, instance, parent),)


def _gpu(nvml: Nvml, handle: Any, notes: list[str]) -> Gpu:
    mode = _try(lambda: nvml.nvmlDeviceGetMigMode(handle))
    if mode is not None and mode[0] == 1:
        instance = _try(lambda: nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, 0))
        if instance is not None:
            notes.append("MIG is enabled: CUDA sees the first instance alone")
            return _instance_gpu(nvml, instance, handle)
        notes.append("MIG is enabled and has no instance: CUDA sees no device")
    name = _try(lambda: text(nvml.nvmlDeviceGetName(handle))) or "NVIDIA GPU"
    capability = _try(lambda: _pair(nvml.nvmlDeviceGetCudaComputeCapability(handle)))
    # Jetson, Thor and GB10 share the host's memory and answer NOT_SUPPORTED here.
    memory = _try(lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).total))
    known = gpu_of_device(name)
    return Gpu(
        name=name,
        capability=capability,
        memory_bytes=memory,
        bandwidth_bytes_per_s=None if known is None else known.bandwidth_bytes_per_s,
        shared_memory_bytes=shared_memory_of(capability, None, "cuda"),
        num_sms=None if known is None else known.num_sms,
    )


def _instance_gpu(nvml: Nvml, instance: Any, parent: Any) -> Gpu:
    """A MIG instance; its share of bandwidth and multiprocessors is not the product's."""
    name = _try(lambda: text(nvml.nvmlDeviceGetName(instance))) or "NVIDIA MIG"
    capability = _try(lambda: _pair(nvml.nvmlDeviceGetCudaComputeCapability(parent)))
    return Gpu(
        name=name,
        capability=capability,
        memory_bytes=_try(lambda: int(nvml.nvmlDeviceGetMemoryInfo(instance).total)),
        shared_memory_bytes=shared_memory_of(capability, None, "cuda"),
    )


def _uuid(nvml: Nvml, handle: Any) -> str:
    """Empty for a GPU that does not answer; never stored."""
    return "" if handle is None else _try(lambda: text(nvml.nvmlDeviceGetUUID(handle))) or ""


def _pair(capability: tuple[int, int]) -> tuple[int, int]:
    return int(capability[0]), int(capability[1])


def _release(version: int) -> str:
    """13000 -> `13.0`."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _probe(read: Callable[[], str]) -> Probe:
    try:
        return Present(read())
    except Exception as error:  # NVML's errors share no base that can be named
        return ProbeFailed(describe(error))


def _try(read: Callable[[], T]) -> T | None:
    """The answer, or None when this GPU or driver does not give it."""
    try:
        return read()
    except Exception:  # None is the recorded answer
        return None
