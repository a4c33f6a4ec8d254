"""Activations that a model class refuses for its shared experts and dense layers."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.release import Release
from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.parse import parse_model
from moe_doctor.oracle.engines.vllm.layers import EngineRefusal, build_query

QWEN3 = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "num_hidden_layers": 4,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "hidden_size": 2048,
    "moe_intermediate_size": 768,
}
DEEPSEEK = QWEN3 | {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "n_routed_experts": 8,
    "first_k_dense_replace": 0,
}
NEMOTRON = QWEN3 | {
    "architectures": ["NemotronHForCausalLM"],
    "model_type": "nemotron_h",
    "hybrid_override_pattern": "ME*E",
    "n_routed_experts": 8,
}
GEMMA4 = QWEN3 | {
    "architectures": ["Gemma4ForCausalLM"],
    "model_type": "gemma4_text",
    "top_k_experts": 2,
    "enable_moe_block": True,
}


def spec(config: dict[str, Any]) -> ModelSpec:
    return parse_model(config, id="m", source="directory")


def said(config: dict[str, Any], release: Release) -> str | None:
    built = build_query(spec(config), 0, Deployment(), release=release, platform="cuda", lora=False)
    return (
        f"{built.error.type}: {built.error.message}" if isinstance(built, EngineRefusal) else None
    )


@pytest.mark.parametrize("name", ["gelu", "SiLU", "swish"])
def test_deepseek_s_own_block_takes_silu_as_it_is_spelled(name: str) -> None:
    wanted = f"ValueError: Unsupported activation: {name}. Only silu is supported for now."
    assert said(DEEPSEEK | {"hidden_act": name}, (0, 20, 0)) == wanted
    assert said(DEEPSEEK | {"hidden_act": "silu"}, (0, 20, 0)) is None
    assert said(DEEPSEEK, (0, 20, 0)) is None


def test_qwen3_looks_at_it_in_dense_layers_alone() -> None:
    odd = QWEN3 | {"hidden_act": "gelu"}
    assert said(odd, (0, 33, 0)) is None
    assert said(odd | {"decoder_sparse_step": 2}, (0, 33, 0)) == (
        "ValueError: Unsupported activation: gelu. Only silu is supported for now."
    )


def test_gemma_4_took_one_activation_until_0_21() -> None:
    odd = GEMMA4 | {"hidden_activation": "gelu_new"}
    assert said(odd, (0, 20, 2)) == (
        "ValueError: Gemma4 uses `gelu_pytorch_tanh` as the hidden activation function. Please "
        "set `hidden_act` and `hidden_activation` to `gelu_pytorch_tanh`."
    )
    wanted = "ValueError: Activation function 'gelu_new' is not supported."
    assert said(odd, (0, 21, 0)) == wanted
    assert said(GEMMA4 | {"hidden_activation": "silu"}, (0, 21, 0)) is None


@pytest.mark.parametrize("name", ["relu", "swish"])
def test_experts_without_a_gate_are_refused_by_the_name_in_the_config(name: str) -> None:
    odd = NEMOTRON | {"mlp_hidden_act": name}
    assert said(odd, (0, 27, 1)) == f"ValueError: Unknown MoE activation: {name!r}."
    assert said(NEMOTRON | {"mlp_hidden_act": "relu2"}, (0, 27, 1)) is None
