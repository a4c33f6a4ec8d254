"""What a release raises about sizes and options before it builds the first expert.

Sources: config/vllm.py, config/model.py (verify_with_parallel_config), config/kernel.py
(set_platform_defaults), models/config.py and mamba_utils.py (state shapes), the attention of the
model classes, vocab_parallel_embedding.py; releases 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.release import Release, parse_release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import AttentionSpec, RecurrentSpec
from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal

_VOCABULARY_UNIT = 64  # DEFAULT_VOCAB_PADDING_SIZE
# Until then a hybrid model's state shapes are computed before the heads are looked at.
_STATES_LAST: Release = (0, 20, 0)
# Sources whose attention has no check of its own: QKVParallelLinear divides, with a text.
_PLAIN_QKV = frozenset(
    {
        "AXK1.py",
        "alice_ai.py",
        "aria.py",
        "bailing_moe.py",
        "bailing_moe_linear.py",
        "bailing_moe_v3.py",
        "gpt_oss.py",
        "mimo_v2_flash.py",
        "openpangu.py",
        "sarvam.py",
        "step3_text.py",
    }
)
# BailingMoELinearAttention, from 0.23 on layers/mamba/linear/bailing_linear_attn.py.
_SHARES_NORM = "bailing_moe_linear.py"
# all2all backend -> distribution that brings it, and the class that dispatches.
_DISPATCHERS = {
    "deepep_high_throughput": ("deep-ep", "DeepEPHTPrepareAndFinalize"),
    "deepep_low_latency": ("deep-ep", "DeepEPLLPrepareAndFinalize"),
    "deepep_v2": ("deep-ep", "DeepEPV2PrepareAndFinalize"),
    "nixl_ep": ("nixl-ep", "NixlEPPrepareAndFinalize"),
}
_DEEPSEEK_V4 = frozenset({"DeepseekV4ForCausalLM", "DeepSeekV4MTPModel"})
_DEEPSEEK_V41 = "DeepseekV41ForCausalLM"


def refuse_sizes(
    attention: AttentionSpec, deployment: Deployment, release: Release
) -> EngineRefusal | None:
    """What VllmConfig says about heads that do not divide among the ranks."""
    ranks = deployment.tensor_parallel_size
    if attention.recurrent is not None and release < _STATES_LAST:
        refused = _refuse_states(attention.recurrent, ranks)
        if refused is not None:
            return refused
    if attention.heads is None or attention.heads % ranks == 0:
        return None
    text = f"Total number of attention heads ({attention.heads}) must be divisible by tensor "
    return _by_vllm_config(
        f"{text}parallel size ({ranks}).",
        f"{attention.heads} attention heads cannot be shared by {ranks} ranks",
        "ModelConfig",
    )


def refuse_attention(
    attention: AttentionSpec, row: ClassRow, deployment: Deployment
) -> EngineRefusal | None:
    """What the model class raises about its embedding and its keys and values."""
    ranks = deployment.tensor_parallel_size
    if attention.vocabulary is not None:
        padded = -(-attention.vocabulary // _VOCABULARY_UNIT) * _VOCABULARY_UNIT
        if padded % ranks:
            error = EngineError("AssertionError", f"{padded} is not divisible by {ranks}")
            reason = f"the vocabulary of {padded} rows cannot be shared by {ranks} ranks"
            return EngineRefusal("model", error, reason)
    groups = attention.norm_groups
    if groups is not None and groups % ranks and row.file == _SHARES_NORM:
        text = "group_norm_size must be divisible by tp_size"
        if groups < ranks:
            text = "tp_size must be <= group_norm_size for local rms norm"
        reason = f"{ranks} ranks cannot share the {groups} groups of linear attention's norm"
        return EngineRefusal("model", EngineError("AssertionError", text), reason)
    heads = attention.kv_heads
    if heads is None or attention.latent:
        return None
    larger, smaller = max(heads, ranks), min(heads, ranks)
    if larger % smaller == 0:
        return None
    plain = row.file in _PLAIN_QKV
    text = f"{larger} is not divisible by {smaller}" if plain else ""
    reason = f"{heads} key and value heads cannot be shared by {ranks} ranks"
    return EngineRefusal("model", EngineError("AssertionError", text), reason)


def refuse_context_parallel(
    attention: AttentionSpec, deployment: Deployment, release: Release
) -> EngineRefusal | None:
    """0.27 and 0.28 run PCP with the second model runner alone, which wants MLA for it.

    0.30 refuses it beside data parallelism (platforms/cuda.py), 0.26 to 0.29 in ParallelConfig.
    """
    if deployment.prefill_context_parallel_size == 1:
        return None
    if (0, 30, 0) <= release < (0, 31, 0) and deployment.data_parallel_size > 1:
        return _by_vllm_config(
            "PCP does not support data parallelism on CUDA yet.",
            "this release shares prompts among the ranks of one replica only",
            "VllmConfig",
        )
    if attention.latent:
        return None
    if not (0, 27, 0) <= release < (0, 29, 0):
        return None
    return _by_vllm_config(
        "Model Runner V2 does not yet support: prefill context parallelism",
        "this release shares prompts among ranks only for models with compressed keys (MLA)",
        "VllmConfig",
    )


def refuse_megakernel(
    moe_backend: str, architecture: str, release: Release
) -> EngineRefusal | None:
    """FlashInfer's DeepSeek-V4 megakernels with another model (config/kernel.py, from 0.29)."""
    if not moe_backend.startswith("flashinfer_moe_ep_mega_") or release < (0, 29, 0):
        return None
    known = sorted(_DEEPSEEK_V4 if release < (0, 30, 0) else {*_DEEPSEEK_V4, _DEEPSEEK_V41})
    if architecture in known:
        return None
    return _by_vllm_config(
        f"moe_backend={moe_backend!r} is only supported for DeepSeek-V4 models ({known}), but the "
        f"model is {[architecture]}.",
        f"{moe_backend} holds DeepSeek-V4's layer and no other",
        "VllmConfig",
    )


