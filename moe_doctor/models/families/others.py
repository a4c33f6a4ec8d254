"""Families with one model line each."""

from __future__ import annotations

from moe_doctor.core.spec import RoutingSpec
from moe_doctor.models.family import Family
from moe_doctor.models.fields import MAX_LAYERS, Fields
from moe_doctor.models.layer_rules import after_dense, all_layers, listed_layers, standard_layers
from moe_doctor.models.routing import read_scoring, routing
from moe_doctor.models.shared_experts import fixed_shared


def _afmoe_routing(fields: Fields, layer: int) -> RoutingSpec:
    """Weights are normalised only after a sigmoid (vLLM 0.33 afmoe.py)."""
    sigmoid = read_scoring(fields, "sigmoid") == "sigmoid"
    return routing(
        default_scoring="sigmoid",
        renormalize=sigmoid and fields.flag(True, "route_norm"),
        bias=True,
        grouped=True,
        default_group=1,
    )(fields, layer)


def _grok_routing(fields: Fields, layer: int) -> RoutingSpec:
    """Renormalised unless it says otherwise or has a residual MoE (vLLM 0.20 grok1.py)."""
    default = not fields.flag(False, "residual_moe")
    renormalize = fields.flag(default, "moe_router_renormalize", "moe_renormalize")
    return routing(scoring="softmax", renormalize=renormalize, bias=False, scaled=False)(
        fields, layer
    )


def _cohere_routing(fields: Fields, layer: int) -> RoutingSpec:
    """A routing function of its own when it selects by sigmoid (vLLM 0.33 cohere2_moe.py)."""
    custom = "cohere2" if read_scoring(fields, "softmax") == "sigmoid" else None
    return routing(bias=False, scaled=False, custom=custom)(fields, layer)


def _longcat_count(fields: Fields) -> int | None:
    """`num_hidden_layers` counts attention sub-layers, of which a layer has two (transformers
    5.18 configuration_longcat_flash.py)."""
    if fields.has("num_layers"):
        return None
    halves = fields.integer("num_hidden_layers", maximum=2 * MAX_LAYERS)
    return 28 if halves is None else halves // 2  # the class's default


FAMILIES = (
    Family(
        name="LongCat-Flash",
        model_types=("longcat_flash", "longcat_flash_ngram"),
        architectures=("LongcatFlashForCausalLM", "LongcatFlashNgramForCausalLM"),
        layer_count=("num_layers", "num_hidden_layers"),
        count=_longcat_count,
        experts=("n_routed_experts",),
        top_k=("moe_topk", "num_experts_per_tok"),
        width=("expert_ffn_hidden_size", "moe_intermediate_size"),
        layers=all_layers,
        # Zero experts only copy their input; they take routes and have no weights.
        routing=routing(scoring="softmax", renormalize=False, bias=True, custom="zero_experts"),
        shared=fixed_shared(0),
        activation="silu",
        defaults={"n_routed_experts": 512, "moe_topk": 12, "expert_ffn_hidden_size": 2048},
    ),
    Family(
        name="MiMo-V2",
        model_types=("mimo_v2_flash", "mimo_v2", "mimo_v2_pro", "mimo_v2_omni"),
        architectures=("MiMoV2FlashForCausalLM", "MiMoV2ForCausalLM", "MiMoV2ProForCausalLM"),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=lambda fields, count: listed_layers(fields, count) or (),
        # vLLM 0.33 mimo_v2.py: sigmoid whatever the config says, no scaling.
        routing=routing(scoring="sigmoid", grouped=True, default_group=1, scaled=False),
    ),
    Family(
        name="Aria",
        model_types=("aria_text", "aria", "aria_moe_lm"),
        architectures=("AriaForConditionalGeneration",),
        experts=("moe_num_experts",),
        top_k=("moe_topk",),
        width=("moe_intermediate_size", "intermediate_size"),
        layers=all_layers,
        routing=routing(scoring="softmax", renormalize=True, bias=False, scaled=False),
        defaults={"moe_num_experts": 8, "moe_topk": 2, "moe_num_shared_experts": 2},
    ),
    Family(
        name="Grok",
        model_types=("grok-1", "grok1", "grok-2", "grok2", "git", "grok"),
        architectures=("Grok1ModelForCausalLM", "Grok1ForCausalLM", "Grok2ForCausalLM"),
        experts=("num_experts", "num_local_experts"),
        width=("moe_intermediate_size", "intermediate_size"),
        layers=all_layers,
        routing=_grok_routing,
        shared=fixed_shared(0),
        activation="gelu",
        block="moe_block.experts",
        defaults={"num_local_experts": 8, "num_experts_per_tok": 2},
    ),
    Family(
        name="AFMoE (Trinity)",
        model_types=("afmoe",),
        architectures=("AfmoeForCausalLM",),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(1),
        routing=_afmoe_routing,
        activation="silu",
    ),
    Family(
        name="EXAONE MoE",
        model_types=("exaone_moe",),
        architectures=("ExaoneMoEForCausalLM", "ExaoneMoeForCausalLM"),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        layers=standard_layers,
        routing=routing(scoring="sigmoid", bias=True, grouped=True, default_group=1),
        activation="silu",
        defaults={"first_k_dense_replace": 1},
    ),
    Family(
        name="Laguna",
        model_types=("laguna",),
        architectures=("LagunaForCausalLM",),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        layers=standard_layers,
        routing=routing(scoring="sigmoid", renormalize=True, bias=True),
        activation="silu",
    ),
    Family(
        name="Cohere2 MoE",
        model_types=("cohere2_moe",),
        architectures=("Cohere2MoeForCausalLM",),
        experts=("num_experts",),
        width=("intermediate_size",),
        layers=standard_layers,
        routing=_cohere_routing,
        activation="silu",
    ),
    # Names alone: these say everything with the standard keys (seen to build so in 0.20 to 0.33).
    Family(name="Mellum", model_types=("mellum",), architectures=("MellumForCausalLM",)),
    Family(name="Mistral 4", model_types=("mistral4",), architectures=("Mistral4ForCausalLM",)),
    Family(name="Kolibri 1", model_types=("kolibri1",), architectures=("Kolibri1ForCausalLM",)),
    Family(name="Zaya", model_types=("zaya",), architectures=("ZayaForCausalLM",)),
    Family(name="Doge", model_types=("doge",), architectures=("DogeForCausalLM",)),
)
