"""Gemma 4 with a mixture of experts beside its dense MLP."""

from __future__ import annotations

from collections.abc import Collection

from moe_doctor.models.family import Family
from moe_doctor.models.fields import Fields
from moe_doctor.models.routing import routing
from moe_doctor.models.shared_experts import fixed_shared


def _layers(fields: Fields, count: int) -> Collection[int]:
    return range(count) if fields.flag(True, "enable_moe_block") else ()


FAMILIES = (
    Family(
        name="Gemma 4",
        model_types=("gemma4_text", "gemma4", "gemma4_unified_text"),
        architectures=("Gemma4ForConditionalGeneration", "Gemma4ForCausalLM"),
        experts=("num_experts",),
        top_k=("top_k_experts",),
        width=("moe_intermediate_size", "expert_intermediate_size"),
        layers=_layers,
        # vLLM 0.33 gemma4.py: softmax over all, renormalised, then a learned scale per expert.
        routing=routing(
            scoring="softmax", renormalize=True, bias=False, scaled=False, custom="gemma4"
        ),
        shared=fixed_shared(0),
        activation="gelu_tanh",
        block="experts",
        defaults={"num_hidden_layers": 30, "hidden_size": 2304},
    ),
)