def refuse_mega_moe(
    moe_backend: str, row: ClassRow, deployment: Deployment
) -> EngineRefusal | None:
    """DeepSeek-V4's megakernel without expert parallelism."""
    if not serves_mega_moe(moe_backend, row) or deployment.expert_parallel:
        return None
    text = (
        "DeepSeek V4 MegaMoE currently requires expert parallel. Enable it with "
        "--enable-expert-parallel, or pick a different moe backend."
    )
    reason = "the megakernel holds the dispatch between expert-parallel ranks"
    return EngineRefusal("model", EngineError("NotImplementedError", text), reason)


def serves_mega_moe(moe_backend: str, row: ClassRow) -> bool:
    """Whether the class builds DeepGEMM's megakernel itself, and asks no oracle."""
    return moe_backend == "deep_gemm_mega_moe" and "deepseek_v4" in row.source


def refuse_mori(all2all: str | None, features: Collection[str]) -> EngineRefusal | None:
    """FusedMoE asks for AITER's experts beside MoRI; `all2all` is the one in use.

    `features`: what the release finds on the machine (`aiter_fused_moe`: on, there and supported).
    """
    if all2all is None or not all2all.startswith("mori") or "aiter_fused_moe" in features:
        return None
    error = EngineError("AssertionError", "Mori needs to be used with aiter fused_moe for now.")
    return EngineRefusal("model", error, "MoRI hands tokens to AITER's experts, on ROCm alone")


def refuse_dispatch(
    all2all: str | None, machine: MachineSnapshot, release: Release
) -> EngineRefusal | None:
    """A dispatch whose package is absent: FusedMoE rounds its width with a class that is not there.

    all2all_utils.py imports the classes on CUDA and ROCm where has_deep_ep() and has_nixl_ep() say
    so, and names them wherever they are asked for. `all2all` is the one in use.
    """
    if all2all is None or all2all not in _DISPATCHERS:
        return None
    package, name = _DISPATCHERS[all2all]
    if all2all == "nixl_ep" and release < (0, 18, 0):
        return None
    error = EngineError("NameError", f"name '{name}' is not defined")
    if machine.platform not in ("cuda", "rocm"):
        reason = f"vLLM has no {all2all} on {machine.platform}"
        return EngineRefusal("model", error, reason)
    if machine.has(package) and all2all != "deepep_v2":
        return None
    version = parse_release(machine.version(package) or "")
    if all2all == "deepep_v2" and version is not None and version >= (2, 0, 0):
        return None
    return EngineRefusal("model", error, f"{all2all} needs {package}, which is not there")


def _refuse_states(recurrent: RecurrentSpec, ranks: int) -> EngineRefusal | None:
    groups = recurrent.groups
    if recurrent.repeats_groups and groups % ranks:
        groups = ranks
    width = recurrent.heads * recurrent.head_size + 2 * groups * recurrent.group_size
    for size in (width, recurrent.heads):
        if size % ranks:
            text = f"{size} is not divisible by {ranks}"
            message = f"1 validation error for VllmConfig\n  Assertion failed, {text}"
            reason = f"the recurrent layers' state cannot be shared by {ranks} ranks"
            error = EngineError("ValidationError", message)
            return EngineRefusal("config", error, reason, "ModelConfig")
    return None


def _by_vllm_config(
    text: str, reason: str, after: Literal["ModelConfig", "VllmConfig"]
) -> EngineRefusal:
    message = f"1 validation error for VllmConfig\n  Value error, {text}"
    return EngineRefusal("config", EngineError("ValidationError", message), reason, after)
