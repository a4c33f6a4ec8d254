"""Methods whose kernels come with a package of their own, and what a release says without it.

Sources: quantization/bitsandbytes.py (_check_bitsandbytes_version), quantization/torchao.py
(TorchAOConfig.from_config), 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.machine import Absent, MachineSnapshot
from moe_doctor.core.release import Release, parse_release
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    by_linear,
    refused_by_constructor,
    refused_by_method,
)

NEEDS_PACKAGE = frozenset({"bitsandbytes", "torchao"})
"""Methods, called as their packages are."""
_REWORDED: Release = (0, 17, 0)


def lacks_package(name: str, machine: MachineSnapshot, release: Release) -> bool:
    """Whether the machine surely has no such package, or one that is too old."""
    if isinstance(machine.packages.get(name), Absent):
        return True
    if name not in machine.packages:
        return machine.simulated  # a snapshot from before this was looked at says nothing
    found = parse_release(machine.version(name) or "")
    wanted = parse_release(_smallest(name, machine.platform, release))
    return found is not None and wanted is not None and found < wanted


def refuse_missing(name: str, platform: str, release: Release) -> MethodRefused:
    """What is raised: by TorchAO's config, by the first linear layer of bitsandbytes."""
    wanted = f"{name}>={_smallest(name, platform, release)}"
    kind = "quantizer" if name == "bitsandbytes" else "quantization"
    text = f"Please install {wanted} via `pip install {wanted}` to use {name} {kind}."
    reason = f"{wanted} is not there; install it beside the engine"
    if name == "torchao":
        return refused_by_constructor(text, reason, kind="ImportError")
    return by_linear(refused_by_method("ImportError", text, reason))


def _smallest(name: str, platform: str, release: Release) -> str:
    if name == "torchao":
        return "0.10.0"
    if release < _REWORDED:
        return "0.46.1"
    return "0.49.2" if platform == "rocm" else "0.48.1"
