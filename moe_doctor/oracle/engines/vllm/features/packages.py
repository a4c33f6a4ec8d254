"""Packages whose mere presence a release asks about: has_*() of vLLM's utils/import_utils.py."""

from __future__ import annotations

from collections.abc import Callable

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.features.environ import is_nonzero


def needs(package: str) -> Callable[[MachineSnapshot, Release], str | None]:
    """A check for one distribution."""

    def check(machine: MachineSnapshot, release: Release) -> str | None:
        if machine.has(package):
            return None
        return f"needs {package}, which is not installed"

    return check


def no_deep_gemm(machine: MachineSnapshot, release: Release) -> str | None:
    """Why is_deep_gemm_supported() answers no, or None (vLLM utils/deep_gemm.py)."""
    if machine.platform != "cuda":
        return f"needs DeepGEMM, which runs on CUDA; this is {machine.platform}"
    if not is_nonzero(machine.environment, "VLLM_USE_DEEP_GEMM", default=True):
        return "needs VLLM_USE_DEEP_GEMM=1; it is off"
    if not machine.has("deep-gemm"):
        return "needs deep-gemm, which is not installed"
    capability = machine.capability
    if capability is None:
        return "needs a GPU; none is visible"
    # 0.24.0 added compute capability 12.x (platforms/cuda.py, support_deep_gemm)
    majors = (10, 12) if release >= (0, 24, 0) else (10,)
    if capability == (9, 0) or capability[0] in majors:
        return None
    wanted = " or ".join(("9.0", *(f"{major}.x" for major in majors)))
    return f"needs compute capability {wanted}; this GPU is {capability[0]}.{capability[1]}"


FEATURES = {
    "b12x": needs("b12x"),
    "deep_gemm": no_deep_gemm,
    "hpc": needs("hpc-ops"),
    "humming": needs("humming-kernels"),
    "quark": needs("amd-quark"),
    "triton_kernels": needs("triton-kernels"),
}
