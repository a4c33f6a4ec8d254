"""Kimi-Linear and K3 (K2 and K2.5 are DeepSeek V3 layers)."""

from __future__ import annotations

from moe_doctor.core.spec import RoutingSpec
from moe_doctor.models.family import Family
from moe_doctor.models.fields import Fields
from moe_doctor.models.layer_rules import after_dense
from moe_doctor.models.routing import routing


def _routing(fields: Fields, layer: int) -> RoutingSpec:
    """Kimi's own key names, grouped unless it says otherwise (vLLM 0.33 configs/kimi_linear.py)."""
    grouped = fields.flag(True, "use_grouped_topk")
    return routing(default_scoring="sigmoid", bias=True, grouped=grouped, default_group=1)(
        fields, layer
    )


FAMILIES = (
    Family(
        name="Kimi-Linear and Kimi-K3",
        model_types=("kimi_linear", "kimi_k3_text", "kimi_k3"),
        architectures=("KimiLinearForCausalLM", "KimiK3ForConditionalGeneration"),
        experts=("num_experts",),
        top_k=("num_experts_per_token", "num_experts_per_tok"),
        hidden=("routed_expert_hidden_size", "hidden_size"),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=_routing,
        block="block_sparse_moe.experts",
        draft="after",  # KimiK3MTP (kimi_k3/nvidia/mtp.py); Kimi-Linear has none
    ),
)
