"""What machine it is: read once by the probes, or simulated, and never changed after.

Absent, failed and present are three values: a probe that failed is evidence, not absence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.record import field, record


@record
class Present:
    """Found, with its version or path (empty when it has none)."""

    value: str


@record
class Absent:
    """Looked for and not there."""


@record
class ProbeFailed:
    """Could not be looked for, or is there but broken."""

    reason: str


Probe = Present | Absent | ProbeFailed


class Gpu(NamedTuple):
    """One accelerator."""

    name: str
    """Product name as the driver says it."""
    capability: tuple[int, int] | None = None
    """CUDA compute capability (major, minor); None off CUDA."""
    arch: str | None = None
    """ROCm architecture such as `gfx942`; None on CUDA."""
    memory_bytes: int | None = None
    """Device memory."""
    bandwidth_bytes_per_s: int | None = None
    """Peak memory bandwidth of the product, where known."""
    shared_memory_bytes: int | None = None
    """Largest shared memory (LDS) that one block can ask for."""
    num_sms: int | None = None
    """Streaming multiprocessors or compute units, where known."""

    @property
    def target(self) -> str:
        """`sm_90`, `gfx942`, or empty."""
        if self.capability is not None:
            return f"sm_{self.capability[0]}{self.capability[1]}"
        return self.arch or ""


class Toolkit(NamedTuple):
    """What a just-in-time compile would use."""

    nvcc: Probe = Absent()
    """Release of nvcc."""
    nvcc_path: str | None = None
    """Where nvcc is."""
    cuda_home: Probe = Absent()
    """CUDA_HOME or the place that tools would infer."""
    ninja: Probe = Absent()
    """Release of ninja."""
    host_compiler: Probe = Absent()
    """First line of `c++ --version`."""


@record
class MachineSnapshot:
    """Everything the oracle, the proof and the checks may ask about the machine."""

    platform: str
    """`cuda`, `rocm`, `xpu`, `cpu`, `tpu` or `oot` (out of tree)."""
    gpus: tuple[Gpu, ...] = ()
    """Visible accelerators, in the driver's order."""
    simulated: bool = False
    """Whether this machine was described by options and not read."""
    driver: Probe = Absent()
    """Driver release."""
    cuda: Probe = Absent()
    """CUDA release that the driver supports."""
    packages: Mapping[str, Probe] = field(default_factory=dict)
    """Distributions by canonical name (`flashinfer-python`), by metadata, never imported."""
    toolkit: Toolkit = Toolkit()
    """Compilers."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that steer engines and kernels, and nothing else."""
    python: str = ""
    """Release of the Python that ran the probe."""
    os: str = ""
    """Operating system and release."""
    cpu_arch: str = "x86_64"
    """Machine architecture of the host, as `uname -m` says it."""
    cpu_features: tuple[str, ...] = ()
    """CPU features that kernels ask for: `amx_tile`, `amx_bf16`, `avx512f`, `asimd`."""
    memory_bytes: int | None = None
    """Host memory."""
    notes: tuple[str, ...] = ()
    """What was odd while probing, one sentence each."""

    @property
    def gpu(self) -> Gpu | None:
        """The first accelerator: what an engine's oracle asks about."""
        return self.gpus[0] if self.gpus else None

    @property
    def capability(self) -> tuple[int, int] | None:
        """Compute capability of the first accelerator."""
        return self.gpus[0].capability if self.gpus else None

    def version(self, package: str) -> str | None:
        """Version of an installed package, or None when absent or broken."""
        probe = self.packages.get(package)
        return probe.value if isinstance(probe, Present) else None

    def has(self, package: str) -> bool:
        """Whether a package is installed and readable."""
        return isinstance(self.packages.get(package), Present)

    def to_dict(self) -> dict[str, Any]:
        """JSON form, whole: `from_dict` gives an equal snapshot back."""
        return {
            "simulated": self.simulated,
            "platform": self.platform,
            "gpus": [
                {
                    "name": gpu.name,
                    "capability": _dotted(gpu.capability),
                    "arch": gpu.arch,
                    "memory_bytes": gpu.memory_bytes,
                    "bandwidth_bytes_per_s": gpu.bandwidth_bytes_per_s,
                    "shared_memory_bytes": gpu.shared_memory_bytes,
                    "num_sms": gpu.num_sms,
                }
                for gpu in self.gpus
            ],
            "driver": _plain(self.driver),
            "cuda": _plain(self.cuda),
            "packages": {name: _plain(probe) for name, probe in sorted(self.packages.items())},
            "toolkit": {
                "nvcc": _plain(self.toolkit.nvcc),
                "nvcc_path": self.toolkit.nvcc_path,
                "cuda_home": _plain(self.toolkit.cuda_home),
                "ninja": _plain(self.toolkit.ninja),
                "host_compiler": _plain(self.toolkit.host_compiler),
            },
            "environment": dict(sorted(self.environment.items())),
            "python": self.python,
            "os": self.os,
            "cpu_arch": self.cpu_arch,
            "cpu_features": list(self.cpu_features),
            "memory_bytes": self.memory_bytes,
            "notes": list(self.notes),
        }


def _dotted(capability: tuple[int, int] | None) -> str | None:
    return None if capability is None else f"{capability[0]}.{capability[1]}"


def _plain(probe: Probe) -> str | dict[str, str] | None:
    """Present -> its value, absent -> null, failed -> {"failed": why}."""
    match probe:
        case Present(value):
            return value
        case Absent():
            return None
        case ProbeFailed(reason):
            return {"failed": reason}
