"""ModelOpt's lists for Jamba, as engines read them."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.models.parse import parse_model

JAMBA: dict[str, Any] = {
    "architectures": ["JambaForCausalLM"],
    "model_type": "jamba",
    "num_hidden_layers": 8,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_experts": 16,
    "num_experts_per_tok": 2,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "attn_layer_period": 8,
    "attn_layer_offset": 4,
}


@pytest.mark.parametrize(
    ("entry", "left"),
    [
        ("model.layers.*.self_attn*", []),
        ("model.layers.*.self_attn.*", []),
        ("model.layers.3.self_attn*", [1, 5, 7]),
        ("model.layers.3.self_attn.q_proj", [1, 3, 5, 7]),
        ("*self_attn*", [1, 3, 5, 7]),
        ("model.layers.3.mamba*", [1, 3, 5, 7]),
    ],
)
def test_a_star_below_attention_takes_the_layer_s_experts_out(entry: str, left: list[int]) -> None:
    declared = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", entry]}
    model = parse_model(JAMBA | {"quantization_config": declared}, id="m", source="directory")
    found = [
        number
        for kind in model.moe_layers
        if kind.spec.quantization is not None
        for number in kind.layers
    ]
    assert found == left
