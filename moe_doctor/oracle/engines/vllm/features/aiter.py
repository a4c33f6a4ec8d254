"""AITER: rocm_aiter_ops of vLLM's _aiter_ops.py."""

from __future__ import annotations

import re

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.features.environ import is_true

_GFX9 = ("gfx90a", "gfx942", "gfx950")
_MI3XX = ("gfx942", "gfx950")
_CDNA3_UP = ("gfx942", "gfx950", "gfx1250")
_RDNA4 = ("gfx1200", "gfx1201")


def architecture(machine: MachineSnapshot) -> str:
    """The first GPU's architecture, or empty."""
    return (machine.gpu.arch or "") if machine.gpu is not None else ""


def no_aiter(machine: MachineSnapshot, release: Release) -> str | None:
    """Why rocm_aiter_ops.is_enabled() answers no, or None (vLLM _aiter_ops.py)."""
    if machine.platform != "rocm":
        return f"needs AITER, which runs on ROCm; this is {machine.platform}"
    if not machine.has("aiter"):
        return "needs aiter, which is not installed"
    arch = architecture(machine)
    if release >= (0, 27, 0):
        supported: tuple[str, ...] = _CDNA3_UP
    elif release >= (0, 19, 0):
        supported = _MI3XX
    else:
        supported = _GFX9
    if arch not in supported:
        return f"needs {' or '.join(supported)}; this GPU is {arch or 'of unknown architecture'}"
    if not is_true(machine.environment, "VLLM_ROCM_USE_AITER", default=False):
        return "needs VLLM_ROCM_USE_AITER=1; it is off"
    return None


def no_aiter_fused_moe(machine: MachineSnapshot, release: Release) -> str | None:
    """Why rocm_aiter_ops.is_fused_moe_enabled() answers no, or None."""
    why = no_aiter(machine, release)
    if why is not None:
        return why
    if not is_true(machine.environment, "VLLM_ROCM_USE_AITER_MOE", default=True):
        return "needs VLLM_ROCM_USE_AITER_MOE=1; it is off"
    return None


def no_rdna_aiter(machine: MachineSnapshot, release: Release) -> str | None:
    """Why is_rdna_aiter_enabled() answers no, or None (from 0.28.0)."""
    enabled = is_true(machine.environment, "VLLM_ROCM_USE_AITER", default=False)
    if enabled and machine.has("aiter") and architecture(machine) in _RDNA4:
        return None
    return "needs aiter and VLLM_ROCM_USE_AITER=1 on gfx1200 or gfx1201"


def no_flydsl(machine: MachineSnapshot, release: Release) -> str | None:
    """Why is_aiter_mxfp8_moe_available() answers no, or None (0.25.0 to 0.30.0).

    It also looks for a tuning file inside aiter, which is taken to be there with flydsl.
    """
    for package in ("aiter", "flydsl"):
        if not machine.has(package):
            return f"needs {package}, which is not installed"
    return None


def no_gate_mode(machine: MachineSnapshot, release: Release) -> str | None:
    """Why AITER's fused MoE cannot take a gate mode, or None (from 0.33.0).

    vLLM looks at the signature of aiter.fused_moe.fused_moe; AITER 0.1.14 added the argument.
    """
    why = no_aiter_fused_moe(machine, release)
    if why is not None:
        return why
    version = machine.version("aiter") or ""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if numbers >= (0, 1, 14):
        return None
    return f"needs aiter 0.1.14 or newer (gate_mode); the installed one is {version or 'unknown'}"


FEATURES = {
    "aiter": no_aiter,
    "aiter_fused_moe": no_aiter_fused_moe,
    "rdna_aiter": no_rdna_aiter,
    "aiter_flydsl": no_flydsl,
    "aiter_gate_mode": no_gate_mode,
}
