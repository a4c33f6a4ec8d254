"""Models that mix attention with other token mixers: Jamba, LFM2, and DBRX's nested keys."""

from __future__ import annotations

from moe_doctor.models.family import Family
from moe_doctor.models.layer_rules import after_dense, all_layers, periodic_layers
from moe_doctor.models.routing import routing
from moe_doctor.models.shared_experts import fixed_shared

FAMILIES = (
    Family(
        name="Jamba",
        model_types=("jamba",),
        architectures=("JambaForCausalLM",),
        experts=("num_experts", "num_local_experts"),
        width=("intermediate_size",),
        layers=periodic_layers,
        routing=routing(scoring="softmax", renormalize=False, bias=False, scaled=False),
        shared=fixed_shared(0),
        activation="silu",
        block="feed_forward.experts",
        defaults={
            "num_experts": 16,
            "num_experts_per_tok": 2,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
        },
    ),
    Family(
        name="LFM2-MoE",
        model_types=("lfm2_moe",),
        architectures=("Lfm2MoeForCausalLM",),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=lambda fields, layer: routing(
            scoring="sigmoid",
            bias=fields.flag(True, "use_expert_bias"),
            grouped=True,
            default_group=1,
        )(fields, layer),
        shared=fixed_shared(0),
        activation="silu",
        block="feed_forward.experts",
        defaults={
            "num_experts": 32,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1792,
            "num_dense_layers": 2,
        },
    ),
    Family(
        name="DBRX",
        model_types=("dbrx",),
        architectures=("DbrxForCausalLM",),
        layer_count=("n_layers", "num_hidden_layers"),
        experts=("moe_num_experts",),
        top_k=("moe_top_k",),
        hidden=("d_model", "hidden_size"),
        width=("ffn_hidden_size",),
        layers=all_layers,
        routing=routing(scoring="softmax", renormalize=True, bias=False, scaled=False),
        shared=fixed_shared(0),
        activation="silu",
        block="ffn.experts",
        section="ffn_config",
        defaults={
            "moe_num_experts": 4,
            "moe_top_k": 1,
            "ffn_hidden_size": 3584,
            "d_model": 2048,
            "n_layers": 24,
        },
    ),
)
