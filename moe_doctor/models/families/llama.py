"""Llama 4."""

from __future__ import annotations

from moe_doctor.models.family import Family
from moe_doctor.models.layer_rules import interleaved_layers
from moe_doctor.models.routing import routing
from moe_doctor.models.shared_experts import fixed_shared

FAMILIES = (
    Family(
        name="Llama 4",
        model_types=("llama4_text", "llama4"),
        architectures=("Llama4ForConditionalGeneration", "Llama4ForCausalLM"),
        experts=("num_local_experts",),
        width=("intermediate_size",),
        layers=interleaved_layers,
        # vLLM 0.33 llama4.py: top-1, then sigmoid of its logit, applied to the expert's input.
        routing=routing(
            scoring="sigmoid", renormalize=False, bias=False, scaled=False, custom="llama4"
        ),
        shared=fixed_shared(1),
        activation="silu",
        block="feed_forward.experts",
        defaults={
            "num_local_experts": 16,
            "num_experts_per_tok": 1,
            "hidden_size": 5120,
            "intermediate_size": 8192,
            "num_hidden_layers": 48,
        },
    ),
)
