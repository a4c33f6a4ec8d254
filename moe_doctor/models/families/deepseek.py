"""DeepSeek V2 to V4.1 and the models that keep its layer."""

from __future__ import annotations

from moe_doctor.core.spec import RoutingSpec
from moe_doctor.models.family import Family
from moe_doctor.models.fields import Fields
from moe_doctor.models.layer_rules import after_dense, all_layers
from moe_doctor.models.routing import read_bias, routing

DEEPSEEK_LAYER = routing(grouped=True, default_group=1)
"""vLLM 0.33 deepseek_v2.py: group keys always handed on, bias when topk_method is noaux_tc."""

_V2_DEFAULTS = {
    "norm_topk_prob": False,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "moe_intermediate_size": 1407,
}
_V3_DEFAULTS = {
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "n_shared_experts": 1,
    "hidden_size": 7168,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "first_k_dense_replace": 3,
    "n_group": 8,
    "topk_group": 4,
    "routed_scaling_factor": 2.5,
}
_V4_DEFAULTS = {
    "n_routed_experts": 256,
    "num_experts_per_tok": 6,
    "n_shared_experts": 1,
    "hidden_size": 4096,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 43,
    "scoring_func": "sqrtsoftplus",
    "topk_method": "noaux_tc",
    "routed_scaling_factor": 1.5,
}


def _v4_routing(fields: Fields, layer: int) -> RoutingSpec:
    """The first layers look experts up by token id and have no bias (deepseek_v4/model.py)."""
    words = fields.items("mlp_layer_types")
    if words is not None:
        hashed = layer < len(words[1]) and words[1][layer] == "hash_moe"
    else:
        hashed = layer < fields.integer_or(0, "num_hash_layers")
    plain = routing(default_scoring="sqrtsoftplus", bias=not hashed and read_bias(fields))
    spec = plain(fields, layer)
    return RoutingSpec(
        scoring=spec.scoring,
        renormalize=spec.renormalize,
        has_correction_bias=spec.has_correction_bias,
        scaling_factor=spec.scaling_factor,
        has_hash_layers=hashed,
    )


FAMILIES = (
    Family(
        name="DeepSeek V2",
        model_types=("deepseek_v2", "deepseek"),
        architectures=("DeepseekV2ForCausalLM", "DeepseekForCausalLM"),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=DEEPSEEK_LAYER,
        defaults=_V2_DEFAULTS,
    ),
    Family(
        name="DeepSeek V3",
        draft="after",
        draft_count=1,  # transformers' DeepseekV3Config, from vLLM 0.27's day on
        model_types=("deepseek_v3", "deepseek_v32", "kimi_k2", "mistral_large_3"),
        architectures=(
            "DeepseekV3ForCausalLM",
            "DeepseekV32ForCausalLM",
            "KimiK25ForConditionalGeneration",
            "MistralLarge3ForCausalLM",
        ),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=DEEPSEEK_LAYER,
        defaults=_V3_DEFAULTS,
    ),
    Family(
        name="DeepSeek V4",
        draft="after",
        model_types=("deepseek_v4", "deepseek_ref"),
        architectures=("DeepseekV4ForCausalLM",),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=all_layers,
        routing=_v4_routing,
        block="ffn.experts",
        defaults=_V4_DEFAULTS,
        swiglu_limit=True,
    ),
    Family(
        name="DeepSeek V4.1",
        model_types=("deepseek_v41_text", "deepseek_v41"),
        architectures=("DeepseekV41ForCausalLM",),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=all_layers,
        # vLLM 0.33 deepseek_v41/nvidia/model.py: the V4 block without hash layers.
        routing=routing(default_scoring="sqrtsoftplus"),
        block="ffn.experts",
        swiglu_limit=True,
    ),
    Family(
        name="dots3-note",
        model_types=("dots3_note",),
        architectures=("Dots3NoteForCausalLM",),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=DEEPSEEK_LAYER,
        defaults={**_V3_DEFAULTS, "n_group": 1, "topk_group": 1},
    ),
    Family(
        name="dots.llm1",
        model_types=("dots1",),
        architectures=("Dots1ForCausalLM",),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=routing(grouped=True, default_group=1, default_renormalize=False),
    ),
    Family(
        name="A.X K1",
        model_types=("axk1", "AXK1", "axk2"),
        architectures=("AXK1ForCausalLM", "AXK2ForCausalLM"),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=routing(default_scoring="sigmoid", grouped=True, default_group=1),
        # vLLM 0.33 AXK1.py: a bias unless another method is named.
        defaults={"topk_method": "noaux_tc"},
    ),
    Family(
        name="openPangu",
        model_types=("pangu_ultra_moe", "PanguUltraMoE", "openpangu_moe"),
        architectures=("PanguUltraMoEForCausalLM", "PanguProMoEV2ForCausalLM"),
        experts=("n_routed_experts", "num_routed_experts"),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        # vLLM 0.33 openpangu.py: one group whatever the config says, bias by a flag.
        routing=lambda fields, layer: RoutingSpec(
            scoring="sigmoid",
            renormalize=fields.flag(True, "norm_topk_prob"),
            num_expert_group=1,
            topk_group=1,
            has_correction_bias=fields.flag(False, "router_enable_expert_bias"),
            scaling_factor=fields.number(1.0, "routed_scaling_factor"),
        ),
    ),
)
