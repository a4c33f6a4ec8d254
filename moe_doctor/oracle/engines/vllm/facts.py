"""What a vLLM release would find out about a machine: its has_*() checks and environment reads."""

from __future__ import annotations

from collections.abc import Mapping

from moe_doctor.backends.situation import Facts
from moe_doctor.core.machine import MachineSnapshot, Present
from moe_doctor.core.release import Release

_GFX9 = ("gfx90a", "gfx942", "gfx950")
_MI3XX = ("gfx942", "gfx950")
_CDNA3_UP = ("gfx942", "gfx950", "gfx1250")
_RDNA4 = ("gfx1200", "gfx1201")


def make_facts(machine: MachineSnapshot, release: Release) -> Facts:
    """Everything that constraints may ask of `machine` under `release`."""
    environment = machine.environment
    gpu = machine.gpu
    arch = (gpu.arch or "") if gpu is not None else ""
    present: set[str] = set()
    missing: dict[str, str] = {}
    for name, why in (
        ("flashinfer", _no_flashinfer(machine, release)),
        ("aiter_fused_moe", _no_aiter(machine, arch, release)),
    ):
        if why is None:
            present.add(name)
        else:
            missing[name] = why
    # Both need only names that every pinned FlashInfer has (utils/flashinfer.py).
    for name in ("flashinfer_cutlass", "flashinfer_trtllm"):
        if "flashinfer" in present:
            present.add(name)
        else:
            missing[name] = missing["flashinfer"]
    # 0.28.0 _aiter_ops.py is_rdna_aiter_enabled
    if (
        arch in _RDNA4
        and machine.has("aiter")
        and is_true(environment, "VLLM_ROCM_USE_AITER", default=False)
    ):
        present.add("rdna_aiter")
    if "amx_tile" in machine.cpu_features:
        present.add("amx_tile")
    else:
        missing["amx_tile"] = "needs a processor with AMX tiles (amx_tile); this one has none"
    return Facts(
        platform=machine.platform,
        capability=gpu.capability if gpu is not None else None,
        arch=arch,
        gpu_name=gpu.name if gpu is not None else "",
        cpu_arch=machine.cpu_arch,
        features=frozenset(present),
        missing=missing,
        batch_invariant=is_nonzero(environment, "VLLM_BATCH_INVARIANT"),
    )


def is_true(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    """vLLM's reading of VLLM_ROCM_*: `true` and `1` in any case are on, all else is off."""
    value = environment.get(name)
    return default if value is None else value.lower() in ("true", "1")


def is_nonzero(environment: Mapping[str, str], name: str) -> bool:
    """vLLM's reading of 0/1 variables: an integer, on when not zero; unreadable counts as off.

    vLLM raises ValueError on a value that is no integer; the checks report that one.
    """
    try:
        return bool(int(environment.get(name, "0")))
    except ValueError:
        return False


def _no_flashinfer(machine: MachineSnapshot, release: Release) -> str | None:
    """Why has_flashinfer() answers no, or None (vLLM utils/flashinfer.py)."""
    if machine.platform != "cuda":
        return f"needs FlashInfer, which runs on CUDA; this is {machine.platform}"
    if not machine.has("flashinfer-python"):
        return "needs flashinfer-python, which is not installed"
    if machine.has("flashinfer-cubin"):
        return None
    if is_nonzero(machine.environment, "VLLM_HAS_FLASHINFER_CUBIN"):
        return None
    if not isinstance(machine.toolkit.nvcc, Present):
        return "needs flashinfer-cubin or nvcc; neither is there"
    # 0.32.0 asks for ninja too, because the JIT cannot build without it
    if release >= (0, 32, 0) and not isinstance(machine.toolkit.ninja, Present):
        return "needs flashinfer-cubin, or nvcc and ninja; ninja is not there"
    return None


def _no_aiter(machine: MachineSnapshot, arch: str, release: Release) -> str | None:
    """Why rocm_aiter_ops.is_fused_moe_enabled() answers no, or None (vLLM _aiter_ops.py)."""
    if machine.platform != "rocm":
        return f"needs AITER, which runs on ROCm; this is {machine.platform}"
    if not machine.has("aiter"):
        return "needs aiter, which is not installed"
    if release >= (0, 27, 0):
        supported: tuple[str, ...] = _CDNA3_UP
    elif release >= (0, 19, 0):
        supported = _MI3XX
    else:
        supported = _GFX9
    if arch not in supported:
        return f"needs {' or '.join(supported)}; this GPU is {arch or 'of unknown architecture'}"
    environment = machine.environment
    if not is_true(environment, "VLLM_ROCM_USE_AITER", default=False):
        return "needs VLLM_ROCM_USE_AITER=1; it is off"
    if not is_true(environment, "VLLM_ROCM_USE_AITER_MOE", default=True):
        return "needs VLLM_ROCM_USE_AITER_MOE=1; it is off"
    return None
