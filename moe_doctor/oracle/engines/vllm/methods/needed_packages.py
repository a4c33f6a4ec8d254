"""Methods whose kernels come with a package of their own, and what a release says without it.

Sources: quantization/bitsandbytes.py (_check_bitsandbytes_version), quantization/torchao.py
(TorchAOConfig.from_config), utils/humming.py, kernels/linear/cute_dsl/gemm_rs_ar.py, 0.16.0 to
0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import Absent, MachineSnapshot
from moe_doctor.core.release import Release, parse_release
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    by_linear,
    refused_by_constructor,
    refused_by_method,
)
from moe_doctor.oracle.engines.vllm.setting import Setting

NEEDS_PACKAGE = frozenset({"bitsandbytes", "torchao"})
"""Methods, called as their packages are."""
_REWORDED: Release = (0, 17, 0)
_FUSES_REDUCE: Release = (0, 31, 0)
_CUTLASS = "nvidia-cutlass-dsl"


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


def refuse_import(module: str, package: str) -> MethodRefused:
    """What Python raises about a module that comes with a package."""
    reason = f"{package} is not there; install it beside the engine"
    return refused_by_method("ModuleNotFoundError", f"No module named {module!r}", reason)


def refuse_fused_reduce(
    source: str, deployment: Deployment, setting: Setting, release: Release
) -> EngineRefusal | None:
    """What Kimi-K3's decoder raises before its layers, whose GEMM adds up over the ranks.

    maybe_init_gemm_rs_ar of models/kimi_k3/nvidia/model.py; before 0.31 it looks at the GPU first.
    """
    if not source.startswith("models/kimi_k3/nvidia") or release < _FUSES_REDUCE:
        return None
    mega = deployment.moe_backend.lower().replace("-", "_") == "deep_gemm_mega_moe"
    shares = deployment.pipeline_parallel_size == 1 and deployment.tensor_parallel_size > 1
    shares = shares and deployment.expert_parallel and (mega or deployment.data_parallel_size > 1)
    name, default = ("VLLM_ENABLE_GEMM_RS", "0") if shares else ("VLLM_KIMI_K3_GEMM_AR", "1")
    if setting.environment.get(name, default).strip() == "0" or not setting.lacks(_CUTLASS):
        return None
    return refuse_import("cutlass", _CUTLASS).refusal


def _smallest(name: str, platform: str, release: Release) -> str:
    if name not in NEEDS_PACKAGE:
        return ""
    if name == "torchao":
        return "0.10.0"
    if release < _REWORDED:
        return "0.46.1"
    return "0.49.2" if platform == "rocm" else "0.48.1"
