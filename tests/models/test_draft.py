"""Draft layers of a checkpoint: where they are, and whether they are quantized like the others."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.draft import with_draft
from moe_doctor.models.parse import parse_model

DEEPSEEK: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "num_nextn_predict_layers": 1,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "hidden_size": 7168,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3,
}
NEXT: dict[str, Any] = {
    "architectures": ["Qwen3NextForCausalLM"],
    "model_type": "qwen3_next",
    "num_hidden_layers": 48,
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "hidden_size": 2048,
    "moe_intermediate_size": 512,
}
NEMOTRON: dict[str, Any] = {
    "architectures": ["NemotronHForCausalLM"],
    "model_type": "nemotron_h",
    "num_hidden_layers": 4,
    "hybrid_override_pattern": "ME*E",
    "num_nextn_predict_layers": 1,
    "n_routed_experts": 128,
    "num_experts_per_tok": 6,
    "hidden_size": 2688,
    "moe_intermediate_size": 1856,
}


def drafting(config: dict[str, Any], ignored: list[str] | None = None) -> ModelSpec:
    if ignored is not None:
        declaration = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ignored}
        config = {**config, "quantization_config": declaration}
    model = parse_model(config, id="org/name", source="directory")
    return with_draft(model, {"method": "mtp", "num_speculative_tokens": 1})


def test_the_draft_comes_behind_the_decoder() -> None:
    model = drafting(DEEPSEEK)
    assert [kind.layers[0] for kind in model.moe_layers] == [3, 61]
    assert model.moe_layers[0].spec == model.moe_layers[1].spec
    assert model.moe_layers[0].count == 58


@pytest.mark.parametrize(
    ("config", "ignored"),
    [
        (DEEPSEEK, "model.layers.61*"),
        (NEXT, "mtp*"),
        (NEMOTRON, "mtp.layers.1.mixer.experts*"),
    ],
)
def test_a_draft_may_stay_unquantized(config: dict[str, Any], ignored: str) -> None:
    model = drafting(config, [ignored])
    *decoder, draft = model.moe_layers
    assert all(kind.spec.quantization is not None for kind in decoder)
    assert draft.spec.quantization is None
    assert drafting(config, ["lm_head"]).moe_layers[-1].spec.quantization is not None


def test_only_the_checkpoints_own_draft_counts() -> None:
    model = parse_model(DEEPSEEK, id="org/name", source="directory")
    assert with_draft(model, {}) is model
    for asked in (
        {"method": "ngram"},
        {"method": "eagle3", "model": "org/draft"},
        {"method": "mtp", "model": "org/draft"},
        {"method": "eagle", "model": "org/name"},
        {"method": 3},
    ):
        assert with_draft(model, asked).moe_layers == model.moe_layers
    for asked in ({"method": "deepseek_mtp"}, {"model": "org/name"}):
        assert len(with_draft(model, asked).moe_layers) == 2


def test_another_model_that_drafts_is_named() -> None:
    model = parse_model(DEEPSEEK, id="org/name", source="directory")
    drafting = with_draft(model, {"method": "eagle3", "model": "org/draft"})
    assert [note.message for note in drafting.notes if note.kind == "no-draft-experts"] == [
        "--speculative-config: the layers of org/draft are not looked at; ask about them with "
        "moe-doctor select org/draft"
    ]


def test_a_model_that_drafts_for_itself_is_answered_for_once() -> None:
    config = {key: value for key, value in NEXT.items() if key != "architectures"}
    config |= {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"]}
    model = parse_model(config, id="org/name", source="directory")
    drafting = with_draft(model, {"method": "draft_model", "model": "org/name"})
    assert drafting.moe_layers == model.moe_layers
    assert [note.message for note in drafting.notes if note.kind == "no-draft-experts"] == [
        "--speculative-config: the model drafts for itself; the layers that it then has twice "
        "are answered for once"
    ]


def test_a_draft_follows_the_rule_of_the_decoder() -> None:
    config = {**DEEPSEEK, "num_nextn_predict_layers": 3, "moe_layer_freq": 2}
    model = parse_model(config, id="org/name", source="directory")
    assert [layer for kind in model.draft_layers for layer in kind.layers] == [62]


@pytest.mark.parametrize(
    "config",
    [
        {
            "architectures": ["HYV4ForCausalLM"],
            "model_type": "hy_v4",
            "n_routed_experts": 256,
            "num_experts_per_tok": 8,
            "mlp_layer_types": ["dense", "sparse"],
        },
        {
            "architectures": ["KimiLinearForCausalLM"],
            "model_type": "kimi_linear",
            "num_experts": 256,
            "num_experts_per_token": 8,
            "first_k_dense_replace": 1,
        },
    ],
    ids=["HY-V4", "Kimi-K3"],
)
def test_newer_drafts_have_experts(config: dict[str, Any]) -> None:
    sizes = {"num_hidden_layers": 2, "hidden_size": 2048, "moe_intermediate_size": 768}
    model = parse_model(
        {**config, **sizes, "num_nextn_predict_layers": 1}, id="org/name", source="directory"
    )
    assert [kind.layers for kind in model.draft_layers] == [(2,)]


def test_a_dense_draft_adds_nothing() -> None:
    config = {
        "architectures": ["ExaoneMoeForCausalLM"],
        "model_type": "exaone_moe",
        "num_hidden_layers": 4,
        "num_nextn_predict_layers": 1,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "hidden_size": 6144,
        "moe_intermediate_size": 2048,
    }
    model = parse_model(config, id="org/name", source="directory")
    assert model.draft_layers == ()
    drafting = with_draft(model, {"method": "mtp"})
    assert drafting.moe_layers == model.moe_layers
    assert [note.message for note in drafting.notes if note.kind == "no-draft-experts"] == [
        "--speculative-config adds no MoE layers: its MTP layers have no experts"
    ]
