"""Hunyuan v1, v3 and v4."""

from __future__ import annotations

from moe_doctor.core.spec import RoutingSpec
from moe_doctor.models.family import Family
from moe_doctor.models.fields import Fields
from moe_doctor.models.layer_rules import after_dense, all_layers
from moe_doctor.models.routing import routing

_PER_LAYER = ("num_experts", "moe_topk", "moe_intermediate_size", "num_shared_expert")


def _view(fields: Fields, layer: int) -> Fields:
    """Counts and widths are one number, or one per layer."""
    picked = {
        name: value[layer] if layer < len(value) else None
        for name in _PER_LAYER
        if isinstance(value := fields.values.get(name), (list, tuple))
    }
    return fields.overlay(picked) if picked else fields


def _v1_routing(fields: Fields, layer: int) -> RoutingSpec:
    """vLLM 0.20 hunyuan_v1.py: renormalised when more than one expert is chosen."""
    several = fields.integer_or(1, "moe_topk", "num_experts_per_tok") > 1
    return routing(scoring="softmax", renormalize=several, bias=False, scaled=False)(fields, layer)


FAMILIES = (
    Family(
        name="Hunyuan v1",
        model_types=("hunyuan_v1_moe", "hunyuan"),
        architectures=("HunYuanMoEV1ForCausalLM", "HunYuanForCausalLM"),
        experts=("num_experts",),
        top_k=("moe_topk", "num_experts_per_tok"),
        width=("moe_intermediate_size", "intermediate_size"),
        layers=all_layers,
        view=_view,
        routing=_v1_routing,
        shared=lambda fields: (
            fields.integer_or(1, "num_shared_expert")
            if fields.flag(False, "use_mixed_mlp_moe")
            else 0
        ),
        defaults={"moe_topk": 1},
    ),
    Family(
        name="Hunyuan v3",
        draft="after",
        model_types=("hy_v3",),
        architectures=("HYV3ForCausalLM",),
        experts=("num_experts",),
        width=("expert_hidden_dim", "moe_intermediate_size"),
        layers=after_dense(1),
        routing=lambda fields, layer: RoutingSpec(
            scoring="sigmoid",
            renormalize=fields.flag(True, "route_norm"),
            num_expert_group=1,
            topk_group=1,
            has_correction_bias=True,
            scaling_factor=fields.number(1.0, "router_scaling_factor"),
        ),
    ),
    Family(
        name="Hunyuan v4",
        model_types=("hy_v4",),
        architectures=("HYV4ForCausalLM",),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(1),
        # vLLM 0.33 hy_v4/nvidia/moe.py: one group and a bias whatever the config says.
        routing=lambda fields, layer: RoutingSpec(
            scoring="sigmoid",
            renormalize=fields.flag(True, "norm_topk_prob"),
            num_expert_group=1,
            topk_group=1,
            has_correction_bias=True,
            scaling_factor=fields.number(1.0, "routed_scaling_factor"),
        ),
        draft="always",  # HYV4MTP (hy_v4/nvidia/mtp.py)
        activation="silu",
        defaults={
            "num_hidden_layers": 34,
            "n_routed_experts": 256,
            "num_experts_per_tok": 8,
            "n_shared_experts": 1,
            "hidden_size": 2816,
            "moe_intermediate_size": 768,
            "routed_scaling_factor": 2.827,
            "swiglu_limit": 10.0,
        },
        swiglu_limit=True,
    ),
)
