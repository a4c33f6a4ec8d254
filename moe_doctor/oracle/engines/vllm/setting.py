"""Where a layer is built: what a release looks at outside the checkpoint before it asks an oracle.

The rules are handed a stand-in that notes what they read (`core.alike`), and a comparison is a
smaller reading than a value: `reaches` and not `capability >=`, `is_on` and not `platform ==` where
that is all there is to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release


def _nowhere(package: str) -> bool:
    return False


class Setting(NamedTuple):
    """One machine, with or without adapters."""

    platform: str
    """`cuda`, `rocm`, `xpu`, `cpu`."""
    capability: tuple[int, int] | None = None
    """CUDA compute capability, where there is one."""
    lora: bool = False
    """Whether adapters may be applied."""
    environment: Mapping[str, str] = {}
    """What the engine's process would see."""
    arch: str = ""
    """AMD's name of the GPU, `gfx942`; empty elsewhere."""
    has_amx: bool = False
    """Whether the processor has AMX tiles."""
    has: Callable[[str], bool] = _nowhere
    """Whether a package is there."""
    lacks: Callable[[str], bool] = _nowhere
    """Whether a package that a method is made of is surely not there, or too old."""

    @property
    def batch_invariant(self) -> bool:
        """VLLM_BATCH_INVARIANT, as vllm/envs.py reads it: an integer, off by default."""
        value = self.environment.get("VLLM_BATCH_INVARIANT")
        if value is None:
            return False
        return value.strip().lstrip("+-").isdigit() and int(value) != 0

    def is_on(self, *platforms: str) -> bool:
        """Whether the platform is one of these."""
        return self.platform in platforms

    def reaches(self, capability: tuple[int, int]) -> bool:
        """Whether the CUDA compute capability is known and at least this."""
        return self.capability is not None and self.capability >= capability

    def is_below(self, capability: tuple[int, int]) -> bool:
        """Whether the CUDA compute capability is known and smaller."""
        return self.capability is not None and self.capability < capability

    def is_family(self, *majors: int) -> bool:
        """Whether the CUDA compute capability is known and of one of these families."""
        return self.capability is not None and self.capability[0] in majors


def settings_of(machine: MachineSnapshot, release: Release) -> tuple[Setting, Setting]:
    """The machine as `release` looks at it, without adapters and with them."""
    plain = Setting(
        machine.platform,
        machine.capability,
        False,
        machine.environment,
        (machine.gpus[0].arch or "") if machine.gpus else "",
        "amx_tile" in machine.cpu_features,
        machine.has,
        partial(_lacks, machine, release),
    )
    return plain, plain._replace(lora=True)


def _lacks(machine: MachineSnapshot, release: Release, package: str) -> bool:
    # Loaded for the few methods that are made of a package.
    from moe_doctor.oracle.engines.vllm.methods.needed_packages import lacks_package

    return lacks_package(package, machine, release)
