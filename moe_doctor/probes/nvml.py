"""NVML as this room needs it: the functions of pynvml that are called, and its errors in words.

NVML reads the driver without a CUDA context, so that neither torch nor GPU memory is touched.
"""

from __future__ import annotations

from typing import Any, Protocol, cast


class Nvml(Protocol):
    """The part of the module `pynvml` (nvidia-ml-py) that is used; tests give a literal one."""

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own spelling, here and below
        """Load the library."""

    def nvmlShutdown(self) -> None:  # noqa: N802
        """Let go of the library."""

    def nvmlSystemGetDriverVersion(self) -> str | bytes:  # noqa: N802
        """`580.95.05`."""

    def nvmlSystemGetCudaDriverVersion(self) -> int:  # noqa: N802
        """13000 for CUDA 13.0."""

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        """Devices of the host (or the container)."""

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:  # noqa: N802
        """Handle in PCI order."""

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any:  # noqa: N802
        """Handle of a device or a MIG instance."""

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: Any) -> Any:  # noqa: N802
        """The device that a MIG instance is a part of."""

    def nvmlDeviceGetMigMode(self, handle: Any) -> list[int]:  # noqa: N802
        """[current, pending], 1 = enabled."""

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any:  # noqa: N802
        """A MIG instance of a device."""

    def nvmlDeviceGetName(self, handle: Any) -> str | bytes:  # noqa: N802
        """Product name."""

    def nvmlDeviceGetUUID(self, handle: Any) -> str | bytes:  # noqa: N802
        """`GPU-...` or `MIG-...`."""

    def nvmlDeviceGetCudaComputeCapability(self, handle: Any) -> tuple[int, int]:  # noqa: N802
        """(9, 0)."""

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:  # noqa: N802
        """`.total` in bytes."""


# nvml.h, enum nvmlReturn_t
_NOT_SUPPORTED = 3
_LIBRARY_NOT_FOUND = 12
_WORDS = {
    2: "invalid argument",
    _NOT_SUPPORTED: "not supported",
    4: "no permission",
    6: "not found",
    9: "the NVIDIA driver is not loaded",
    _LIBRARY_NOT_FOUND: "the NVML library is not installed",
    13: "the NVML library lacks a function that was asked for",
    15: "the GPU has fallen off the bus",
    18: "driver and NVML library have different versions",
    999: "unknown error",
}


def load_nvml() -> Nvml:
    """The real module; raises ImportError where nvidia-ml-py is missing."""
    import pynvml

    return cast("Nvml", pynvml)


def is_library_missing(error: Exception) -> bool:
    """Whether there is no NVIDIA driver at all, which is absence and not a defect."""
    return getattr(error, "value", None) == _LIBRARY_NOT_FOUND


def describe(error: Exception) -> str:
    """An NVML error in words."""
    code = getattr(error, "value", None)
    if isinstance(code, int):
        return f"NVML error {code}: {_WORDS.get(code, str(error))}"
    return f"{type(error).__name__}: {error}"


def text(value: str | bytes) -> str:
    """nvidia-ml-py before 11.515 gives bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
