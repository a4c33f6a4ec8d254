"""Linear layers beside linear attention and state spaces, and of newer blocks, as they refused."""

from __future__ import annotations

from typing import Any

from tests.oracle.test_linear_refusals import said
from tests.oracle.test_linears_of_families import BLOCKS, STRICT

GRANITE4: dict[str, Any] = {
    "architectures": ["GraniteMoeHybridForCausalLM"],
    "model_type": "granitemoehybrid",
    "num_hidden_layers": 3,
    "layer_types": ["mamba", "mamba", "attention"],
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "hidden_size": 1536,
    "intermediate_size": 512,
    "shared_intermediate_size": 1024,
    "num_local_experts": 64,
    "num_experts_per_tok": 6,
    "mamba_n_heads": 48,
    "mamba_d_head": 64,
    "mamba_n_groups": 1,
    "mamba_d_state": 128,
    "mamba_expand": 2,
}
KIMI_LINEAR: dict[str, Any] = {
    "architectures": ["KimiLinearForCausalLM"],
    "model_type": "kimi_linear",
    "num_hidden_layers": 4,
    "linear_attn_config": {
        "full_attn_layers": [4],
        "kda_layers": [1, 2, 3],
        "num_heads": 32,
        "head_dim": 128,
    },
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "num_experts": 256,
    "num_experts_per_token": 8,
    "num_shared_experts": 1,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 1024,
}
HY_V4: dict[str, Any] = {
    "architectures": ["HYV4ForCausalLM"],
    "model_type": "hy_v4",
    "num_hidden_layers": 3,
    "mlp_layer_types": ["dense", "sparse", "sparse"],
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "hidden_size": 2816,
    "intermediate_size": 6912,
    "moe_intermediate_size": 768,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 192,
    "qk_rope_head_dim": 64,
    "v_head_dim": 256,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
WEIGHTLESS = "AttributeError: 'ColumnParallelLinear' object has no attribute 'weight'"


def test_mamba_with_one_group_wants_a_plain_weight_on_several_ranks_until_0_31() -> None:
    for release in ("0.24.0", "0.29.0"):
        assert said(GRANITE4, AWQ, release, tensor_parallel_size=2) == WEIGHTLESS
        assert said(GRANITE4, AWQ, release) is None
    assert said(GRANITE4, AWQ, "0.33.0", tensor_parallel_size=2) is None
    listed = AWQ | {"modules_to_not_convert": ["mixer"]}
    assert said(GRANITE4, listed, "0.24.0", tensor_parallel_size=2) is None


def test_kimi_linear_merges_what_it_makes_of_the_hidden_states_from_0_27() -> None:
    lists = {"modules_in_block_to_quantize": [["self_attn.q_proj", "self_attn.o_proj"]]}
    four = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
    some = "ValueError: Detected some but not all shards of "
    assert said(KIMI_LINEAR, four | lists, "0.26.0") is None
    assert said(KIMI_LINEAR, four | lists, "0.28.0") == some
    # Its heads are no whole block of rows.
    every = STRICT | {"ignore": ["lm_head"]}
    text = "ValueError: Weight output_partition_size = 32 is not divisible by weight quantization "
    assert said(KIMI_LINEAR, every, "0.28.0") == f"{text}block_n = 128."


def test_hy_v4_has_a_dense_layer_first() -> None:
    text = "ValueError: Weight input_size_per_partition = 864 is not divisible by weight "
    refused = said(HY_V4, BLOCKS, "0.33.0", tensor_parallel_size=8)
    assert refused == f"{text}quantization block_k = 128."


def test_the_tower_of_glm_4_5v_ends_in_a_merger_of_its_own_width() -> None:
    config = {
        "architectures": ["Glm4vMoeForConditionalGeneration"],
        "model_type": "glm4v_moe",
        "vision_config": {
            "hidden_size": 1536,
            "num_heads": 12,
            "intermediate_size": 13696,
            "out_hidden_size": 4096,
        },
        "text_config": {
            "model_type": "glm4v_moe_text",
            "num_hidden_layers": 3,
            "num_attention_heads": 96,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "hidden_size": 4096,
            "intermediate_size": 10944,
            "moe_intermediate_size": 1408,
            "n_routed_experts": 128,
            "n_shared_experts": 1,
            "num_experts_per_tok": 8,
            "first_k_dense_replace": 1,
        },
    }
    text = "ValueError: Weight input_size_per_partition = 3424 is not divisible by weight "
    refused = said(config, BLOCKS, "0.28.0", tensor_parallel_size=4)
    assert refused == f"{text}quantization block_k = 128."


def test_a_gate_of_laguna_has_a_row_per_head_unless_it_is_per_element() -> None:
    config = {
        "architectures": ["LagunaForCausalLM"],
        "model_type": "laguna",
        "num_hidden_layers": 2,
        "layer_types": ["full_attention", "sliding_attention"],
        "mlp_layer_types": ["dense", "sparse"],
        "num_attention_heads": 48,
        "num_attention_heads_per_layer": [48, 64],
        "num_key_value_heads": 8,
        "head_dim": 128,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_experts": 256,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
    }
    every = STRICT | {"ignore": ["lm_head"]}
    text = "ValueError: Weight output_partition_size = 24 is not divisible by weight quantization "
    for gating in (True, "per-head"):
        refused = said(config | {"gating": gating}, every, "0.26.0", tensor_parallel_size=2)
        assert refused == f"{text}block_n = 128."
    for gating in ("per-element", False):
        assert said(config | {"gating": gating}, every, "0.26.0", tensor_parallel_size=2) is None
