"""What the child is told: the config folder, the server's options, the machine."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import Absent, MachineSnapshot
from moe_doctor.core.request import Request
from moe_doctor.models.source import CONFIG_FILE, QUANT_FILE, ConfigFiles

PLAIN_CONFIG: Mapping[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "num_hidden_layers": 1,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "torch_dtype": "bfloat16",
}
"""The layer that is asked about without a model: gated SiLU, renormalised softmax."""

_EMULATED = ("cuda", "cpu")


class NotEmulatedError(Exception):
    """The machine that is asked about cannot be emulated here."""


def write_config(folder: Path, files: ConfigFiles | None, name: str) -> Path:
    """A folder called as the model is, with its config files; returns it."""
    last = name.rstrip("/").rsplit("/", 1)[-1].removesuffix(".json")
    home = folder / (re.sub(r"[^\w.-]", "_", last).lstrip(".")[:100] or "model")
    home.mkdir()
    config = PLAIN_CONFIG if files is None else files.config
    (home / CONFIG_FILE).write_text(json.dumps(dict(config)), encoding="utf-8")
    if files is not None and files.hf_quant_config is not None:
        (home / QUANT_FILE).write_text(json.dumps(dict(files.hf_quant_config)), encoding="utf-8")
    return home


def make_question(
    request: Request, machine: MachineSnapshot, folder: Path, architecture: str
) -> dict[str, Any]:
    """The child's JSON; raises NotEmulatedError for a simulated machine of another kind."""
    deployment = request.deployment
    sizes = (
        deployment.tensor_parallel_size
        * deployment.data_parallel_size
        * deployment.pipeline_parallel_size
        * deployment.prefill_context_parallel_size
    )
    arguments = engine_arguments(deployment)
    # DeepSeek-V4's attention takes no other cache, and the cache has no say in the experts.
    if architecture.startswith("DeepseekV4"):
        arguments["kv_cache_dtype"] = "fp8"
    lora = {}
    if deployment.max_lora_rank is not None:
        lora["max_lora_rank"] = deployment.max_lora_rank
    return {
        "folder": str(folder),
        "arguments": arguments,
        "lora_arguments": lora,
        "loras": [False, True] if request.lora is None else [request.lora],
        "devices": sizes,
        "machine": _emulated(machine) if machine.simulated else None,
        "without": hidden_modules(request, machine),
    }


def engine_arguments(deployment: Deployment) -> dict[str, Any]:
    """The deployment in the names of vLLM's EngineArgs; what is not asked for is left out."""
    given: dict[str, Any] = {
        "tensor_parallel_size": (deployment.tensor_parallel_size, 1),
        "data_parallel_size": (deployment.data_parallel_size, 1),
        "pipeline_parallel_size": (deployment.pipeline_parallel_size, 1),
        "prefill_context_parallel_size": (deployment.prefill_context_parallel_size, 1),
        "enable_expert_parallel": (deployment.expert_parallel, False),
        "all2all_backend": (deployment.all2all_backend, None),
        "enable_eplb": (deployment.enable_eplb, False),
        "enable_dbo": (deployment.enable_dbo, False),
        "eplb_config": (
            {"num_redundant_experts": deployment.num_redundant_experts},
            {"num_redundant_experts": 0},
        ),
        "moe_backend": (deployment.moe_backend, "auto"),
        "quantization": (deployment.quantization, None),
        "dtype": (deployment.dtype, "auto"),
        "mm_encoder_tp_mode": (deployment.mm_encoder_tp_mode, "weights"),
        "max_num_batched_tokens": (deployment.max_num_batched_tokens, None),
    }
    return {name: value for name, (value, default) in given.items() if value != default}


def hidden_modules(request: Request, machine: MachineSnapshot) -> list[str]:
    """Modules of the packages that `--without` takes away."""
    from moe_doctor.probes.packages import PACKAGES

    if not request.machine.without_packages:
        return []
    modules = []
    for package in PACKAGES:
        if isinstance(machine.packages.get(package.name), Absent):
            modules.append(package.module)
            if package.vendored_in:
                modules.append(package.vendored_in.replace("/", "."))
    return modules


def child_environment(machine: MachineSnapshot, request: Request) -> dict[str, str]:
    """This process's variables with the options' on top; a simulated machine has its own."""
    own = dict(os.environ)
    if machine.simulated:
        own = {name: value for name, value in own.items() if not name.startswith("VLLM_")}
        own |= machine.environment
    entries = [one for one in own.get("PYTHONPATH", "").split(os.pathsep) if one]
    if entries:
        # The child's working folder is another one.
        own["PYTHONPATH"] = os.pathsep.join(str(Path(one).absolute()) for one in entries)
    own |= request.machine.environment
    return own | {
        "VLLM_CONFIGURE_LOGGING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }


def _emulated(machine: MachineSnapshot) -> dict[str, Any]:
    gpu = machine.gpu
    if machine.platform == "cpu":
        return {"platform": "cpu"}
    if machine.platform not in _EMULATED or gpu is None or gpu.capability is None:
        raise NotEmulatedError(
            f"the platform {machine.platform} is emulated by its own compiled libraries alone, and "
            "this machine has none of them"
            if machine.platform != "cuda"
            else "the simulated machine has no GPU with a compute capability"
        )
    return {
        "platform": "cuda",
        "name": gpu.name,
        "capability": list(gpu.capability),
        "memory_bytes": gpu.memory_bytes,
        "num_sms": gpu.num_sms,
        "shared_memory_bytes": gpu.shared_memory_bytes,
    }
