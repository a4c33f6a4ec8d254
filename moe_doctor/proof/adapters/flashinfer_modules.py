"""FlashInfer's compiled modules: whether one is on this machine, and what building it would take.

Without the compiled module FlashInfer builds it on first use: for sm_90 in 0.6.13 that is 182
files and about 17 minutes on 32 cores (measured 2026-11 with CUDA 13.0).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from pathlib import Path

from moe_doctor.core.machine import MachineSnapshot, Present
from moe_doctor.proof.adapters.base import JOB_MEMORY_BYTES, Build

PACKAGE = "flashinfer-python"


_FILES = {"fused_moe_90": 182, "fused_moe_120": 85}
_CORE_MINUTES = {"fused_moe_90": 540.0, "fused_moe_120": 250.0}
# 9 core-hours for the 182 files; the others by their number, taken for as many where unknown.


def missing_module(machine: MachineSnapshot, may_build: bool = False) -> str | None:
    """Why the CUTLASS MoE module can be neither loaded nor, where it may, built here; or None."""
    if not machine.has(PACKAGE):
        return f"{PACKAGE} not installed: pip install 'moe-doctor[flashinfer]'"
    if machine.capability is None:
        return "this GPU's compute capability is unknown"
    build = needed_build(machine)
    if build is None:
        return None
    if may_build:
        tools = (("nvcc", machine.toolkit.nvcc), ("ninja", machine.toolkit.ninja))
        missing = [name for name, probe in tools if not isinstance(probe, Present)]
        if not missing:
            return None
        return f"{build.what}.so is not built, and --build needs {' and '.join(missing)} on PATH"
    return (
        f"{build.what}.so is not built for this machine, and building it takes {build.words}: "
        "--build does it; or install the flashinfer-jit-cache wheel of the same release"
    )


def needed_build(machine: MachineSnapshot) -> Build | None:
    """The build of the module for this machine's GPU; None where it lies there compiled."""
    capability = machine.capability
    if capability is None or find_module(capability, machine.version(PACKAGE) or "") is not None:
        return None
    name = module_name(capability)
    jobs = count_jobs(machine.memory_bytes)
    minutes = _CORE_MINUTES.get(name, _CORE_MINUTES["fused_moe_90"]) / jobs
    return Build(name, _FILES.get(name), jobs, minutes)


def count_jobs(memory_bytes: int | None) -> int:
    """Compilers that fit into four fifths of the memory and onto the cores; MAX_JOBS is a cap."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [cores or 1]
    if memory_bytes is not None:
        limits.append(memory_bytes * 4 // 5 // JOB_MEMORY_BYTES)
    with contextlib.suppress(ValueError):
        limits.append(int(os.environ.get("MAX_JOBS", "")))
    return max(1, min(limits))


def build_environment(build: Build) -> dict[str, str]:
    """Variables with which FlashInfer compiles in so many jobs and prints each file."""
    return {
        "FLASHINFER_DISABLE_JIT": "",
        "FLASHINFER_JIT_VERBOSE": "1",
        "FLASHINFER_NVCC_THREADS": "1",
        "MAX_JOBS": str(build.jobs),
    }


def no_build() -> dict[str, str]:
    """Variables with which FlashInfer raises where it would compile."""
    return {"FLASHINFER_DISABLE_JIT": "1"}


def load_as_built(capability: tuple[int, int]) -> None:
    """In the child: let FlashInfer load the compiled module as it lies there, or compile it now.

    Modules under the ahead-of-time folder load as they are; those of the JIT cache would pass
    through ninja first, which may decide to rebuild them (FlashInfer 0.6.13 jit/core.py,
    build_and_load).
    """
    import flashinfer
    from flashinfer.jit import env

    built = find_module(capability, flashinfer.__version__)
    if built is not None:
        env.FLASHINFER_AOT_DIR = built.parent.parent
        return
    # Where no build is allowed, this raises.
    from flashinfer.fused_moe.core import get_cutlass_fused_moe_module

    get_cutlass_fused_moe_module(f"{capability[0]}{capability[1]}")


def module_name(capability: tuple[int, int]) -> str:
    """`fused_moe_90` for sm_90; 12.x share `fused_moe_120`, 10.0 has 100 and 10.3 has 103."""
    major, minor = capability
    # FlashInfer 0.6.13 fused_moe/core.py: "120" and "121" build the same module, 11.0 runs "100".
    if major == 12:
        return "fused_moe_120"
    if major == 11:
        return "fused_moe_100"
    return f"fused_moe_{major}{minor}"


def find_module(capability: tuple[int, int], version: str) -> Path | None:
    """The compiled module in flashinfer-jit-cache, the package itself, or the user's JIT cache."""
    return find_built(module_name(capability), version)


def find_built(name: str, version: str) -> Path | None:
    """The compiled module of that name, likewise."""
    inside = f"{name}/{name}.so"
    places: list[tuple[Path, str]] = []
    for package, pattern in (("flashinfer_jit_cache", "*"), ("flashinfer", "data/aot")):
        found = importlib.util.find_spec(package)
        folders = None if found is None else found.submodule_search_locations
        places += [(Path(folder), f"{pattern}/{inside}") for folder in folders or ()]
    base = Path(os.environ.get("FLASHINFER_WORKSPACE_BASE") or Path.home())
    places.append((base / ".cache" / "flashinfer" / version, f"*/cached_ops/{inside}"))
    return next((path for folder, glob in places for path in sorted(folder.glob(glob))), None)
