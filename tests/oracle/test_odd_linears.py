"""Linear layers that are built, named or stored out of the ordinary: what real releases raised."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.models.parse import parse_model
from moe_doctor.oracle.answer import select_layers
from tests.oracle.test_linear_refusals import AUTO_ROUND, AWQ, DEEPSEEK, said
from tests.oracle.test_linears_of_families import BLOCKS, STRICT
from tests.truth import emulated_machine

GRANITE: dict[str, Any] = {
    "architectures": ["GraniteMoeHybridForCausalLM"],
    "model_type": "granitemoehybrid",
    "num_hidden_layers": 4,
    "layer_types": ["mamba", "mamba", "attention", "mamba"],
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "hidden_size": 1536,
    "mamba_d_head": 64,
    "mamba_d_state": 128,
    "mamba_n_groups": 1,
    "mamba_n_heads": 48,
    "num_local_experts": 64,
    "num_experts_per_tok": 6,
    "intermediate_size": 512,
    "shared_intermediate_size": 1024,
}
RING: dict[str, Any] = {
    "architectures": ["BailingMoeV2_5ForCausalLM"],
    "model_type": "bailing_hybrid",
    "num_hidden_layers": 8,
    "layer_group_size": 4,
    "first_k_dense_replace": 2,
    "num_attention_heads": 64,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "num_experts": 256,
    "num_experts_per_tok": 8,
    "num_shared_experts": 1,
    "score_function": "sigmoid",
    "hidden_size": 8192,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
}
LING = {
    "architectures": ["BailingMoeV2ForCausalLM"],
    "model_type": "bailing_moe",
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 64,
    "num_experts_per_tok": 6,
    "num_shared_experts": 2,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "moe_intermediate_size": 1408,
}
EIGHT = {"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": False}
QUARK: dict[str, Any] = {
    "quant_method": "quark",
    "global_quant_config": {"weight": EIGHT, "input_tensors": EIGHT},
    "export": {"kv_cache_group": [], "pack_method": "reorder"},
    "exclude": ["lm_head"],
    "layer_quant_config": {},
    "layer_type_quant_config": {},
}
FLOAT8 = {
    "quant_method": "compressed-tensors",
    "format": "float-quantized",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 8,
                "type": "float",
                "strategy": "channel",
                "symmetric": True,
                "dynamic": False,
            },
            "input_activations": {
                "num_bits": 8,
                "type": "float",
                "strategy": "token",
                "symmetric": True,
                "dynamic": True,
            },
        }
    },
}
FOUR = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
NVFP4 = {
    "quant_method": "compressed-tensors",
    "format": "nvfp4-pack-quantized",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": FOUR | {"symmetric": True, "dynamic": False},
            "input_activations": FOUR | {"symmetric": True, "dynamic": "local"},
        }
    },
}
NO_WEIGHT = "AttributeError: 'ColumnParallelLinear' object has no attribute 'weight'"
TOO_DEEP = "RecursionError: maximum recursion depth exceeded"


def test_mamba_2_looks_for_a_weight_that_packed_layers_do_not_have() -> None:
    for release in ("0.19.1", "0.24.0", "0.30.0"):
        assert said(GRANITE, NVFP4, release, "10.0") is None
        # One group cannot be shared: in_proj is one piece, and its loader is set on `weight`.
        assert said(GRANITE, NVFP4, release, "10.0", tensor_parallel_size=2) == NO_WEIGHT
    assert said(GRANITE, NVFP4, "0.33.0", "10.0", tensor_parallel_size=2) is None
    assert said(GRANITE, FLOAT8, "0.24.0", tensor_parallel_size=2) is None


def test_0_16_builds_it_in_one_piece_for_any_number_of_ranks() -> None:
    assert said(GRANITE, AWQ, "0.16.0", dtype="float16") == NO_WEIGHT
    assert said(GRANITE, AWQ, "0.17.1", dtype="float16") is None
    # The checkpoint calls the layers `mamba`, the engine `mixer`.
    plain = AWQ | {"modules_to_not_convert": ["mixer."]}
    assert said(GRANITE, plain, "0.16.0", dtype="float16") is None


@pytest.mark.parametrize(("ranks", "rows"), [(2, 3352), (4, 1804)])
def test_mamba_2_s_rows_are_no_whole_blocks(ranks: int, rows: int) -> None:
    text = f"ValueError: Weight output_partition_size = {rows} is not divisible by weight "
    for release in ("0.16.0", "0.19.1", "0.33.0"):
        assert said(GRANITE, BLOCKS, release) is None
        refused = said(GRANITE, BLOCKS, release, tensor_parallel_size=ranks)
        assert refused == f"{text}quantization block_n = 128."


def test_ling_2_5_says_what_it_fuses_in_its_mlps_alone() -> None:
    gates = AWQ | {"modules_to_not_convert": ["gate"]}
    some = "ValueError: Detected some but not all shards of "
    for release in ("0.19.1", "0.23.0"):
        assert said(RING, gates, release, dtype="float16") == some
        attention = AWQ | {"modules_to_not_convert": ["q_a_proj"]}
        assert said(RING, attention, release, dtype="float16") is None


def test_shared_experts_of_ling_are_built_before_the_routed_ones() -> None:
    text = "ValueError: Weight input_size_per_partition = 704 is not divisible by weight "
    refused = said(LING, BLOCKS, "0.16.0", tensor_parallel_size=4)
    assert refused == f"{text}quantization block_k = 128."


def test_before_0_19_quark_looks_for_the_parts_of_a_layer_that_is_its_own_part() -> None:
    for config in (GRANITE, LING):
        assert said(config, QUARK, "0.16.0") == TOO_DEEP
        assert said(config, QUARK, "0.18.1") == TOO_DEEP
        assert said(config, QUARK, "0.19.1") is None
    listed = QUARK | {"exclude": ["lm_head", "re:.*query_key_value"]}
    assert said(LING, listed, "0.18.1") is None


def test_quark_s_schemes_refuse_layers_outside_attention_too() -> None:
    text = "NotImplementedError: No quark compatible scheme was found. Weight config: "
    listed = QUARK | {"exclude": ["lm_head", "re:.*self_attn.*"]}
    assert said(GRANITE, listed, "0.19.1", "8.0") == text
    assert said(GRANITE, listed, "0.19.1", "8.9") is None


def test_0_17_calls_the_first_layer_of_latent_attention_no_linear() -> None:
    text = "ValueError: Unable to find matching target for "
    assert said(DEEPSEEK, FLOAT8, "0.17.1") == text
    plain = FLOAT8 | {"ignore": ["lm_head", "re:.*self_attn.*"]}
    assert said(DEEPSEEK, plain, "0.17.1") is None
    for release in ("0.16.0", "0.18.1"):
        assert said(DEEPSEEK, FLOAT8, release) is None


def test_awq_of_auto_round_has_4_bits_in_every_linear_layer() -> None:
    rounded = AUTO_ROUND | {"packing_format": "auto_round:auto_awq", "sym": False}
    entry = {f"model.layers.{layer}.self_attn.kv_b_proj": {"bits": 8} for layer in range(4)}
    text = "ValueError: Currently, only 4-bit weight quantization is supported for AWQ, but got 8 "
    for release in ("0.17.1", "0.23.0"):
        assert said(DEEPSEEK | {"intermediate_size": 11264}, rounded, release) is None
        mixed = rounded | {"extra_config": entry}
        assert said(DEEPSEEK | {"intermediate_size": 11264}, mixed, release) == f"{text}bits."


def test_strict_blocks_leave_ling_2_5_alone() -> None:
    assert said(RING, STRICT | {"ignore": ["lm_head"]}, "0.23.0", tensor_parallel_size=4) is None


def test_qwen3_next_builds_its_gates_in_two_parts_in_0_17() -> None:
    following = {
        "architectures": ["Qwen3NextForCausalLM"],
        "model_type": "qwen3_next",
        "num_hidden_layers": 4,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "linear_num_value_heads": 32,
        "linear_value_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_key_head_dim": 128,
        "num_experts": 512,
        "num_experts_per_tok": 10,
        "hidden_size": 2048,
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
    }
    text = "ValueError: Weight output_partition_size = 32 is not divisible by weight quantization "
    assert said(following, BLOCKS, "0.17.1", tensor_parallel_size=2) is None
    for release in ("0.16.0", "0.18.1"):
        refused = said(following, BLOCKS, release, tensor_parallel_size=2)
        assert refused == f"{text}block_n = 128."


def test_a_scheme_is_looked_for_outside_attention_too() -> None:
    eight = {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 32}
    group = {
        "targets": ["Linear"],
        "weights": eight | {"symmetric": True, "dynamic": False},
        "input_activations": eight | {"symmetric": True, "dynamic": True},
    }
    stored = {
        "quant_method": "compressed-tensors",
        "format": "mxfp8-quantized",
        "ignore": ["lm_head", "re:.*self_attn.*"],
        "config_groups": {"group_0": group},
    }
    refused = said(DEEPSEEK, stored, "0.19.1", "10.0")
    assert refused == "NotImplementedError: No compressed-tensors compatible scheme was found"


def test_deepseek_v4_reads_a_key_of_its_own_checkpoints_until_0_22() -> None:
    config = {
        "architectures": ["DeepseekV4ForCausalLM"],
        "model_type": "deepseek_v4",
        "num_hidden_layers": 2,
        "n_routed_experts": 256,
        "num_experts_per_tok": 6,
        "hidden_size": 4096,
        "moe_intermediate_size": 2048,
    }
    for release in ("0.20.0", "0.22.1"):
        assert said(config, FLOAT8, release) == "KeyError: 'scale_fmt'"
    assert said(config, FLOAT8, "0.23.0") != "KeyError: 'scale_fmt'"


def test_before_0_19_quark_reads_inputs_of_experts_that_are_not_there() -> None:
    four = {
        "dtype": "fp4",
        "qscheme": "per_group",
        "group_size": 32,
        "scale_format": "e8m0",
        "is_dynamic": False,
    }
    whole = {"weight": four, "input_tensors": None}
    listed = QUARK | {
        "global_quant_config": whole,
        "exclude": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*_proj$"],
    }
    text = "AttributeError: 'NoneType' object has no attribute 'get'"
    assert said(DEEPSEEK, listed, "0.18.1") == text
    assert said(DEEPSEEK, listed, "0.19.1") is None


def test_ling_2_5_shares_the_groups_of_its_norm_among_the_ranks() -> None:
    # inclusionAI/Ring-2.5-1T
    grouped = RING | {"group_norm_size": 4, "num_key_value_heads": 64}
    few = "AssertionError: tp_size must be <= group_norm_size for local rms norm"
    odd = "AssertionError: group_norm_size must be divisible by tp_size"
    for release in ("0.19.1", "0.33.0"):
        assert said(grouped, None, release, tensor_parallel_size=4) is None
        assert said(grouped, None, release, tensor_parallel_size=8) == few
        assert said(grouped | {"group_norm_size": 6}, None, release, tensor_parallel_size=4) == odd
    # VllmConfig looks for SupportsLoRA before any layer is built.
    model = parse_model(grouped, id="m", source="directory")
    machine = emulated_machine("0.33.0", "9.0", "docker")
    asked, engine = Deployment(tensor_parallel_size=8), Engine("vllm", "0.33.0")
    refused = select_layers(model, asked, machine, engine, lora=True)[0].selection.error
    assert refused is not None
    assert "LoRA is not supported for" in refused.message
    # No other class has such a norm.
    assert said(LING | {"group_norm_size": 1}, None, "0.33.0", tensor_parallel_size=2) is None


def test_sparse_weights_are_refused_from_0_22_on() -> None:
    stored: dict[str, Any] = FLOAT8 | {"sparsity_config": {}}
    text = "DeprecationWarning: Sparsity support has been removed from compressed-tensors. Please "
    sparsity = {"format": "sparse-24-bitmask", "targets": ["Linear"]}
    for release in ("0.22.1", "0.33.0"):
        sparse = stored | {"sparsity_config": sparsity}
        refused = said(DEEPSEEK, sparse, release)
        assert refused == f"{text}use a model without sparsity configuration."
        assert said(DEEPSEEK, stored, release) is None
    assert said(DEEPSEEK, stored, "0.21.0") is None


@pytest.mark.parametrize("release", ["0.16.0", "0.27.1", "0.31.0", "0.33.0"])
def test_floats_have_four_or_eight_bits(release: str) -> None:
    weights = FLOAT8["config_groups"]["group_0"]["weights"] | {"num_bits": 6}
    group = FLOAT8["config_groups"]["group_0"] | {"weights": weights}
    odd = FLOAT8 | {"config_groups": {"group_0": group}}
    wanted = "NotImplementedError: Only num_bits in (8) are supported"
    assert said(DEEPSEEK, odd, release) == wanted
    assert said(DEEPSEEK, FLOAT8, release) is None


@pytest.mark.parametrize("release", ["0.16.0", "0.27.1", "0.31.0", "0.33.0"])
def test_arguments_that_the_package_refuses(release: str) -> None:
    def refused(weights: dict[str, Any], inputs: dict[str, Any] | None) -> str:
        entry: dict[str, Any] = {"targets": ["Linear"], "weights": weights}
        entry["input_activations"] = inputs
        stored = FLOAT8 | {"config_groups": {"group_0": entry}}
        return str(said(DEEPSEEK, stored | {"ignore": ["lm_head", "re:.*self_attn.*"]}, release))

    plain = FLOAT8["config_groups"]["group_0"]["weights"]
    block = plain | {"strategy": "block", "block_structure": [128, 128]}
    grouped = {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 128}
    ordered = refused(block | {"actorder": "group"}, grouped | {"dynamic": True})
    assert "quantization strategy in order to apply" in ordered
    local = refused(block, grouped | {"dynamic": "local"})
    assert "local is only supported for strategy tensor_group" in local
    # Weights alone: the experts' tests go on to the inputs, which are not there.
    alone = refused(plain | {"strategy": "tensor"}, None)
    assert alone == "AttributeError: 'NoneType' object has no attribute 'num_bits'"
