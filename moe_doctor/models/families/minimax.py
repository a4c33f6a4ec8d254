"""MiniMax Text-01, M1, M2 and M3."""

from __future__ import annotations

from moe_doctor.models.family import Family
from moe_doctor.models.fields import MAX_COUNT, Fields, as_integer
from moe_doctor.models.layer_rules import all_layers, listed_layers
from moe_doctor.models.routing import routing
from moe_doctor.models.shared_experts import fixed_shared


def _text_view(fields: Fields, layer: int) -> Fields:
    """Text-01 writes a number of experts for each layer, or one number for all."""
    found = fields.find("num_local_experts")
    if found is None or not isinstance(found[1], (list, tuple)):
        return fields
    number = found[1][layer] if layer < len(found[1]) else 1
    checked = as_integer("num_local_experts", number, minimum=0, maximum=MAX_COUNT)
    return fields.overlay({"num_local_experts": checked})


FAMILIES = (
    Family(
        name="MiniMax-Text-01 and M1",
        model_types=("minimax_text_01", "minimax_m1", "minimax"),
        architectures=(
            "MiniMaxText01ForCausalLM",
            "MiniMaxM1ForCausalLM",
            "MiniMaxForCausalLM",
            "MiniMaxVL01ForConditionalGeneration",
        ),
        experts=("num_local_experts",),
        width=("intermediate_size",),
        layers=all_layers,
        view=_text_view,
        routing=routing(scoring="softmax", renormalize=True, bias=False, scaled=False),
        shared=fixed_shared(0),
        block="block_sparse_moe.experts",
    ),
    Family(
        name="MiniMax-M2",
        model_types=("minimax_m2",),
        architectures=("MiniMaxM2ForCausalLM",),
        experts=("num_local_experts",),
        width=("intermediate_size",),
        layers=all_layers,
        routing=routing(default_scoring="sigmoid", renormalize=True, scaled=False),
        shared=lambda fields: 1 if fields.integer_or(0, "shared_intermediate_size") else 0,
        # The layer's own name in vLLM (0.16 to 0.33), whatever the checkpoint calls its block.
        block="mlp.experts",
        defaults={
            "num_local_experts": 256,
            "num_experts_per_tok": 8,
            "hidden_size": 3072,
            "intermediate_size": 1536,
            "num_hidden_layers": 62,
            "use_routing_bias": True,
        },
    ),
    Family(
        name="MiniMax-M3",
        model_types=("minimax_m3", "minimax_m3_text", "minimax_m3_vl_text", "minimax_m3_vl"),
        architectures=(
            "MiniMaxM3ForCausalLM",
            "MiniMaxM3SparseForCausalLM",
            "MiniMaxM3SparseForConditionalGeneration",
        ),
        experts=("num_local_experts",),
        width=("intermediate_size",),
        layers=lambda fields, count: (
            range(count) if (listed := listed_layers(fields, count)) is None else listed
        ),
        routing=routing(default_scoring="sigmoid", renormalize=True),
        # vLLM 0.33 minimax_m3/model.py: packed w13, so the uninterleaved variant.
        activation="swigluoai_uninterleave",
        block="block_sparse_moe.experts",
        swiglu_limit=True,
    ),
)
