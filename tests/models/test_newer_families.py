"""Families that vLLM 0.33 added, in their own keys; hy_v4, beam, inkling and the privacy filter
are numbers that vLLM 0.33.0 built from the same keys."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.parse import parse_model

SMALL = {"num_hidden_layers": 4, "hidden_size": 64, "moe_intermediate_size": 32}
LONGCAT = {"model_type": "longcat_flash", "hidden_size": 64}


def parse(**config: Any) -> ModelSpec:
    return parse_model(config, id="m", source="directory")


@pytest.mark.parametrize(
    ("config", "layers", "geometry"),
    [
        ({"model_type": "hy_v4"}, (1, 2, 3), (256, 8, 2816, 768, 1, 10.0)),
        (
            {"model_type": "beam", "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"]},
            (1, 2, 3),
            (128, 8, 2048, 768, 0, None),
        ),
        (
            {"model_type": "openai_privacy_filter"},
            (0, 1, 2, 3),
            (128, 4, 640, 640, 0, None),
        ),
        (
            {
                "model_type": "inkling_model",
                "hidden_size": 1536,
                "intermediate_size": 768,
                "dense_intermediate_size": 3072,
                "dense_mlp_idx": 1,
                "n_routed_experts": 64,
                "n_shared_experts": 2,
                "num_experts_per_tok": 6,
            },
            (1, 2, 3),
            (64, 6, 1536, 768, 2, None),
        ),
        ({"model_type": "flint", "mlp_only_layers": [0]}, (1, 2, 3), (256, 6, 2048, 512, 1, None)),
        ({"model_type": "qwen4_exp_text"}, (0, 1, 2, 3), (512, 10, 2048, 512, 1, None)),
        ({"model_type": "glm5_next_text"}, (3,), (288, 8, 4096, 2048, 1, 10.0)),
    ],
)
def test_a_family_knows_its_layers_and_its_geometry(
    config: dict[str, Any], layers: tuple[int, ...], geometry: tuple[Any, ...]
) -> None:
    (group,) = parse(num_hidden_layers=4, **config).moe_layers
    spec = group.spec
    assert group.layers == layers
    assert geometry == (
        spec.num_experts,
        spec.top_k,
        spec.hidden_size,
        spec.intermediate_size,
        spec.num_shared_experts,
        spec.swiglu_limit,
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "hy_v4"}, ("sigmoid", True, 1, True, 2.827)),
        ({"model_type": "beam"}, ("sigmoid", True, None, True, 1.0)),
        ({"model_type": "beam", "n_group": 4, "topk_group": 2}, ("sigmoid", True, 4, True, 1.0)),
        ({"model_type": "flint"}, ("sigmoid", True, None, False, 1.0)),
        (
            {"model_type": "flint", "router_score_function": "softmax", "norm_topk_prob": False},
            ("softmax", False, None, False, 1.0),
        ),
        ({"model_type": "dots3_note"}, ("softmax", True, 1, False, 2.5)),
        ({"model_type": "qwen4_exp"}, ("softmax", True, None, False, 1.0)),
        (
            {"model_type": "alice_ai", "num_experts": 8, "num_experts_per_tok": 2},
            ("sigmoid", True, None, True, 1.0),
        ),
        (
            {
                "model_type": "k2_horizon",
                "num_experts": 8,
                "num_experts_per_tok": 2,
                "router_score_func": "sigmoid",
                "moe_gate_bias": True,
                "router_scaling_factor": 2.0,
            },
            ("sigmoid", True, None, True, 2.0),
        ),
        (
            {
                "model_type": "deepseek_v41_text",
                "n_routed_experts": 384,
                "num_experts_per_tok": 6,
                "topk_method": "noaux_tc",
                "routed_scaling_factor": 1.5,
                "num_hash_layers": 3,
            },
            ("sqrtsoftplus", True, None, True, 1.5),
        ),
    ],
)
def test_a_family_knows_how_it_routes(
    config: dict[str, Any], expected: tuple[str, bool, int | None, bool, float]
) -> None:
    groups = parse(**SMALL, **config).moe_layers
    routings = {group.spec.routing for group in groups}
    assert len(routings) == 1
    routing = routings.pop()
    assert expected == (
        routing.scoring,
        routing.renormalize,
        routing.num_expert_group,
        routing.has_correction_bias,
        routing.scaling_factor,
    )


@pytest.mark.parametrize("chosen", [{"moe_layers_enum": "1, 3"}, {"moe_layer_list": [1, 3, 4]}])
def test_step5_lists_its_layers_as_text_or_as_numbers_and_clamps_some(
    chosen: dict[str, Any],
) -> None:
    model = parse(
        **SMALL,
        **chosen,
        model_type="step5",
        moe_num_experts=16,
        moe_top_k=4,
        use_moe_router_bias=True,
        swiglu_limits=[0, 0, 0, 7.0],
    )
    assert [(g.layers, g.spec.activation) for g in model.moe_layers] == [
        ((1,), "silu"),
        ((3,), "swiglustep"),
    ]
    assert model.moe_layers[0].spec.num_shared_experts == 1


def test_muse_spark_pools_the_width_that_its_experts_read() -> None:
    model = parse(
        model_type="muse_spark",
        architectures=["MuseSparkForConditionalGeneration"],
        text_config={
            **SMALL,
            "model_type": "muse_spark_text",
            "moe_hidden_size": 48,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
        },
    )
    (group,) = model.moe_layers
    assert (group.layers, group.spec.hidden_size) == ((1, 2, 3), 48)
    assert group.spec.routing.has_correction_bias


def test_a_swiglu_limit_of_zero_clamps_nothing() -> None:
    model = parse(**SMALL, model_type="hy_v4", swiglu_limit=0.0)
    assert model.moe_layers[0].spec.swiglu_limit is None


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ({"num_layers": 28}, 28),
        ({"num_layers": 28, "num_hidden_layers": 56}, 28),
        ({"num_hidden_layers": 56}, 28),
    ],
)
def test_longcat_has_one_moe_for_two_attention_sub_layers(keys: dict[str, int], count: int) -> None:
    model = parse(**LONGCAT, **keys)
    assert (model.num_layers, model.moe_layers[0].count) == (count, count)


def test_situ_brings_its_betas() -> None:
    keys = {"hidden_act": "situ", "activation_situ_beta": 4.0, "activation_situ_linear_beta": 25.0}
    config = {
        "architectures": ["KimiLinearForCausalLM"],
        "model_type": "kimi_linear",
        "num_hidden_layers": 2,
        "num_experts": 256,
        "num_experts_per_token": 8,
        "hidden_size": 2304,
        "moe_intermediate_size": 1024,
    }
    for extra, activation, betas in (
        (keys, "situ", (4.0, 25.0)),
        ({**keys, "hidden_act": "silu"}, "silu", None),
        ({"hidden_act": "situ"}, "situ", (1.0, 0.0)),
    ):
        (kind,) = parse_model({**config, **extra}, id="", source="directory").moe_layers
        assert (kind.spec.activation, kind.spec.situ_betas) == (activation, betas)


def test_bailing_clamps_layer_by_layer() -> None:
    config = {
        "architectures": ["BailingMoeV3ForCausalLM"],
        "model_type": "bailing_hybrid",
        "num_hidden_layers": 4,
        "num_experts": 256,
        "num_experts_per_tok": 8,
        "hidden_size": 2560,
        "moe_intermediate_size": 768,
        "first_k_dense_replace": 1,
        "expert_swiglu_limit_list": [0, None, 7.0],
    }
    kinds = parse_model(config, id="", source="directory").moe_layers
    assert [(kind.layers, kind.spec.swiglu_limit) for kind in kinds] == [
        ((1, 3), None),
        ((2,), 7.0),
    ]


def test_the_experts_of_ernie_vl_are_not_those_that_its_checkpoints_list() -> None:
    stored = {"quant_algo": "FP8"}
    mixed = {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": {"model.layers.1.mlp.experts.0.gate_proj": stored},
    }
    keys = {"num_hidden_layers": 2, "hidden_size": 64, "quantization_config": mixed}
    text = parse(model_type="ernie4_5_moe", **keys)
    assert text.moe_layers[0].spec.quantization is not None
    both = parse(model_type="ernie4_5_moe_vl", moe_num_experts=[64, 64], **keys)
    assert both.moe_layers[0].spec.quantization is None
