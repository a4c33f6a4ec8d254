"""1xx machine and 2xx packages."""

from __future__ import annotations

from moe_doctor.core.findings import Severity
from moe_doctor.rules.rule import Rule

NO_GPU = Rule(
    "MOE101",
    "no-gpu",
    Severity.INFO,
    "No GPU is visible here, so the answer is for the engine's CPU platform.",
    "An engine picks its MoE backend by the device that it finds. On a machine without one the "
    "answer is true for this machine and says nothing about the server's.",
    "Name the machine that will serve with --gpu, or bring its snapshot.",
)
GPU_PROBE_FAILED = Rule(
    "MOE102",
    "gpu-probe-failed",
    Severity.WARNING,
    "The driver is there but could not be asked.",
    "A driver that does not answer (a mismatch after an upgrade, a container without the device "
    "nodes) looks like no GPU to an engine too.",
    "Run nvidia-smi; when it fails as well, restart the machine or start the container with "
    "--gpus all.",
)
MIXED_GPUS = Rule(
    "MOE103",
    "mixed-gpus",
    Severity.WARNING,
    "The visible GPUs are not of one kind.",
    "vLLM's oracle asks for the capability of device 0 only; ranks on another kind may run a "
    "kernel "
    "that they do not have.",
    "Show the server GPUs of one kind with CUDA_VISIBLE_DEVICES.",
)
ENGINE_NOT_INSTALLED = Rule(
    "MOE201",
    "engine-not-installed",
    Severity.INFO,
    "The engine is not installed here; its rules come from the tables and the packages from this "
    "environment.",
    "Which kernels an engine can use depends on the packages beside it. Without the engine here, "
    "packages that its installation would bring count as absent.",
    "Run moe-doctor in the environment of the server, or describe it with --with PACKAGE.",
)
FLASHINFER_MISMATCH = Rule(
    "MOE202",
    "flashinfer-version-mismatch",
    Severity.ERROR,
    "flashinfer-python, flashinfer-cubin and flashinfer-jit-cache are not of one version.",
    "FlashInfer refuses to import when its three packages differ, and vLLM then fails at start or "
    "hides it behind a model registry error. FLASHINFER_DISABLE_VERSION_CHECK=1 has led to illegal "
    "memory accesses.",
    "Install the packages at one version, or remove the stale ones.",
    links=(
        "https://github.com/flashinfer-ai/flashinfer/issues/3044",
        "https://github.com/flashinfer-ai/flashinfer/issues/4869",
    ),
)
FLASHINFER_UNUSABLE = Rule(
    "MOE203",
    "flashinfer-not-usable",
    Severity.WARNING,
    "flashinfer-python is installed, but vLLM counts it as absent here.",
    "vLLM uses FlashInfer only with prebuilt kernels (flashinfer-cubin) or a compiler (nvcc, and "
    "from 0.32.0 ninja too). The engine says so at DEBUG and picks another kernel.",
    "Install flashinfer-cubin at the same version, or put nvcc on PATH.",
    links=("https://github.com/vllm-project/vllm/pull/27990",),
)
PACKAGE_BROKEN = Rule(
    "MOE204",
    "package-metadata-broken",
    Severity.WARNING,
    "A package is there, but its metadata cannot be read.",
    "A half-removed or half-written installation imports in part and fails later.",
    "Reinstall the package.",
)
VARIABLE_IGNORED = Rule(
    "MOE205",
    "variable-not-read",
    Severity.WARNING,
    "A variable is set that this release does not read.",
    "Variables that chose MoE backends came and went; a release that does not know one prints a "
    "warning at most and goes on with its default.",
    "Use --moe-backend, which names the backend in every release from 0.17.0 on.",
    links=("https://github.com/vllm-project/vllm/pull/43148",),
)
VARIABLE_UNREADABLE = Rule(
    "MOE206",
    "variable-unreadable",
    Severity.ERROR,
    "A variable holds a value that this release cannot read.",
    "vLLM converts its 0/1 variables with int() and raises ValueError when it first looks at them.",
    "Set it to 0 or 1.",
)
CUDA_HOME_BROKEN = Rule(
    "MOE207",
    "cuda-home-broken",
    Severity.WARNING,
    "CUDA_HOME does not point at a toolkit.",
    "FlashInfer and DeepGEMM build their command lines from CUDA_HOME; a stray colon or a removed "
    "folder fails at the first just-in-time compile, minutes into the start.",
    "Unset CUDA_HOME or point it at the toolkit's folder.",
    links=("https://github.com/vllm-project/vllm/issues/36077",),
)

RULES = (
    NO_GPU,
    GPU_PROBE_FAILED,
    MIXED_GPUS,
    ENGINE_NOT_INSTALLED,
    FLASHINFER_MISMATCH,
    FLASHINFER_UNUSABLE,
    PACKAGE_BROKEN,
    VARIABLE_IGNORED,
    VARIABLE_UNREADABLE,
    CUDA_HOME_BROKEN,
)
