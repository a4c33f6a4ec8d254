"""1xx and 2xx: what is odd about the machine, its packages and its variables."""

from __future__ import annotations

from collections.abc import Iterator

from moe_doctor.checks.case import Case
from moe_doctor.core.findings import Finding
from moe_doctor.core.machine import Absent, Present, ProbeFailed
from moe_doctor.core.release import Span, format_release, span
from moe_doctor.oracle.engines.vllm.environment import (
    PREFIX,
    find_readers,
    is_service_link,
    nearest_variables,
)
from moe_doctor.oracle.engines.vllm.releases import BY_VERSION
from moe_doctor.probes.environment import HIDDEN
from moe_doctor.probes.variables import find_variable
from moe_doctor.rules import machine as rules

_FLASHINFER = ("flashinfer-python", "flashinfer-cubin", "flashinfer-jit-cache")
# Variables that vLLM converts with int() where the unquantized oracle or its checks read them.
_INTEGERS = ("VLLM_USE_FLASHINFER_MOE_FP16", "VLLM_BATCH_INVARIANT", "VLLM_HAS_FLASHINFER_CUBIN")
# Variables whose only purpose is to choose a MoE backend; others may matter elsewhere.
_CHOOSERS = (
    "VLLM_USE_FLASHINFER_MOE_FP16",
    "VLLM_USE_FLASHINFER_MOE_FP8",
    "VLLM_USE_FLASHINFER_MOE_FP4",
    "VLLM_FLASHINFER_MOE_BACKEND",
    "VLLM_MXFP4_USE_MARLIN",
    "VLLM_FUSED_MOE_UNQUANTIZED_BACKEND",
    "VLLM_MOE_FORCE_MARLIN",
    "VLLM_TEST_FORCE_FP8_MARLIN",
)
# Gone before the first release of the tables, and still in many pasted lines.
_NOW_OPTIONS = {"VLLM_ATTENTION_BACKEND": "--attention-backend"}


def check_no_gpu(case: Case) -> Iterator[Finding]:
    """MOE101."""
    machine = case.machine
    if machine.simulated or machine.platform != "cpu" or case.request.machine.platform == "cpu":
        return
    if case.request.command == "prove":
        return
    command = f"moe-doctor {case.request.command} {case.model_argument} --gpu h100"
    if case.request.model is None:
        command = f"moe-doctor {case.request.command} --gpu h100"
    yield rules.NO_GPU.finding(
        "no GPU is visible here: the answer is for the engine's CPU platform",
        commands=(command,),
    )


def check_gpu_probe_failed(case: Case) -> Iterator[Finding]:
    """MOE102."""
    if isinstance(case.machine.driver, ProbeFailed):
        yield rules.GPU_PROBE_FAILED.finding(
            f"the GPU driver could not be asked: {case.machine.driver.reason}",
            commands=("nvidia-smi",),
        )


def check_mixed_gpus(case: Case) -> Iterator[Finding]:
    """MOE103."""
    kinds = {(gpu.name, gpu.target) for gpu in case.machine.gpus}
    if len(kinds) > 1:
        names = ", ".join(sorted(f"{name} ({target})" for name, target in kinds))
        yield rules.MIXED_GPUS.finding(
            f"{len(case.machine.gpus)} GPUs of {len(kinds)} kinds are visible: {names}"
        )


def check_engine_not_installed(case: Case) -> Iterator[Finding]:
    """MOE201."""
    machine, engine = case.machine, case.engine
    if machine.simulated or engine is None or machine.platform == "cpu" or machine.has("vllm"):
        return
    absent = [
        name
        for name in ("flashinfer-python", "aiter")
        if isinstance(machine.packages.get(name), Absent)
        and {"flashinfer-python": "cuda", "aiter": "rocm"}[name] == machine.platform
    ]
    text = f" ({', '.join(absent)} not installed)" if absent else ""
    gpu = machine.gpu
    wanted = f" --gpu {gpu.name!r}" if gpu is not None else ""
    yield rules.ENGINE_NOT_INSTALLED.finding(
        f"{case.engine_name} is not installed here: its rules come from the tables, the packages "
        f"from this environment{text}",
        commands=(f"moe-doctor {case.request.command} {case.model_argument}{wanted}",),
        remedy=(
            "Run moe-doctor in the environment of the server, or ask about the engine's own image"
        ),
    )


def check_flashinfer_mismatch(case: Case) -> Iterator[Finding]:
    """MOE202."""
    versions = {
        name: probe.value
        for name in _FLASHINFER
        if isinstance(probe := case.machine.packages.get(name), Present) and probe.value
    }
    # A local part (+cu130) names the build, not the version: flashinfer#4514.
    public = {version.partition("+")[0] for version in versions.values()}
    if len(public) > 1:
        text = ", ".join(f"{name} {version}" for name, version in versions.items())
        wanted = versions.get("flashinfer-python", "").partition("+")[0]
        others = [name for name in versions if name != "flashinfer-python"]
        yield rules.FLASHINFER_MISMATCH.finding(
            f"FlashInfer's packages differ: {text}",
            commands=(
                ("pip install " + " ".join(f"{name}=={wanted}" for name in others),)
                if wanted
                else ("pip uninstall " + " ".join(others),)
            ),
            evidence=dict(versions),
        )


