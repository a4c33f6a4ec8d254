# ruff: noqa: N802 - the names are NVML's own
"""A literal NVML: what tests say the driver answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class FakeNvmlError(Exception):
    """Carries a return code as pynvml's errors do."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML says {value}")
        self.value = value


@dataclass
class FakeGpu:
    name: str = "NVIDIA H100 80GB HBM3"
    capability: tuple[int, int] = (9, 0)
    memory: int | None = 81559 << 20
    uuid: str = "GPU-11111111-2222-3333-4444-555555555555"
    lost: bool = False
    instances: list[FakeGpu] = field(default_factory=list)
    mig: bool = False
    parent: FakeGpu | None = None


@dataclass
class FakeNvml:
    gpus: list[FakeGpu] = field(default_factory=list)
    init_error: Exception | None = None
    driver: str | bytes = "580.95.05"
    shut_down: int = 0

    def nvmlInit(self) -> None:
        if self.init_error is not None:
            raise self.init_error

    def nvmlShutdown(self) -> None:
        self.shut_down += 1

    def nvmlSystemGetDriverVersion(self) -> str | bytes:
        return self.driver

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 13010

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        if self.gpus[index].lost:
            raise FakeNvmlError(15)
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any:
        for gpu in self.gpus:
            for instance in gpu.instances:
                if instance.uuid == uuid:
                    return instance
        raise FakeNvmlError(6)

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: Any) -> Any:
        return next(gpu for gpu in self.gpus if handle in gpu.instances)

    def nvmlDeviceGetMigMode(self, handle: Any) -> list[int]:
        return [int(handle.mig), int(handle.mig)]

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any:
        if index >= len(handle.instances):
            raise FakeNvmlError(6)
        return handle.instances[index]

    def nvmlDeviceGetName(self, handle: Any) -> str | bytes:
        return str(handle.name)

    def nvmlDeviceGetUUID(self, handle: Any) -> str | bytes:
        return str(handle.uuid)

    def nvmlDeviceGetCudaComputeCapability(self, handle: Any) -> tuple[int, int]:
        if handle.capability is None:
            raise FakeNvmlError(3)
        return handle.capability

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:
        if handle.memory is None:
            raise FakeNvmlError(3)
        return SimpleNamespace(total=handle.memory)
