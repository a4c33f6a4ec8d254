"""Granite with experts: plain, shared and hybrid."""

from __future__ import annotations

from moe_doctor.models.family import Family
from moe_doctor.models.layer_rules import all_layers
from moe_doctor.models.routing import routing

FAMILIES = (
    Family(
        name="Granite MoE",
        model_types=("granitemoe", "granitemoeshared", "granitemoehybrid", "granitemoe_swa"),
        architectures=(
            "GraniteMoeForCausalLM",
            "GraniteMoeSharedForCausalLM",
            "GraniteMoeHybridForCausalLM",
        ),
        experts=("num_local_experts",),
        width=("intermediate_size",),
        layers=all_layers,
        routing=routing(scoring="softmax", renormalize=True, bias=False, scaled=False),
        shared=lambda fields: 1 if fields.integer_or(0, "shared_intermediate_size") else 0,
        activation="silu",
        block="block_sparse_moe.experts",
    ),
)
