"""Linear layers that a family names in its own way: what real releases raised about them."""

from __future__ import annotations

from typing import Any

from tests.oracle.test_linear_refusals import QWEN3, SOME, said

BLOCKS = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
STRICT = {
    "quant_method": "compressed-tensors",
    "format": "float-quantized",
    "ignore": ["lm_head", "re:.*self_attn.*"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 8,
                "type": "float",
                "strategy": "block",
                "block_structure": [128, 128],
                "symmetric": True,
                "dynamic": False,
            },
            "input_activations": {
                "num_bits": 8,
                "type": "float",
                "strategy": "group",
                "group_size": 128,
                "symmetric": True,
                "dynamic": True,
            },
        }
    },
}
STEP35 = {
    "architectures": ["Step3p5ForCausalLM"],
    "model_type": "step3p5",
    "num_hidden_layers": 6,
    "num_attention_heads": 64,
    "num_attention_groups": 8,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 11264,
    "moe_layers_enum": "3,4,5",
    "moe_num_experts": 288,
    "moe_top_k": 8,
    "moe_intermediate_size": 1280,
    "share_expert_dim": 1280,
    "use_moe_router_bias": True,
}
LFM2: dict[str, Any] = {
    "architectures": ["Lfm2MoeForCausalLM"],
    "model_type": "lfm2_moe",
    "num_hidden_layers": 4,
    "num_dense_layers": 2,
    "layer_types": ["conv", "conv", "full_attention", "conv"],
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 2048,
    "intermediate_size": 7168,
    "num_experts": 32,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 1792,
    "use_expert_bias": True,
}
MODELOPT = {
    "quant_method": "modelopt",
    "quant_algo": "NVFP4",
    "config_groups": {"group_0": {"weights": {"group_size": 16}}},
    "ignore": ["lm_head"],
}
GEMMA4: dict[str, Any] = {
    "architectures": ["Gemma4ForCausalLM"],
    "model_type": "gemma4_text",
    "num_hidden_layers": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 256,
    "hidden_size": 2816,
    "intermediate_size": 2112,
    "hidden_activation": "gelu_pytorch_tanh",
    "enable_moe_block": True,
    "num_experts": 128,
    "top_k_experts": 8,
    "moe_intermediate_size": 704,
}


def test_the_shared_expert_of_step_3_5_is_as_wide_as_share_expert_dim() -> None:
    text = "ValueError: Weight output_partition_size = 160 is not divisible by weight quantization "
    assert said(STEP35, STRICT, "0.26.0", "8.9", tensor_parallel_size=8) == f"{text}block_n = 128."


def test_the_gate_of_step_3_5_has_a_row_per_head() -> None:
    every = STRICT | {"ignore": ["lm_head"]}
    text = "ValueError: Weight output_partition_size = 8 is not divisible by weight quantization "
    assert said(STEP35, every, "0.22.1", tensor_parallel_size=8) == f"{text}block_n = 128."
    gates = [f"model.layers.{layer}.self_attn.g_proj" for layer in range(6)]
    listed = BLOCKS | {"modules_to_not_convert": gates}
    assert said(STEP35, listed, "0.22.1", tensor_parallel_size=2) is None


def test_modelopts_methods_tie_no_head_in_0_24() -> None:
    untied = {"tie_embedding": False, "tie_word_embeddings": False}
    for config in (LFM2, LFM2 | untied, GEMMA4):
        assert said(config, MODELOPT, "0.24.0") == "NotImplementedError: "
        for release in ("0.23.0", "0.25.1"):
            assert said(config, MODELOPT, release) is None
    assert said(GEMMA4 | untied, None, "0.24.0") is None
    outer = {"architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4"}
    wrapped = outer | {"text_config": GEMMA4, "tie_word_embeddings": False}
    assert said(wrapped, MODELOPT, "0.24.0") is None
    assert said(GEMMA4 | untied, MODELOPT, "0.24.0") is None


def test_lfm2_fuses_w1_and_w3() -> None:
    alone = BLOCKS | {"modules_to_not_convert": ["model.layers.0.feed_forward.w1"]}
    assert said(LFM2, alone, "0.26.0") == SOME


def test_quarks_expression_for_the_router_takes_gate_and_up_along_from_0_30() -> None:
    eight = {"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": False}
    quark = {
        "quant_method": "quark",
        "global_quant_config": {"weight": eight, "input_tensors": eight},
        "export": {"kv_cache_group": [], "pack_method": "reorder"},
        "exclude": ["lm_head", "re:.*mlp.gate"],
        "layer_quant_config": {},
        "layer_type_quant_config": {},
    }
    dense = QWEN3 | {"mlp_only_layers": [0], "intermediate_size": 6144}
    some = "Found a different quantization schemes for ['gate_proj', 'up_proj'] in "
    assert said(dense, quark, "0.29.0") == f"ValueError: {some}"
    for release in ("0.30.0", "0.33.0"):
        assert said(dense, quark, release) is None


def test_quark_reads_tokens_as_one_scale_from_0_30() -> None:
    quark = {
        "quant_method": "quark",
        "global_quant_config": {
            "weight": {"dtype": "fp8_e4m3", "qscheme": "per_channel", "is_dynamic": False},
            "input_tensors": {"dtype": "fp8_e4m3", "qscheme": "per_token", "is_dynamic": True},
        },
        "export": {"kv_cache_group": [], "pack_method": "reorder"},
        "exclude": ["lm_head"],
        "layer_quant_config": {},
        "layer_type_quant_config": {},
    }
    for release, ending in (
        ("0.28.0", "per_channel, per_token"),
        ("0.33.0", "per_channel, per_tensor"),
    ):
        refused = said(QWEN3, quark, release)
        assert refused is not None
        assert refused.endswith(f" are supported. Found {ending}")


def test_a_dense_layer_or_attention_left_quantized_has_no_scheme_for_w4a8_off_hopper() -> None:
    weights = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}
    inputs = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}
    stored = STRICT | {
        "format": "pack-quantized",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": weights | {"symmetric": True, "dynamic": False},
                "input_activations": inputs | {"symmetric": True},
            }
        },
    }
    jamba = {
        "architectures": ["JambaForCausalLM"],
        "model_type": "jamba",
        "num_hidden_layers": 4,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "hidden_size": 8192,
        "intermediate_size": 24576,
        "num_experts": 16,
        "num_experts_per_tok": 2,
        "expert_layer_offset": 1,
        "expert_layer_period": 2,
    }
    gpt_oss = {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "num_hidden_layers": 4,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_local_experts": 32,
        "num_experts_per_tok": 4,
    }
    none = "NotImplementedError: No compressed-tensors compatible scheme was found"
    assert said(jamba, stored, "0.26.0", "8.9") == none
    # vLLM's attention of gpt-oss is `attn`: an expression for `self_attn` leaves it quantized.
    assert said(gpt_oss, stored, "0.33.0", "10.0") == none
    # Nothing but Qwen3's experts is left quantized.
    listed = stored | {"ignore": ["lm_head", "re:.*self_attn.*", "re:.*mlp.gate$"]}
    refused = said(QWEN3, listed, "0.26.0", "8.9")
    assert refused == "NotImplementedError: W4A8 Int8 MoE is only supported on CPU platforms"
