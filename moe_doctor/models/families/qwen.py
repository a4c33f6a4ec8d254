"""Qwen 2, 3, 3-Next, 3.5, 4-Exp, their vision and omni wrappers, and models built like them."""

from __future__ import annotations

from moe_doctor.models.family import Family
from moe_doctor.models.layer_rules import all_layers, stepped_layers
from moe_doctor.models.routing import routing
from moe_doctor.models.shared_experts import fixed_shared, standard_shared

_WIDTH = ("moe_intermediate_size",)
_EXPERTS = ("num_experts", "num_local_experts")

FAMILIES = (
    Family(
        name="Qwen2-MoE",
        model_types=("qwen2_moe",),
        architectures=("Qwen2MoeForCausalLM",),
        experts=_EXPERTS,
        width=_WIDTH,
        layers=stepped_layers,
        routing=routing(scoring="softmax", default_renormalize=False, bias=False, scaled=False),
        shared=standard_shared,
        defaults={
            "num_experts": 60,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1408,
            "shared_expert_intermediate_size": 5632,
        },
    ),
    Family(
        name="Qwen3-MoE",
        model_types=("qwen3_moe",),
        architectures=("Qwen3MoeForCausalLM",),
        experts=_EXPERTS,
        width=_WIDTH,
        layers=stepped_layers,
        routing=routing(scoring="softmax", default_renormalize=False, bias=False, scaled=False),
        shared=standard_shared,
        defaults={
            "num_hidden_layers": 24,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "hidden_size": 2048,
            "moe_intermediate_size": 768,
        },
    ),
    Family(
        name="Qwen3-VL-MoE",
        model_types=("qwen3_vl_moe_text",),
        architectures=("Qwen3VLMoeForConditionalGeneration",),
        experts=_EXPERTS,
        width=_WIDTH,
        layers=stepped_layers,
        routing=routing(scoring="softmax", default_renormalize=True, bias=False, scaled=False),
        shared=fixed_shared(0),
        defaults={
            "num_hidden_layers": 24,
            "num_experts": 60,
            "num_experts_per_tok": 4,
            "hidden_size": 2048,
            "moe_intermediate_size": 1408,
        },
    ),
    Family(
        name="Qwen3-Omni-MoE",
        model_types=("qwen3_omni_moe_text",),
        architectures=(
            "Qwen3OmniMoeForConditionalGeneration",
            "Qwen3OmniMoeThinkerForConditionalGeneration",
        ),
        experts=_EXPERTS,
        width=_WIDTH,
        layers=stepped_layers,
        routing=routing(scoring="softmax", default_renormalize=True, bias=False, scaled=False),
        shared=fixed_shared(0),
        defaults={"num_experts_per_tok": 8},
    ),
    Family(
        name="Qwen3-Next",
        draft="beside",
        model_types=("qwen3_next",),
        architectures=("Qwen3NextForCausalLM",),
        experts=_EXPERTS,
        width=_WIDTH,
        layers=stepped_layers,
        # vLLM 0.33 qwen3_next.py: norm_topk_prob counts as true when the config has no such key.
        routing=routing(scoring="softmax", default_renormalize=True, bias=False, scaled=False),
        shared=standard_shared,
        draft_count=1,  # vLLM 0.33 qwen3_next_mtp.py, where the config does not say
        defaults={"shared_expert_intermediate_size": 512},
    ),
    Family(
        name="Qwen3.5-MoE",
        draft="beside",
        model_types=("qwen3_5_moe_text", "qwen3_5_moe"),
        architectures=(
            "Qwen3_5MoeForConditionalGeneration",
            "InternS2PreviewForConditionalGeneration",  # a subclass of the one above
            "Qwen3_5MoeForCausalLM",
        ),
        experts=_EXPERTS,
        width=_WIDTH,
        # vLLM 0.17 to 0.33 qwen3_5.py: experts in every layer, whatever `mlp_only_layers` says.
        layers=all_layers,
        routing=routing(scoring="softmax", default_renormalize=True, bias=False, scaled=False),
        shared=standard_shared,
        defaults={
            "num_hidden_layers": 40,
            "num_experts": 256,
            "num_experts_per_tok": 8,
            "hidden_size": 2048,
            "moe_intermediate_size": 512,
            "shared_expert_intermediate_size": 512,
        },
        draft_count=1,  # vLLM 0.33 qwen3_5_mtp.py
    ),
    Family(
        name="Qwen4-Exp",
        model_types=("qwen4_exp_text", "qwen4_exp"),
        architectures=("Qwen4ExpForCausalLM", "Qwen4ExpForConditionalGeneration"),
        experts=_EXPERTS,
        width=_WIDTH,
        layers=all_layers,
        # vLLM 0.33 qwen4_exp/nvidia/model.py: the block of Qwen3-Next in every layer.
        routing=routing(scoring="softmax", default_renormalize=True, bias=False, scaled=False),
        shared=standard_shared,
        defaults={
            "num_hidden_layers": 40,
            "num_experts": 512,
            "num_experts_per_tok": 10,
            "hidden_size": 2048,
            "moe_intermediate_size": 512,
            "shared_expert_intermediate_size": 512,
        },
    ),
    Family(
        name="InternS1-Pro",
        model_types=("interns1_pro_text", "interns1_pro"),
        architectures=("InternS1ProForConditionalGeneration", "InternS1ProForCausalLM"),
        experts=_EXPERTS,
        width=_WIDTH,
        layers=stepped_layers,
        routing=routing(scoring="softmax", bias=False, scaled=False, custom="grouped_router"),
        shared=fixed_shared(0),
    ),
)
