"""Bailing (Ling and Ring) and models built on it."""

from __future__ import annotations

from moe_doctor.models.family import Family
from moe_doctor.models.layer_rules import after_dense
from moe_doctor.models.routing import routing

FAMILIES = (
    Family(
        name="Bailing MoE (Ling, Ring)",
        draft="always",  # vLLM 0.33 bailing_moe_mtp.py
        model_types=(
            "bailing_moe",
            "bailing_moe_v2",
            "bailing_moe_linear",
            "bailing_moe_v2_5",
            "bailing_hybrid",
        ),
        architectures=(
            "BailingMoeForCausalLM",
            "BailingMoeV2ForCausalLM",
            "BailingMoeLinearForCausalLM",
            "BailingMoeLinearV2ForCausalLM",
            "BailingMoeV2_5ForCausalLM",
        ),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        # vLLM 0.33 bailing_moe.py: grouped only where both group keys are there.
        routing=lambda fields, layer: routing(
            grouped=fields.has("n_group") and fields.has("topk_group")
        )(fields, layer),
        # Only the class of v3 looks at it, which `bailing_hybrid` is named with too.
        swiglu_limits="expert_swiglu_limit_list",
    ),
    Family(
        name="Bailing MoE v3",
        model_types=("bailing_moe_v3", "bailing_moe_v3_vl"),
        architectures=("BailingMoeV3ForCausalLM",),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=routing(scoring="sigmoid", renormalize=True, bias=True, grouped=True),
        activation="silu",
        swiglu_limits="expert_swiglu_limit_list",
    ),
    Family(
        name="Sarvam and Param2",
        model_types=("sarvam_moe", "sarvam_mla", "param2moe"),
        architectures=(
            "SarvamMoEForCausalLM",
            "SarvamMLAForCausalLM",
            "Param2MoEForCausalLM",
        ),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(1),
        routing=lambda fields, layer: routing(
            default_scoring="sigmoid",
            default_bias=True,
            grouped=fields.has("n_group") and fields.has("topk_group"),
        )(fields, layer),
    ),
)
