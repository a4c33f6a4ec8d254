"""How each family routes, from a config with nothing but what the family writes."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.models.parse import parse_model


@pytest.mark.parametrize(
    ("model_type", "keys", "expected"),
    [
        ("olmoe", {}, ("softmax", False, False)),
        ("phimoe", {}, ("softmax", False, False)),
        ("granitemoe", {"num_local_experts": 32}, ("softmax", True, False)),
        ("glm4_moe", {}, ("sigmoid", True, True)),
        ("lfm2_moe", {}, ("sigmoid", True, True)),
        ("minimax_m2", {"scoring_func": "sigmoid"}, ("sigmoid", True, True)),
        ("dots1", {"n_routed_experts": 8, "topk_method": "noaux_tc"}, ("softmax", False, True)),
        ("exaone_moe", {"num_experts": 8}, ("sigmoid", True, True)),
        ("afmoe", {"num_experts": 8, "score_func": "sigmoid"}, ("sigmoid", True, True)),
        ("grok-1", {}, ("softmax", True, False)),
        ("aria_text", {}, ("softmax", True, False)),
        (
            "mimo_v2_flash",
            {"n_routed_experts": 8, "moe_layer_freq": [0, 1, 1]},
            ("sigmoid", True, False),
        ),
        (
            "bailing_moe_v2",
            {"num_experts": 8, "score_function": "sigmoid", "moe_router_enable_expert_bias": True},
            ("sigmoid", True, True),
        ),
        ("hy_v3", {"num_experts": 8, "expert_hidden_dim": 32}, ("sigmoid", True, True)),
        (
            "pangu_ultra_moe",
            {"n_routed_experts": 8, "router_enable_expert_bias": True},
            ("sigmoid", True, True),
        ),
        ("AXK1", {"n_routed_experts": 8, "topk_method": "noaux_tc"}, ("sigmoid", True, True)),
        ("step3_text", {"moe_num_experts": 8}, ("softmax", True, False)),
        ("cohere2_moe", {"num_experts": 8}, ("softmax", True, False)),
        ("laguna", {"num_experts": 8}, ("sigmoid", True, True)),
        ("sarvam_moe", {"num_experts": 8}, ("sigmoid", True, True)),
    ],
)
def test_routing_of_a_family(
    model_type: str, keys: dict[str, Any], expected: tuple[str, bool, bool]
) -> None:
    base = {
        "num_hidden_layers": 3,
        "hidden_size": 64,
        "intermediate_size": 32,
        "moe_intermediate_size": 32,
        "num_experts_per_tok": 2,
    }
    model = parse_model({**base, "model_type": model_type, **keys}, id="m", source="directory")
    routing = model.moe_layers[0].spec.routing
    assert (routing.scoring, routing.renormalize, routing.has_correction_bias) == expected
    assert "unknown-family" not in [note.kind for note in model.notes]
