"""OLMoE and FlexOlmo."""

from __future__ import annotations

from moe_doctor.models.family import Family
from moe_doctor.models.layer_rules import all_layers
from moe_doctor.models.routing import routing
from moe_doctor.models.shared_experts import fixed_shared

_ROUTING = routing(scoring="softmax", renormalize=False, bias=False, scaled=False)
"""vLLM 0.33 olmoe.py passes renormalize=False whatever the config says."""

FAMILIES = (
    Family(
        name="OLMoE",
        model_types=("olmoe",),
        architectures=("OlmoeForCausalLM",),
        experts=("num_experts", "num_local_experts"),
        width=("intermediate_size",),
        layers=all_layers,
        routing=_ROUTING,
        shared=fixed_shared(0),
        activation="silu",
        defaults={
            "num_experts": 64,
            "num_experts_per_tok": 8,
            "hidden_size": 2048,
            "intermediate_size": 2048,
            "num_hidden_layers": 16,
        },
    ),
    Family(
        name="FlexOlmo",
        model_types=("flex_olmo",),
        architectures=("FlexOlmoForCausalLM",),
        experts=("num_experts", "num_local_experts"),
        width=("intermediate_size",),
        layers=all_layers,
        routing=_ROUTING,
        shared=fixed_shared(0),
        activation="silu",
        defaults={
            "num_experts": 7,
            "num_experts_per_tok": 5,
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
        },
    ),
)
