"""One small config per family, in the family's own keys, and the layers it stands for."""

from __future__ import annotations

from typing import Any

from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.parse import parse_model


def parse(**config: Any) -> ModelSpec:
    return parse_model(config, id="m", source="directory")


def layers_of(model: ModelSpec) -> list[int]:
    return sorted({layer for group in model.moe_layers for layer in group.layers})


QWEN = {
    "model_type": "qwen3_moe",
    "hidden_size": 64,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
DEEPSEEK = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 6,
    "hidden_size": 64,
    "n_routed_experts": 16,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 32,
    "n_shared_experts": 1,
}


def test_qwen_step_and_dense_exceptions_choose_layers() -> None:
    model = parse(**QWEN, num_hidden_layers=8, decoder_sparse_step=2, mlp_only_layers=[3])
    assert layers_of(model) == [1, 5, 7]


def test_qwen_does_not_renormalise_unless_told() -> None:
    assert not parse(**QWEN, num_hidden_layers=1).moe_layers[0].spec.routing.renormalize
    told = parse(**QWEN, num_hidden_layers=1, norm_topk_prob=True)
    assert told.moe_layers[0].spec.routing.renormalize


def test_qwen_next_counts_one_shared_expert_by_its_width() -> None:
    model = parse(
        **{**QWEN, "model_type": "qwen3_next"},
        num_hidden_layers=2,
        shared_expert_intermediate_size=32,
    )
    assert model.moe_layers[0].spec.num_shared_experts == 1


def test_qwen_omni_is_found_two_levels_down() -> None:
    text = {**QWEN, "model_type": "qwen3_omni_moe_text", "num_hidden_layers": 3}
    model = parse(
        model_type="qwen3_omni_moe",
        architectures=["Qwen3OmniMoeForConditionalGeneration"],
        thinker_config={"model_type": "qwen3_omni_moe_thinker", "text_config": text},
        talker_config={"text_config": {"num_experts": 4}},
    )
    assert (model.model_type, layers_of(model)) == ("qwen3_omni_moe", [0, 1, 2])
    assert model.moe_layers[0].spec.routing.renormalize


def test_deepseek_keeps_its_first_layers_dense_and_groups_its_experts() -> None:
    model = parse(
        **DEEPSEEK,
        first_k_dense_replace=2,
        n_group=4,
        topk_group=2,
        scoring_func="sigmoid",
        topk_method="noaux_tc",
        routed_scaling_factor=2.5,
        num_nextn_predict_layers=1,
    )
    assert layers_of(model) == [2, 3, 4, 5]
    assert model.num_mtp_layers == 1
    routing = model.moe_layers[0].spec.routing
    assert (routing.scoring, routing.has_correction_bias) == ("sigmoid", True)
    assert (routing.num_expert_group, routing.topk_group) == (4, 2)
    assert routing.scaling_factor == 2.5


def test_deepseek_frequency_counts_absolute_layers() -> None:
    assert layers_of(parse(**DEEPSEEK, first_k_dense_replace=1, moe_layer_freq=2)) == [2, 4]


def test_deepseek_v2_lite_is_greedy_softmax_without_bias() -> None:
    model = parse(
        **{**DEEPSEEK, "model_type": "deepseek_v2"},
        first_k_dense_replace=1,
        topk_method="greedy",
        scoring_func="softmax",
        norm_topk_prob=False,
        n_group=1,
        topk_group=1,
    )
    routing = model.moe_layers[0].spec.routing
    assert (routing.scoring, routing.renormalize) == ("softmax", False)
    assert not routing.has_correction_bias


def test_deepseek_v4_hashes_its_first_layers() -> None:
    model = parse(**{**DEEPSEEK, "model_type": "deepseek_v4"}, num_hash_layers=2, swiglu_limit=10.0)
    hashed, routed = model.moe_layers
    assert (hashed.layers, hashed.spec.routing.has_hash_layers) == ((0, 1), True)
    assert not hashed.spec.routing.has_correction_bias
    assert (routed.first_layer, routed.spec.routing.scoring) == (2, "sqrtsoftplus")
    assert routed.spec.swiglu_limit == 10.0


def test_kimi_linear_reads_its_own_key_names() -> None:
    model = parse(
        model_type="kimi_linear",
        num_hidden_layers=4,
        hidden_size=64,
        num_experts=16,
        num_experts_per_token=4,
        moe_intermediate_size=32,
        num_shared_experts=1,
        first_k_dense_replace=1,
        moe_router_activation_func="sigmoid",
        moe_renormalize=True,
        routed_scaling_factor=2.446,
    )
    spec = model.moe_layers[0].spec
    assert (layers_of(model), spec.top_k, spec.num_shared_experts) == ([1, 2, 3], 4, 1)
    assert (spec.routing.num_expert_group, spec.routing.scoring) == (1, "sigmoid")


