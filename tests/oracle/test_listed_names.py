"""Names in a checkpoint's lists, and the layers that real releases found under them."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.models.parse import parse_model
from moe_doctor.oracle.answer import select_layers
from tests.oracle.test_linear_refusals import AWQ, DEEPSEEK, SOME, said
from tests.oracle.test_linears_of_families import BLOCKS, STEP35
from tests.oracle.test_odd_linears import FLOAT8, NVFP4
from tests.oracle.test_published_checkpoints import GPT_OSS
from tests.truth import emulated_machine

# QuantTrio/Qwen3-VL-30B-A3B-Instruct-AWQ
QWEN3_VL: dict[str, Any] = {
    "architectures": ["Qwen3VLMoeForConditionalGeneration"],
    "model_type": "qwen3_vl_moe",
    "text_config": {
        "model_type": "qwen3_vl_moe_text",
        "num_hidden_layers": 2,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "hidden_size": 2048,
        "moe_intermediate_size": 768,
        "dtype": "float16",
    },
    "vision_config": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "out_hidden_size": 2048,
        "spatial_merge_size": 2,
    },
}
MIMO: dict[str, Any] = {
    "architectures": ["MiMoV2FlashForCausalLM"],
    "model_type": "mimo_v2_flash",
    "num_hidden_layers": 4,
    "moe_layer_freq": [0, 1, 1, 1],
    "num_attention_heads": 64,
    "num_key_value_heads": 4,
    "head_dim": 192,
    "v_head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 16384,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "torch_dtype": "float16",
}
# amd/gpt-oss-120b-w-mxfp4-a-fp8
MXFP4 = {
    "dtype": "fp4",
    "qscheme": "per_group",
    "group_size": 32,
    "scale_format": "e8m0",
    "is_dynamic": False,
}
EIGHT = {
    "dtype": "fp8_e4m3",
    "qscheme": "per_tensor",
    "is_dynamic": False,
    "symmetric": True,
}
GPT_OSS_QUARK: dict[str, Any] = {
    "quant_method": "quark",
    "global_quant_config": {"weight": MXFP4, "input_tensors": EIGHT},
    "layer_quant_config": {},
    "layer_type_quant_config": {},
    "export": {"kv_cache_group": [], "pack_method": "reorder"},
    "exclude": [
        f"model.layers.{layer}.self_attn.{part}_proj" for layer in (0, 1) for part in "qkvo"
    ],
}
HEADS = {"num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64}
UNALIGNED = (
    "ValueError: The input size is not aligned with the quantized weight shape. This can be "
    "caused by too large tensor parallel size."
)


def test_a_prefix_is_renamed_with_its_dot_or_not_at_all() -> None:
    for release in ("0.24.0", "0.33.0"):
        for entry in ("visual", "model.visual."):
            listed = AWQ | {"modules_to_not_convert": [entry, "mlp.gate"]}
            assert said(QWEN3_VL, listed, release) is None
        # The engine calls it visual, and the entry stays as it is.
        listed = AWQ | {"modules_to_not_convert": ["model.visual", "mlp.gate"]}
        assert said(QWEN3_VL, listed, release) == UNALIGNED


def test_every_merger_of_qwen3_vl_has_its_place_in_the_list() -> None:
    # Qwen/Qwen3-VL-30B-A3B-Instruct-FP8
    parts = ("attn.qkv", "attn.proj", "mlp.linear_fc1", "mlp.linear_fc2")
    paths = [f"model.visual.blocks.0.{part}" for part in parts]
    mergers = ["merger", *(f"deepstack_merger_list.{number}" for number in range(3))]
    paths += [f"model.visual.{one}.linear_fc{part}" for one in mergers for part in (1, 2)]
    vision = QWEN3_VL["vision_config"] | {"deepstack_visual_indexes": [8, 16, 24]}
    config = QWEN3_VL | {"vision_config": vision}
    text = "ValueError: Weight output_partition_size = 576 is not divisible by weight quantization "
    split = {"tensor_parallel_size": 8, "expert_parallel": True}
    for release in ("0.16.0", "0.33.0"):
        assert said(config, BLOCKS | {"modules_to_not_convert": paths}, release, **split) is None
        some = BLOCKS | {"modules_to_not_convert": paths[:-2]}
        assert said(config, some, release, **split) == f"{text}block_n = 128."


def test_mimo_v2_says_what_it_fuses_from_0_21_on() -> None:
    # mlp.gate is the router, and a piece of mlp.gate_proj.
    listed = AWQ | {"modules_to_not_convert": ["mlp.gate", "self_attn"]}
    assert said(MIMO, listed, "0.20.0") is None
    assert said(MIMO, listed, "0.21.0") == SOME


def test_an_expression_finds_a_fused_layer_by_its_own_name_from_0_30_on() -> None:
    listed = FLOAT8 | {"ignore": ["lm_head", "re:.*mlp.gate.*"]}
    head = "ValueError: Found a different quantization schemes for ['gate_proj', 'up_proj'] in "
    for release in ("0.20.0", "0.29.0"):
        assert said(DEEPSEEK, listed, release) == head
        named = FLOAT8 | {"ignore": ["lm_head", "re:.*self_attn.*", "re:.*gate_proj"]}
        assert said(DEEPSEEK, named, release) == head
    assert said(DEEPSEEK, listed, "0.30.0") is None


def test_gpt_oss_finds_its_attention_under_the_checkpoint_s_name() -> None:
    config = GPT_OSS | HEADS | {"num_hidden_layers": 2}
    unknown = "NotImplementedError: No quark compatible scheme was found. Weight config: "
    assert said(config, GPT_OSS_QUARK | {"exclude": ["lm_head"]}, "0.16.0") == unknown
    assert said(config, GPT_OSS_QUARK, "0.16.0") == "RuntimeError: Unsupported FusedMoe scheme"


def test_compressed_tensors_renames_paths_and_no_expressions() -> None:
    int4 = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}
    group = {
        "targets": ["Linear"],
        "weights": int4 | {"symmetric": True, "dynamic": False},
        "input_activations": None,
    }
    stored = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": group},
    }
    config = GPT_OSS | HEADS
    split = {"tensor_parallel_size": 4, "expert_parallel": True}
    paths = [f"model.layers.{layer}.self_attn.{part}_proj" for layer in (0, 1) for part in "qkvo"]
    # 2880 columns are no whole groups of 128, and the engine's name is model.layers.0.attn.
    for entries in (["re:.*self_attn.*"], ["re:model.layers.\\d+.self_attn.*"]):
        refused = said(config, stored | {"ignore": entries}, "0.20.0", **split)
        assert refused == "AssertionError: "
    for entries in (["re:.*attn.*"], paths):
        assert said(config, stored | {"ignore": entries}, "0.20.0", **split) is None


def test_an_expression_has_to_find_the_engine_s_own_prefix() -> None:
    int4 = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}
    group = {
        "targets": ["Linear"],
        "weights": int4 | {"symmetric": True, "dynamic": False},
        "input_activations": None,
    }
    stored = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": group},
    }
    texts = {
        "0.20.0": "Failed to find a kernel that can implement the WNA16 linear layer. Reasons: ",
        "0.33.0": "Weight input_size_per_partition=4304 for layer '",
    }
    for release, text in texts.items():
        tower = said(QWEN3_VL, stored | {"ignore": ["re:model.visual.*"]}, release)
        assert tower == f"ValueError: {text}"
        assert said(QWEN3_VL, stored | {"ignore": ["re:visual.*"]}, release) is None


def test_step_3_5_finds_its_shared_experts_under_the_checkpoint_s_name() -> None:
    parts = ("gate_proj", "up_proj", "down_proj")
    paths = [f"model.layers.{layer}.share_expert.{part}" for layer in (3, 4, 5) for part in parts]
    gates = [f"model.layers.{layer}.self_attn.g_proj" for layer in range(6)]
    listed = BLOCKS | {"modules_to_not_convert": gates + paths}
    text = "ValueError: Weight input_size_per_partition = 160 is not divisible by weight "
    split = {"tensor_parallel_size": 8, "expert_parallel": True}
    for release in ("0.16.0", "0.33.0"):
        refused = said(STEP35, BLOCKS | {"modules_to_not_convert": gates}, release, **split)
        assert refused == f"{text}quantization block_k = 128."
        assert said(STEP35, listed, release, **split) is None


def test_step_3_5_quantizes_its_gate_per_head_from_0_17_on() -> None:
    assert said(STEP35, BLOCKS, "0.16.0", tensor_parallel_size=2) is None
    text = "ValueError: Weight output_partition_size = 32 is not divisible by weight quantization "
    assert said(STEP35, BLOCKS, "0.17.1", tensor_parallel_size=2) == f"{text}block_n = 128."


# RedHatAI/DeepSeek-V4-Flash-NVFP4-FP8
DEEPSEEK_V4 = {
    "architectures": ["DeepseekV4ForCausalLM"],
    "model_type": "deepseek_v4",
    "num_hidden_layers": 2,
    "n_routed_experts": 256,
    "num_experts_per_tok": 6,
    "hidden_size": 4096,
    "moe_intermediate_size": 2048,
    "scoring_func": "sqrtsoftplus",
    "torch_dtype": "bfloat16",
}
NEMOTRON = {
    "architectures": ["NemotronHForCausalLM"],
    "model_type": "nemotron_h",
    "hybrid_override_pattern": "E*E",
    "num_hidden_layers": 3,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "n_routed_experts": 128,
    "num_experts_per_tok": 6,
    "hidden_size": 2688,
    "moe_intermediate_size": 1856,
    "mlp_hidden_act": "relu2",
    "torch_dtype": "bfloat16",
}
MIXTRAL = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_hidden_layers": 2,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "torch_dtype": "bfloat16",
}


@pytest.mark.parametrize(
    ("config", "target", "expected"),
    [
        (DEEPSEEK_V4, "re:.*ffn.*(gate|up|down)_proj$", ("nvfp4", "unquantized")),
        (DEEPSEEK_V4, "re:.*ffn.*w[123]$", ("unquantized", "nvfp4")),
        (MIXTRAL, "re:.*experts.*w[123]$", ("unquantized", "nvfp4")),
        (DEEPSEEK, "re:.*experts.*_proj$", ("nvfp4", "nvfp4")),
        (NEMOTRON, "re:.*experts.*", ("nvfp4", "nvfp4")),
        (NEMOTRON, "re:.*experts.*_proj$", ("nvfp4", None)),  # one of them is called None
    ],
)
def test_experts_are_asked_for_under_their_own_names_from_0_32_on(
    config: dict[str, Any], target: str, expected: tuple[str, str | None]
) -> None:
    groups: dict[str, Any] = {"group_0": NVFP4["config_groups"]["group_0"] | {"targets": [target]}}
    stored = NVFP4 | {"ignore": ["lm_head", "re:.*attn.*"], "config_groups": groups}
    model = parse_model(config | {"quantization_config": stored}, id="m", source="directory")
    found = []
    for release in ("0.30.0", "0.32.0"):
        machine = emulated_machine(release, "10.0", "docker")
        engine = Engine("vllm", release)
        answers = select_layers(model, Deployment(), machine, engine, lora=False)
        found.append(answers[0].selection.oracle)
    assert tuple(found) == expected
