"""Mistral's own format: what a params.json says in the words of a config.json.

Sources: adapt_config_dict (transformers_utils/configs/mistral.py of vLLM), 0.16.0 to 0.33.0. Only
what decides about experts is read: geometry, attention's widths and quantization.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.errors import ModelError

_NAMES = {
    "dim": "hidden_size",
    "norm_eps": "rms_norm_eps",
    "n_kv_heads": "num_key_value_heads",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "activation": "hidden_act",
    "tied_embeddings": "tie_word_embeddings",
}
_EXPERTS = {
    "route_every_n": "moe_layer_freq",
    "first_k_dense_replace": "first_k_dense_replace",
    "num_experts_per_tok": "num_experts_per_tok",
    "num_experts": "n_routed_experts",
    "expert_hidden_dim": "moe_intermediate_size",
    "routed_scale": "routed_scaling_factor",
    "num_shared_experts": "n_shared_experts",
    "num_expert_groups": "n_group",
    "num_expert_groups_per_tok": "topk_group",
}
# How the router works, which vLLM says for every model with shared experts.
_ROUTER = {"topk_method": None, "norm_topk_prob": True, "scoring_func": "softmax"}


def read_params(
    params: Mapping[str, Any], beside: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The config.json that a params.json stands for.

    `beside` is the one that lies there as well: it says what the other leaves out. Raises
    ModelError for Mixtral's experts without it: vLLM translates none of their keys, and dies
    (0.16.0 to 0.33.0, mixtral.py: no rope_parameters, no num_local_experts).
    """
    config = {**(beside or {}), **_translate(params)}
    if config["architectures"] == ["MixtralForCausalLM"] and "num_local_experts" not in config:
        raise ModelError(
            "params.json describes Mixtral's experts, which vLLM reads from a config.json alone",
            "name a folder or a repository that has the model's config.json too",
        )
    return config


def _translate(params: Mapping[str, Any]) -> dict[str, Any]:
    config = {_NAMES.get(key, key): value for key, value in params.items()}
    config.setdefault("hidden_act", "silu")
    config["model_type"] = params.get("model_type", "transformer")
    config["architectures"] = ["MistralForCausalLM"]
    stored = _quantization(config.pop("quantization", None))
    if stored is not None:
        config["quantization_config"] = stored
    experts = config.get("moe")
    if isinstance(experts, Mapping) and experts:
        config["architectures"] = ["MixtralForCausalLM"]
        if experts.get("num_shared_experts"):
            config |= {new: experts[old] for old, new in _EXPERTS.items() if old in experts}
            config |= _ROUTER
            config |= {"model_type": "deepseek_v3", "architectures": ["MistralLarge3ForCausalLM"]}
    tower = _tower(config)
    if tower is None:
        return config
    outer: dict[str, Any] = {
        "model_type": "pixtral",
        "architectures": ["PixtralForConditionalGeneration"],
        "text_config": config,
        "vision_config": tower,
    }
    if stored is not None:
        outer["quantization_config"] = stored
    return outer


def _tower(config: dict[str, Any]) -> Mapping[str, Any] | None:
    several = config.get("multimodal")
    if isinstance(several, Mapping) and several.get("vision_encoder_args"):
        return dict(several)
    tower = config.pop("vision_encoder", None)
    return tower if isinstance(tower, Mapping) and tower else None


def _quantization(stored: object) -> dict[str, Any] | None:
    """FP8 with one scale per tensor, or a declaration of compressed-tensors as it stands."""
    if not isinstance(stored, Mapping) or not stored:
        return None
    if stored.get("qformat_weight") == "fp8_e4m3":
        dynamic = stored.get("qscheme_act") == "NO_SCALES"
        return {"quant_method": "fp8", "activation_scheme": "dynamic" if dynamic else "static"}
    method = str(stored.get("quant_method", "")).lower().replace("_", "-")
    return {**stored, "quant_method": method} if method else dict(stored)
