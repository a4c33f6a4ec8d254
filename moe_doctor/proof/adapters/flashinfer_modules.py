"""FlashInfer's compiled modules: whether one is on this machine, and what building it would take.

Without the compiled module FlashInfer builds it on first use: for sm_90 in 0.6.13 that is 182
files and about 17 minutes on 32 cores (measured 2026-11 with CUDA 13.0).
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from moe_doctor.core.machine import MachineSnapshot

PACKAGE = "flashinfer-python"


def missing_module(machine: MachineSnapshot) -> str | None:
    """Why the CUTLASS MoE module cannot be loaded here; None when it can."""
    if not machine.has(PACKAGE):
        return f"{PACKAGE} not installed: pip install 'moe-doctor[flashinfer]'"
    capability = machine.capability
    if capability is None:
        return "this GPU's compute capability is unknown"
    if find_module(capability, machine.version(PACKAGE) or "") is None:
        return (
            f"{module_name(capability)}.so is not built for this machine, and the first call would "
            "start a build (for sm_90 182 files, about 17 minutes on 32 cores); install the "
            "flashinfer-jit-cache wheel of the same release"
        )
    return None


def no_build() -> dict[str, str]:
    """Variables with which FlashInfer raises where it would compile."""
    return {"FLASHINFER_DISABLE_JIT": "1"}


def load_as_built(capability: tuple[int, int]) -> None:
    """In the child: let FlashInfer load the compiled module as it lies there.

    Modules under the ahead-of-time folder load as they are; those of the JIT cache would pass
    through ninja first, which may decide to rebuild them (FlashInfer 0.6.13 jit/core.py,
    build_and_load).
    """
    import flashinfer
    from flashinfer.jit import env

    built = find_module(capability, flashinfer.__version__)
    if built is not None:
        env.FLASHINFER_AOT_DIR = built.parent.parent


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
    name = module_name(capability)
    inside = f"{name}/{name}.so"
    places: list[tuple[Path, str]] = []
    for package, pattern in (("flashinfer_jit_cache", "*"), ("flashinfer", "data/aot")):
        found = importlib.util.find_spec(package)
        folders = None if found is None else found.submodule_search_locations
        places += [(Path(folder), f"{pattern}/{inside}") for folder in folders or ()]
    base = Path(os.environ.get("FLASHINFER_WORKSPACE_BASE") or Path.home())
    places.append((base / ".cache" / "flashinfer" / version, f"*/cached_ops/{inside}"))
    return next((path for folder, glob in places for path in sorted(folder.glob(glob))), None)
