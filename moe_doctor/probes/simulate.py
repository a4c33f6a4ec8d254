"""Another machine than this one, as options describe it; and this one with changes.

1. A snapshot file, or a product, or a capability, or a platform (with a ROCm architecture): options
   that name different machines are a UsageError.
2. The packages of the engine's image count as installed.
3. `--without` removes, then `--with` adds, then `--env` is laid over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from moe_doctor.core.errors import UnknownNameError, UsageError
from moe_doctor.core.machine import Absent, MachineSnapshot, Present, Probe, Toolkit
from moe_doctor.core.record import replace
from moe_doctor.core.request import MachineRequest
from moe_doctor.core.units import format_capability
from moe_doctor.probes.decode import PLATFORMS, load_snapshot
from moe_doctor.probes.gpu_table import ARCH_GPUS, CAPABILITY_GPUS
from moe_doctor.probes.gpus import (
    KnownGpu,
    as_gpu,
    find_gpu,
    gpu_for_arch,
    gpu_for_capability,
)
from moe_doctor.probes.packages import PACKAGES, find_package

# vLLM's image installs nvcc, ninja and a compiler for FlashInfer's and DeepGEMM's compiles
# (vLLM 0.16 to 0.33, docker/Dockerfile).
_IMAGE_TOOLKIT = Toolkit(nvcc=Present(""), ninja=Present(""), host_compiler=Present(""))


def simulate_machine(request: MachineRequest, *, packages: Mapping[str, str]) -> MachineSnapshot:
    """The machine that the options describe; raises UsageError.

    `packages` are the versions in the engine's image; a snapshot file brings its own.
    """
    if request.snapshot is not None:
        _refuse_beside_snapshot(request)
        return adjust_machine(replace(load_snapshot(request.snapshot), simulated=True), request)
    platform, known = _resolve(request)
    probes: dict[str, Probe] = {package.name: Absent() for package in PACKAGES}
    probes.update((name, Present(version)) for name, version in packages.items())
    machine = MachineSnapshot(
        platform=platform,
        gpus=() if known is None or known.platform == "cpu" else (as_gpu(known),),
        simulated=True,
        packages=probes,
        toolkit=_IMAGE_TOOLKIT if platform == "cuda" else Toolkit(),
        cpu_arch="x86_64" if known is None else known.cpu_arch,
    )
    return adjust_machine(machine, request)


def adjust_machine(machine: MachineSnapshot, request: MachineRequest) -> MachineSnapshot:
    """The machine with `--without`, `--with` and `--env` applied; raises UsageError."""
    probes = dict(machine.packages)
    removed: set[str] = set()
    for name in request.without_packages:
        if name.strip().lower() == "all":
            probes.update((package.name, Absent()) for package in PACKAGES if package.is_kernel)
            continue
        canonical = _canonical(name, probes)
        removed.add(canonical)
        probes[canonical] = Absent()
    for wanted in request.with_packages:
        name, separator, version = (part.strip() for part in wanted.partition("=="))
        if separator and not re.fullmatch(r"[0-9A-Za-z.+!_-]{1,64}", version):
            raise UsageError(f"--with {wanted!r} names no version; expected NAME or NAME==VERSION")
        canonical = _canonical(name, probes)
        if canonical in removed:
            raise UsageError(f"--with and --without both name {canonical}; keep one of them")
        before = machine.packages.get(canonical)
        if not separator and isinstance(before, Present):
            version = before.value
        probes[canonical] = Present(version)
    environment = {**machine.environment, **request.environment}
    return replace(machine, packages=probes, environment=environment)


def parse_capability(text: str) -> tuple[int, int]:
    """`9.0`, `sm_90`, `90`, `9` -> (9, 0); raises UsageError when no GPU has it."""
    folded = text.strip().lower()
    match = re.fullmatch(r"([0-9]{1,2})\.([0-9])", folded) or re.fullmatch(
        r"(?:sm_?)?([0-9]{1,2})([0-9])[af]?", folded
    )
    capability = (int(match.group(1)), int(match.group(2))) if match else None
    if re.fullmatch(r"[0-9]{1,2}", folded) and (int(folded), 0) in CAPABILITY_GPUS:
        capability = int(folded), 0
    if capability is None or capability not in CAPABILITY_GPUS:
        known = ", ".join(format_capability(capability) for capability in CAPABILITY_GPUS)
        raise UsageError(
            f"--capability {text!r} is not a known compute capability", f"known: {known}"
        )
    return capability


def _canonical(name: str, probes: Mapping[str, Probe]) -> str:
    """Canonical package name; a package that only this machine knows counts too."""
    try:
        return find_package(name).name
    except UnknownNameError:
        if name in probes:
            return name
        raise


def _refuse_beside_snapshot(request: MachineRequest) -> None:
    options = {
        "--gpu": request.gpu,
        "--capability": request.capability,
        "--platform": request.platform,
        "--arch": request.arch,
    }
    for option, value in options.items():
        if value is not None:
            raise UsageError(
                f"--snapshot and {option} both describe a machine",
                f"leave out {option} or --snapshot",
            )


def _resolve(request: MachineRequest) -> tuple[str, KnownGpu | None]:
    """(platform, product) of the options, each checked against the others."""
    if request.platform is not None and request.platform not in PLATFORMS:
        raise UnknownNameError("platform", request.platform, PLATFORMS)
    known = _product(request)
    if known is None:
        return _bare_platform(request.platform), None
    if request.platform not in (None, known.platform):
        raise UsageError(
            f"--platform {request.platform} contradicts {known.device_name}, "
            f"which is a {known.platform} device"
        )
    return known.platform, known


def _product(request: MachineRequest) -> KnownGpu | None:
    """The product that is named, or stands for a capability or an architecture."""
    capability = None if request.capability is None else parse_capability(request.capability)
    arch = None if request.arch is None else request.arch.strip().lower().partition(":")[0]
    if arch is not None and capability is not None:
        raise UsageError("--arch is for ROCm and --capability for CUDA; keep one of them")
    if request.gpu is not None:
        known = find_gpu(request.gpu)
        if capability is not None and known.capability != capability:
            has = format_capability(known.capability) if known.capability else "none"
            raise UsageError(
                f"--gpu {request.gpu} has compute capability {has}, "
                f"and --capability says {format_capability(capability)}",
                "leave out one of them",
            )
        if arch is not None and known.arch != arch:
            raise UsageError(
                f"--gpu {request.gpu} has architecture {known.arch or 'none'}, "
                f"and --arch says {arch}",
                "leave out one of them",
            )
        return known
    if capability is not None:
        return gpu_for_capability(capability)
    if arch is not None:
        if request.platform not in (None, "rocm"):
            raise UsageError(
                f"--arch is for ROCm, and --platform says {request.platform}", "use --platform rocm"
            )
        known_arch = gpu_for_arch(arch)
        if known_arch is None:
            raise UnknownNameError("ROCm architecture", arch, tuple(ARCH_GPUS))
        return known_arch
    if request.platform == "xpu":
        return find_gpu("max-1550")
    return None


def _bare_platform(platform: str | None) -> str:
    if platform == "cuda":
        raise UsageError(
            "--platform cuda does not say which GPU", "add --gpu NAME or --capability 9.0"
        )
    if platform == "rocm":
        known = ", ".join(ARCH_GPUS)
        raise UsageError(
            "--platform rocm does not say which GPU", f"add --gpu NAME or --arch; known: {known}"
        )
    return platform or "cpu"
