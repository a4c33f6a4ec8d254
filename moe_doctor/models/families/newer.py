"""Families with one model line each that vLLM 0.33 added."""

from __future__ import annotations

from collections.abc import Collection

from moe_doctor.core.spec import RoutingSpec
from moe_doctor.models.family import Family
from moe_doctor.models.fields import Fields
from moe_doctor.models.layer_rules import after_dense, all_layers, stepped_layers
from moe_doctor.models.routing import read_scoring, routing
from moe_doctor.models.shared_experts import fixed_shared


def _horizon_routing(fields: Fields, layer: int) -> RoutingSpec:
    """The gate's own bias corrects the choice (k2_horizon.py)."""
    return routing(bias=fields.flag(False, "moe_gate_bias"))(fields, layer)


def _beam_routing(fields: Fields, layer: int) -> RoutingSpec:
    """Grouped only when both group keys are there (beam/nvidia/moe.py)."""
    grouped = fields.has("n_group") and fields.has("topk_group")
    return routing(scoring="sigmoid", bias=True, grouped=grouped)(fields, layer)


def _flint_routing(fields: Fields, layer: int) -> RoutingSpec:
    """A key of its own for the scoring function (flint/model.py)."""
    own = Fields({"scoring_func": fields.values.get("router_score_function")})
    scoring = read_scoring(own, "sigmoid")
    return routing(scoring=scoring, bias=False, scaled=False)(fields, layer)


def _inkling_layers(fields: Fields, count: int) -> Collection[int]:
    """All from `dense_mlp_idx` on (inkling/nvidia/model.py)."""
    return range(min(fields.integer_or(0, "dense_mlp_idx"), count), count)


def _inkling_view(fields: Fields, layer: int) -> Fields:
    """`intermediate_size` is the experts' where the dense width has a key of its own
    (inkling/configs.py)."""
    del layer
    own = fields.has("dense_intermediate_size") or not fields.has("moe_intermediate_size")
    width = fields.values.get("intermediate_size")
    return fields.overlay({"moe_intermediate_size": width}) if own else fields


FAMILIES = (
    Family(
        name="K2-Horizon",
        model_types=("k2_horizon",),
        architectures=("K2HorizonForCausalLM",),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        # The experts of its attention (mova_num_experts) are no FusedMoE layers.
        layers=stepped_layers,
        routing=_horizon_routing,
    ),
    Family(
        name="Alice AI",
        model_types=("alice_ai",),
        architectures=("AliceAIForCausalLM",),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        layers=all_layers,
        routing=routing(scoring="sigmoid", bias=True, scaled=False),
    ),
    Family(
        name="Beam",
        model_types=("beam",),
        architectures=("BeamForCausalLM",),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=_beam_routing,
        shared=fixed_shared(0),
        activation="silu",
        defaults={
            "num_hidden_layers": 24,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "hidden_size": 2048,
            "moe_intermediate_size": 768,
        },
    ),
    Family(
        name="Flint",
        model_types=("flint",),
        architectures=("FlintForCausalLM",),
        experts=("num_experts",),
        width=("moe_intermediate_size",),
        layers=stepped_layers,
        routing=_flint_routing,
        shared=fixed_shared(1),
        activation="silu",
        defaults={
            "num_hidden_layers": 49,
            "num_experts": 256,
            "num_experts_per_tok": 6,
            "hidden_size": 2048,
            "moe_intermediate_size": 512,
        },
    ),
    Family(
        name="Inkling",
        model_types=("inkling_model", "inkling_text", "inkling_mm_model"),
        architectures=("InklingForCausalLM", "InklingForConditionalGeneration"),
        experts=("n_routed_experts",),
        width=("moe_intermediate_size",),
        layers=_inkling_layers,
        view=_inkling_view,
        # Chosen by a function of its own, with the shared experts as a sink.
        routing=routing(
            scoring="softmax", renormalize=False, bias=False, scaled=False, custom="inkling"
        ),
        activation="silu",
    ),
    Family(
        name="Muse Spark",
        model_types=("muse_spark_text", "muse_spark"),
        architectures=("MuseSparkForConditionalGeneration",),
        experts=("num_local_experts",),
        # The experts read a pooled width (muse_spark/nvidia/model.py).
        hidden=("moe_hidden_size",),
        width=("moe_intermediate_size",),
        layers=after_dense(),
        routing=routing(scoring="sigmoid", renormalize=True, bias=True),
        shared=fixed_shared(0),
        activation="silu",
        defaults={
            "num_hidden_layers": 62,
            "num_local_experts": 256,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 4096,
        },
    ),
)
