"""gpt-oss and the encoder built on it."""

from __future__ import annotations

from moe_doctor.models.family import Family
from moe_doctor.models.layer_rules import all_layers
from moe_doctor.models.routing import routing
from moe_doctor.models.shared_experts import fixed_shared

FAMILIES = (
    Family(
        name="gpt-oss",
        model_types=("gpt_oss",),
        architectures=("GptOssForCausalLM",),
        experts=("num_local_experts", "num_experts"),
        top_k=("num_experts_per_tok", "experts_per_token"),
        width=("intermediate_size",),
        layers=all_layers,
        routing=routing(scoring="softmax", renormalize=True, bias=False, scaled=False),
        shared=fixed_shared(0),
        # hidden_act says silu; the experts clamp and shift it (vLLM 0.33 gpt_oss.py).
        activation="swigluoai",
        has_bias=True,
        defaults={
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
            "hidden_size": 2880,
            "intermediate_size": 2880,
            "num_hidden_layers": 36,
        },
    ),
    Family(
        name="OpenAI privacy filter",
        model_types=("openai_privacy_filter",),
        architectures=("OpenAIPrivacyFilterForTokenClassification",),
        experts=("num_local_experts", "num_experts"),
        width=("intermediate_size",),
        layers=all_layers,
        routing=routing(scoring="softmax", renormalize=True, bias=False, scaled=False),
        shared=fixed_shared(0),
        activation="swigluoai",  # vLLM 0.33 openai_privacy_filter.py: gpt-oss's own block
        has_bias=True,
        defaults={
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
            "hidden_size": 640,
            "intermediate_size": 640,
            "num_hidden_layers": 8,
        },
    ),
)
