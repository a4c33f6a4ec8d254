"""Text encoders and small vision models with experts: Nomic, Moondream 3."""

from __future__ import annotations

from collections.abc import Collection

from moe_doctor.models.family import Family
from moe_doctor.models.fields import MAX_LAYERS, Fields
from moe_doctor.models.routing import routing
from moe_doctor.models.shared_experts import fixed_shared


def _every_nth(fields: Fields, count: int) -> Collection[int]:
    """Every `moe_every_n_layers`-th layer from the second on (vLLM 0.33 bert_with_rope.py)."""
    every = fields.integer_or(0, "moe_every_n_layers")
    return [layer for layer in range(count) if every and layer % every == 1]


def _moondream_text(fields: Fields) -> Fields:
    """`config.text`, with its `moe` on top (vLLM 0.33 configs/moondream3.py)."""
    text = Fields(Fields(fields.section("config")).section("text"))
    return fields.overlay({**text.values, **text.section("moe")})


def _moondream_layers(fields: Fields, count: int) -> Collection[int]:
    """From `start_layer` on."""
    return range(_moondream_text(fields).integer_or(4, "start_layer"), count)


FAMILIES = (
    Family(
        name="Nomic-BERT-MoE",
        model_types=("nomic_bert",),
        architectures=("NomicBertModel",),
        experts=("num_experts",),
        top_k=("moe_top_k",),
        hidden=("n_embd", "hidden_size"),
        width=("n_inner", "intermediate_size"),
        layers=_every_nth,
        routing=routing(scoring="softmax", renormalize=False, bias=False, scaled=False),
        shared=fixed_shared(0),
        gated=False,
        block="mlp.experts",
    ),
    Family(
        name="Moondream 3",
        model_types=("moondream3", "moondream3_text"),
        architectures=("Moondream3ForCausalLM", "HfMoondream"),
        layer_count=("n_layers",),
        count=lambda fields: _moondream_text(fields).integer("n_layers", maximum=MAX_LAYERS),
        experts=("n_experts",),
        top_k=("n_experts_per_tok",),
        hidden=("dim",),
        width=("expert_inner_dim",),
        layers=_moondream_layers,
        view=lambda fields, layer: _moondream_text(fields),
        routing=routing(scoring="softmax", renormalize=True, bias=False, scaled=False),
        shared=fixed_shared(0),
        activation="gelu",
        defaults={
            "n_layers": 24,
            "n_experts": 64,
            "n_experts_per_tok": 8,
            "dim": 2048,
            "expert_inner_dim": 1024,
        },
    ),
)