def test_kimi_k3_experts_read_a_latent_width_and_use_situ() -> None:
    text = {
        "model_type": "kimi_linear",
        "num_hidden_layers": 93,
        "hidden_size": 7168,
        "routed_expert_hidden_size": 3584,
        "moe_intermediate_size": 3072,
        "num_experts": 896,
        "num_experts_per_token": 16,
        "first_k_dense_replace": 1,
        "hidden_act": "situ",
    }
    model = parse(model_type="kimi_k3", text_config=text)
    spec = model.moe_layers[0].spec
    assert (spec.hidden_size, spec.intermediate_size, spec.activation) == (3584, 3072, "situ")
    assert model.moe_layers[0].count == 92


def test_nemotron_pattern_letters_choose_layers_and_relu2_is_not_gated() -> None:
    model = parse(
        model_type="nemotron_h",
        hybrid_override_pattern="ME*E-E",
        hidden_size=64,
        moe_latent_size=16,
        n_routed_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        n_shared_experts=1,
        mlp_hidden_act="relu2",
        mamba_hidden_act="silu",
    )
    spec = model.moe_layers[0].spec
    assert (layers_of(model), model.num_layers) == ([1, 3, 5], 6)
    assert (spec.hidden_size, spec.activation, spec.gated) == (16, "relu2", False)


def test_nemotron_puzzle_blocks_differ_per_layer() -> None:
    blocks = [
        {"block_type": "mamba"},
        {"block_type": "moe", "n_routed_experts": 8, "moe_intermediate_size": 32},
        {"block_type": "attention"},
        {"block_type": "moe", "n_routed_experts": 4, "moe_intermediate_size": 16},
    ]
    model = parse(
        model_type="nemotron_h_puzzle",
        block_configs=blocks,
        hidden_size=64,
        num_experts_per_tok=2,
    )
    found = [(g.layers, g.spec.num_experts, g.spec.intermediate_size) for g in model.moe_layers]
    assert found == [((1,), 8, 32), ((3,), 4, 16)]


def test_nemotron_without_expert_letters_is_dense() -> None:
    assert not parse(model_type="nemotron_h", hybrid_override_pattern="M-M*").is_moe


def test_llama4_interleaves_and_prefers_its_list() -> None:
    text = {
        "model_type": "llama4_text",
        "num_hidden_layers": 4,
        "hidden_size": 64,
        "intermediate_size": 32,
        "num_local_experts": 8,
        "num_experts_per_tok": 1,
    }
    stepped = parse(model_type="llama4", text_config={**text, "interleave_moe_layer_step": 2})
    listed = parse(model_type="llama4", text_config={**text, "moe_layers": [0, 3]})
    assert (layers_of(stepped), layers_of(listed)) == ([1, 3], [0, 3])
    assert stepped.moe_layers[0].spec.routing.custom == "llama4"
    assert stepped.moe_layers[0].spec.num_shared_experts == 1


def test_gpt_oss_activation_and_bias_are_fixed_by_the_family() -> None:
    spec = parse(model_type="gpt_oss", hidden_act="silu", num_hidden_layers=2).moe_layers[0].spec
    assert (spec.activation, spec.has_bias, spec.gated) == ("swigluoai", True, True)


def test_defaults_of_the_family_are_used_and_said() -> None:
    model = parse(model_type="mixtral", num_hidden_layers=2)
    spec = model.moe_layers[0].spec
    assert (spec.num_experts, spec.top_k, spec.intermediate_size) == (8, 2, 14336)
    assert [note.kind for note in model.notes if "num_local_experts = 8" in note.message] == [
        "assumed-default"
    ]


def test_jamba_has_experts_at_an_offset_in_every_period() -> None:
    model = parse(
        model_type="jamba", num_hidden_layers=8, expert_layer_period=4, expert_layer_offset=2
    )
    assert layers_of(model) == [2, 6]
    assert not model.moe_layers[0].spec.routing.renormalize


def test_dbrx_keeps_its_keys_in_ffn_config() -> None:
    model = parse(
        model_type="dbrx",
        d_model=64,
        n_layers=3,
        ffn_config={"ffn_hidden_size": 32, "moe_num_experts": 16, "moe_top_k": 4},
    )
    spec = model.moe_layers[0].spec
    assert (spec.num_experts, spec.top_k) == (16, 4)
    assert (spec.hidden_size, spec.intermediate_size, layers_of(model)) == (64, 32, [0, 1, 2])


def test_ernie_has_experts_in_a_window() -> None:
    model = parse(
        model_type="ernie4_5_moe",
        num_hidden_layers=8,
        hidden_size=64,
        moe_layer_start_index=1,
        moe_layer_end_index=-1,
        moe_layer_interval=2,
    )
    assert layers_of(model) == [1, 3, 5, 7]
    assert model.moe_layers[0].spec.routing.has_correction_bias


