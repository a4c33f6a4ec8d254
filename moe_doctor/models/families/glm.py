"""GLM 4.5 to 5.3."""

from __future__ import annotations

from moe_doctor.models.families.deepseek import DEEPSEEK_LAYER
from moe_doctor.models.family import Family
from moe_doctor.models.layer_rules import after_dense, all_layers, numbered_layers
from moe_doctor.models.routing import routing

_GLM4_ROUTING = routing(scoring="sigmoid", bias=True, grouped=True, default_group=1)
"""vLLM 0.33 glm4_moe.py: always sigmoid with a correction bias."""

FAMILIES = (
    Family(
        name="GLM-4-MoE",
        draft="after",
        model_types=("glm4_moe", "glm4v_moe_text", "glm4v_moe"),
        architectures=("Glm4MoeForCausalLM", "Glm4vMoeForConditionalGeneration"),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=_GLM4_ROUTING,
        defaults={
            "n_routed_experts": 128,
            "num_experts_per_tok": 8,
            "n_shared_experts": 1,
            "moe_intermediate_size": 1408,
            "first_k_dense_replace": 1,
        },
    ),
    Family(
        name="Solar Open",
        model_types=("solar_open",),
        architectures=("SolarOpenForCausalLM",),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        # transformers 5.20 modeling_solar_open.py: experts in every layer, no dense-first key.
        layers=all_layers,
        routing=_GLM4_ROUTING,
        defaults={
            "num_hidden_layers": 48,
            "n_routed_experts": 128,
            "num_experts_per_tok": 8,
            "n_shared_experts": 1,
            "hidden_size": 4096,
            "moe_intermediate_size": 1280,
        },
    ),
    Family(
        name="GLM-4-MoE-Lite",
        draft="after",
        model_types=("glm4_moe_lite",),
        architectures=("Glm4MoeLiteForCausalLM",),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(1),
        routing=_GLM4_ROUTING,  # vLLM 0.33 glm4_moe_lite.py: a subclass of GLM-4-MoE
        defaults={
            "n_routed_experts": 64,
            "num_experts_per_tok": 4,
            "n_shared_experts": 1,
            "moe_intermediate_size": 1536,
            "routed_scaling_factor": 1.8,
        },
    ),
    Family(
        name="GLM-5",
        draft="after",
        model_types=("glm_moe_dsa",),
        architectures=("GlmMoeDsaForCausalLM",),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=numbered_layers,
        routing=DEEPSEEK_LAYER,
        defaults={
            "num_hidden_layers": 78,
            "hidden_size": 6144,
            "n_routed_experts": 256,
            "num_experts_per_tok": 8,
            "n_shared_experts": 1,
            "moe_intermediate_size": 2048,
            "first_k_dense_replace": 3,
            "routed_scaling_factor": 2.5,
            "scoring_func": "sigmoid",
            "topk_method": "noaux_tc",
        },
    ),
    Family(
        name="GLM-5-Next",
        model_types=("glm5_next_text", "glm5_next"),
        architectures=("Glm5NextForCausalLM", "Glm5NextForConditionalGeneration"),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(3),
        routing=DEEPSEEK_LAYER,
        activation="silu",
        defaults={
            "num_hidden_layers": 45,
            "n_routed_experts": 288,
            "num_experts_per_tok": 8,
            "n_shared_experts": 1,
            "hidden_size": 4096,
            "moe_intermediate_size": 2048,
            "routed_scaling_factor": 2.5,
            "scoring_func": "sigmoid",
            "topk_method": "noaux_tc",
            "swiglu_limit": 10.0,
        },
        swiglu_limit=True,
    ),
)
