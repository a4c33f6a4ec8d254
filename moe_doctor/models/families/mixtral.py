"""Mixtral and the models that copied its keys."""

from __future__ import annotations

from moe_doctor.models.family import Family
from moe_doctor.models.layer_rules import all_layers, frequency_layers
from moe_doctor.models.routing import routing
from moe_doctor.models.shared_experts import fixed_shared

FAMILIES = (
    Family(
        name="Mixtral",
        model_types=("mixtral",),
        architectures=("MixtralForCausalLM", "QuantMixtralForCausalLM"),
        experts=("num_local_experts", "num_experts"),
        width=("intermediate_size",),
        layers=all_layers,
        routing=routing(scoring="softmax", renormalize=True, bias=False, scaled=False),
        shared=fixed_shared(0),
        activation="silu",
        block="block_sparse_moe.experts",
        defaults={
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
        },
    ),
    Family(
        name="Phi-MoE",
        model_types=("phimoe",),
        architectures=("PhiMoEForCausalLM", "PhimoeForCausalLM"),
        experts=("num_local_experts",),
        width=("intermediate_size",),
        layers=all_layers,
        # vLLM 0.33 phimoe.py: sparsemixer, weights of two separately masked softmaxes.
        routing=routing(
            scoring="softmax", renormalize=False, bias=False, scaled=False, custom="sparsemixer"
        ),
        shared=fixed_shared(0),
        activation="silu",
        block="block_sparse_moe.experts",
        defaults={
            "num_local_experts": 16,
            "num_experts_per_tok": 2,
            "hidden_size": 4096,
            "intermediate_size": 6400,
            "num_hidden_layers": 32,
        },
    ),
    Family(
        name="Arctic",
        model_types=("arctic",),
        architectures=("ArcticForCausalLM",),
        experts=("num_local_experts",),
        width=("intermediate_size",),
        layers=frequency_layers,
        # vLLM 0.20 arctic.py: renormalises when more than one expert is chosen.
        routing=lambda fields, layer: routing(
            scoring="softmax",
            renormalize=fields.integer_or(1, "num_experts_per_tok") > 1,
            bias=False,
            scaled=False,
        )(fields, layer),
        shared=fixed_shared(0),
        activation="silu",
        block="block_sparse_moe.experts",
        defaults={"moe_layer_frequency": 2, "num_local_experts": 8, "num_experts_per_tok": 1},
    ),
    Family(
        name="JetMoE",
        model_types=("jetmoe",),
        architectures=("JetMoEForCausalLM", "JetMoeForCausalLM"),
        experts=("num_local_experts", "moe_num_experts"),
        top_k=("num_experts_per_tok", "moe_top_k"),
        width=("intermediate_size", "ffn_hidden_size"),
        layers=all_layers,
        routing=routing(scoring="softmax", renormalize=True, bias=False, scaled=False),
        shared=fixed_shared(0),
        defaults={"num_local_experts": 8, "num_experts_per_tok": 2},
    ),
)