def test_ernies_capacity_counts_no_experts() -> None:
    model = parse(
        model_type="ernie4_5_moe",
        num_hidden_layers=4,
        hidden_size=64,
        moe_num_experts=64,
        moe_capacity=[64, 64, 64],
        moe_layer_start_index=1,
        moe_layer_end_index=3,
    )
    assert (layers_of(model), [group.count for group in model.moe_layers]) == ([1, 2, 3], [3])


def test_ernie_vl_has_text_and_vision_experts_in_one_layer() -> None:
    model = parse(
        model_type="ernie4_5_moe_vl",
        num_hidden_layers=4,
        hidden_size=64,
        moe_num_experts=[64, 64],
        moe_intermediate_size=[48, 16],
        moe_layer_start_index=[1, 1],
        moe_layer_end_index=[3, 3],
        moe_k=6,
    )
    assert [(g.layers, g.spec.intermediate_size) for g in model.moe_layers] == [
        ((1, 2, 3), 48),
        ((1, 2, 3), 16),
    ]


def test_hunyuan_lists_are_per_layer() -> None:
    model = parse(
        model_type="hunyuan_v1_moe",
        num_hidden_layers=3,
        hidden_size=64,
        num_experts=8,
        moe_topk=[2, 2, 4],
        moe_intermediate_size=[32, 32, 32],
        use_mixed_mlp_moe=True,
        num_shared_expert=[1, 1, 1],
    )
    assert [(g.layers, g.spec.top_k) for g in model.moe_layers] == [((0, 1), 2), ((2,), 4)]
    assert model.moe_layers[0].spec.num_shared_experts == 1


def test_hunyuan_dense_is_dense() -> None:
    assert not parse(model_type="hunyuan", num_hidden_layers=2, num_experts=1).is_moe


def test_minimax_text_lists_experts_per_layer() -> None:
    model = parse(
        model_type="minimax_text_01",
        num_hidden_layers=3,
        hidden_size=64,
        intermediate_size=32,
        num_local_experts=[1, 32, 32],
        num_experts_per_tok=2,
    )
    assert layers_of(model) == [1, 2]


def test_minimax_m3_uses_the_uninterleaved_clamped_swiglu() -> None:
    model = parse(
        model_type="minimax_m3",
        num_hidden_layers=3,
        hidden_size=64,
        intermediate_size=32,
        num_local_experts=8,
        num_experts_per_tok=2,
        moe_layer_freq=[0, 1, 1],
        hidden_act="swigluoai",
        swiglu_limit=7.0,
    )
    spec = model.moe_layers[0].spec
    assert (layers_of(model), spec.activation) == ([1, 2], "swigluoai_uninterleave")
    assert spec.swiglu_limit == 7.0


def test_step35_clamps_some_layers() -> None:
    model = parse(
        model_type="step3p5",
        num_hidden_layers=4,
        hidden_size=64,
        moe_num_experts=8,
        moe_top_k=2,
        moe_intermediate_size=32,
        moe_layers_enum="1,2,3",
        swiglu_limits=[0, 0, 0, 7.0],
        use_moe_router_bias=True,
    )
    assert [(g.layers, g.spec.activation) for g in model.moe_layers] == [
        ((1, 2), "silu"),
        ((3,), "swiglustep"),
    ]


def test_arctic_routes_in_every_second_layer() -> None:
    model = parse(
        model_type="arctic",
        num_hidden_layers=4,
        hidden_size=64,
        intermediate_size=32,
        num_local_experts=128,
        num_experts_per_tok=2,
        moe_layer_frequency=2,
    )
    assert layers_of(model) == [1, 3]
    assert model.moe_layers[0].spec.routing.renormalize


def test_longcat_counts_only_experts_with_weights() -> None:
    model = parse(
        model_type="longcat_flash",
        num_layers=4,
        hidden_size=64,
        n_routed_experts=512,
        zero_expert_num=256,
        moe_topk=12,
        expert_ffn_hidden_size=32,
    )
    spec = model.moe_layers[0].spec
    assert (spec.num_experts, spec.top_k, spec.intermediate_size) == (512, 12, 32)
    assert spec.routing.custom == "zero_experts"


def test_gemma4_with_null_experts_is_dense_and_with_experts_is_gelu_tanh() -> None:
    text = {"model_type": "gemma4_text", "num_hidden_layers": 2, "hidden_size": 64}
    dense = {**text, "num_experts": None, "enable_moe_block": False}
    sparse = {**text, "num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 32}
    assert not parse(model_type="gemma4", text_config=dense).is_moe
    spec = parse(model_type="gemma4", text_config=sparse).moe_layers[0].spec
    assert (spec.activation, spec.routing.custom) == ("gelu_tanh", "gemma4")