def check_flashinfer_unusable(case: Case) -> Iterator[Finding]:
    """MOE203."""
    machine, release = case.machine, case.release
    if machine.platform != "cuda" or not machine.has("flashinfer-python"):
        return
    if machine.has("flashinfer-cubin") or release is None:
        return
    lacks = [] if isinstance(machine.toolkit.nvcc, Present) else ["nvcc"]
    # vLLM 0.32 utils/flashinfer.py asks for ninja too
    if release >= (0, 32, 0) and not isinstance(machine.toolkit.ninja, Present):
        lacks.append("ninja")
    if lacks:
        version = machine.version("flashinfer-python") or ""
        yield rules.FLASHINFER_UNUSABLE.finding(
            f"flashinfer-python {version} is installed, but without flashinfer-cubin and "
            f"{' and '.join(lacks)} {case.engine_name} counts it as absent",
            commands=(f"pip install flashinfer-cubin=={version}",) if version else (),
        )


def check_package_broken(case: Case) -> Iterator[Finding]:
    """MOE204."""
    for name, probe in sorted(case.machine.packages.items()):
        if isinstance(probe, ProbeFailed):
            yield rules.PACKAGE_BROKEN.finding(
                f"{name} cannot be read: {probe.reason}",
                commands=(f"pip install --force-reinstall --no-deps {name}",),
            )


def check_variable_ignored(case: Case) -> Iterator[Finding]:
    """MOE205."""
    release = case.release
    if release is None:
        return
    for name, value in sorted(case.machine.environment.items()):
        readers = find_readers(name)
        if readers is not None and readers.holds(release):
            continue
        remedy = _rename(name) if readers is None else "Unset it, or run a release that reads it."
        if not remedy:
            continue  # somebody else's variable, which resembles none of the engine's
        if name in _CHOOSERS:
            remedy = ""  # the rule's own: it names --moe-backend
        # A name that nobody knows may be a misspelled secret: its value is not shown.
        shown = name if readers is None or value == HIDDEN else f"{name}={value}"
        yield rules.VARIABLE_IGNORED.finding(
            f"{shown} is set, but {case.engine_name} does not read it: "
            f"it {_readers_text(case, readers)}",
            remedy=remedy,
        )


def _readers_text(case: Case, readers: Span | None) -> str:
    """Which releases read a variable that this one does not."""
    if readers is None:
        return f"is read by no release from {next(iter(BY_VERSION))} on"
    release = case.release
    if release is not None and readers.until is not None and readers.until < release:
        return f"was last read by vLLM {format_release(readers.until)}"
    since = "" if readers.since is None else format_release(readers.since)
    return f"is first read by vLLM {since}"


def _rename(name: str) -> str:
    """The advice for a name that no release knows; empty when it may be anybody's."""
    if is_service_link(name) or find_variable(name) is not None:
        return ""
    if name in _NOW_OPTIONS:
        return f"Use {_NOW_OPTIONS[name]}, which took its place."
    nearest = nearest_variables(name)
    if nearest:
        return f"Correct the name; nearest: {', '.join(nearest)}."
    if name.startswith(PREFIX):
        return "Unset it; no variable of any release has a name like it."
    return ""


def check_variable_unreadable(case: Case) -> Iterator[Finding]:
    """MOE206."""
    release = case.release
    if release is None:
        return
    environment = case.machine.environment
    for name in _INTEGERS:
        value = environment.get(name)
        known = find_variable(name)
        if value is None or known is None or _is_int(value):
            continue
        if span(known.first or "", known.last or "").holds(release):
            yield rules.VARIABLE_UNREADABLE.finding(
                f"{name} is {value!r}; {case.engine_name} reads it with int() and raises ValueError"
            )
    port = environment.get("VLLM_PORT", "0")
    if not _is_int(port):
        shown = "no number" if port == HIDDEN else repr(port)
        # vLLM envs.py, get_vllm_port: Kubernetes sets VLLM_PORT=tcp://... for a service "vllm".
        yield rules.VARIABLE_UNREADABLE.finding(
            f"VLLM_PORT is {shown}; {case.engine_name} reads it with int() and raises ValueError",
            remedy="Unset it; where Kubernetes set it, for a service named vllm, rename the "
            "service or set enableServiceLinks: false in the pod.",
        )


def check_cuda_home_broken(case: Case) -> Iterator[Finding]:
    """MOE207."""
    home = case.machine.toolkit.cuda_home
    if isinstance(home, ProbeFailed):
        yield rules.CUDA_HOME_BROKEN.finding(f"CUDA_HOME is no toolkit: {home.reason}")


def _is_int(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


CHECKS = (
    check_no_gpu,
    check_gpu_probe_failed,
    check_mixed_gpus,
    check_engine_not_installed,
    check_flashinfer_mismatch,
    check_flashinfer_unusable,
    check_package_broken,
    check_variable_ignored,
    check_variable_unreadable,
    check_cuda_home_broken,
)
