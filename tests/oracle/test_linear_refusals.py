"""What linear layers around the experts make a release refuse: lists, shards, shapes, packages."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import Absent, Present
from moe_doctor.core.record import replace
from moe_doctor.core.report import Engine
from moe_doctor.models.parse import parse_model
from moe_doctor.oracle.answer import select_layers
from tests.truth import emulated_machine

QWEN3 = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "num_hidden_layers": 4,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "hidden_size": 2048,
    "moe_intermediate_size": 768,
}
DEEPSEEK = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "num_hidden_layers": 4,
    "num_attention_heads": 64,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 32,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 1,
    "hidden_size": 4096,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1024,
}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
AUTO_ROUND = {
    "quant_method": "auto-round",
    "bits": 4,
    "group_size": 128,
    "sym": True,
    "data_type": "int",
    "packing_format": "auto_round:auto_gptq",
}
INT4 = {
    "num_bits": 4,
    "type": "int",
    "strategy": "group",
    "group_size": 32,
    "symmetric": True,
    "dynamic": False,
}
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {"targets": ["Linear"], "weights": INT4, "input_activations": None}
    },
}
SOME = "ValueError: Detected some but not all shards of "


def said(
    config: dict[str, Any],
    declared: dict[str, Any] | None,
    release: str,
    capability: str = "9.0",
    platform: str = "cuda",
    environment: dict[str, str] | None = None,
    **deployment: Any,
) -> str | None:
    """What the first kind of layer is refused with, or None."""
    stored = config if declared is None else config | {"quantization_config": declared}
    model = parse_model(stored, id="m", source="directory")
    packages = {"cuda": "docker", "rocm": "docker_rocm"}.get(platform, "none")
    machine = emulated_machine(release, capability, packages, environment, platform)
    asked = Deployment(**deployment)
    answers = select_layers(model, asked, machine, Engine("vllm", release), lora=False)
    error = answers[0].selection.error
    return None if error is None else f"{error.type}: {error.message}"


def test_gptq_s_modules_name_all_of_q_k_and_v_or_none() -> None:
    whole = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
    assert said(QWEN3, GPTQ | {"modules_in_block_to_quantize": [whole]}, "0.20.0") is None
    for release in ("0.16.0", "0.26.0", "0.33.0"):
        some = GPTQ | {"modules_in_block_to_quantize": [whole[:2], ["mlp.experts"]]}
        assert said(QWEN3, some, release) == SOME


def test_auto_round_stores_the_parts_of_a_fused_layer_alike() -> None:
    one = {"model.layers.2.self_attn.q_proj": {"bits": 8}}
    for release in ("0.16.0", "0.24.0", "0.33.0"):
        refused = said(QWEN3, AUTO_ROUND | {"extra_config": one}, release)
        # Layer 0 has its experts made first; they raise nothing.
        assert refused == "ValueError: Fused module '"
    every = {f"model.layers.2.self_attn.{part}_proj": {"bits": 8} for part in "qkv"}
    assert said(QWEN3, AUTO_ROUND | {"extra_config": every}, "0.33.0") is None


def test_gate_alone_on_awq_s_list_takes_the_fused_layer_from_0_24_on() -> None:
    listed = AWQ | {"modules_to_not_convert": ["gate"]}
    config = DEEPSEEK | {"dtype": "float16", "intermediate_size": 11264}
    assert said(config, listed, "0.23.0") == SOME
    assert said(config, listed, "0.24.0") is None


def test_a_list_of_exact_paths_has_to_name_both_compressed_projections() -> None:
    fp8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}
    path = "model.layers.0.self_attn"
    some = fp8 | {"modules_to_not_convert": [f"{path}.q_a_proj"]}
    both = fp8 | {
        "modules_to_not_convert": [f"{path}.q_a_proj", f"{path}.kv_a_proj_with_mqa"],
    }
    assert said(DEEPSEEK, some, "0.33.0") == SOME
    assert said(DEEPSEEK, both, "0.33.0") is None
    fused = fp8 | {"modules_to_not_convert": [f"{path}.fused_qkv_a_proj", f"{path}.q_a_proj"]}
    assert said(DEEPSEEK, fused, "0.33.0") is None
    assert said(DEEPSEEK, fused, "0.23.0") == SOME


def test_a_list_that_names_some_of_q_k_and_v_is_refused() -> None:
    some = COMPRESSED | {"ignore": ["re:.*q_proj$"]}
    head = "ValueError: Found a different quantization schemes for ['q_proj', 'k_proj', 'v_proj']"
    assert said(QWEN3, some, "0.29.0") == f"{head} in "
    words = "ValueError: Found different quantization schemes for the shards of "
    assert said(QWEN3, some, "0.30.0") == words
    every = ["re:.*q_proj$", "re:.*k_proj$", "re:.*v_proj$"]
    assert said(QWEN3, COMPRESSED | {"ignore": every}, "0.33.0") is None


QUARK_MXFP4 = {
    "quant_method": "quark",
    "exclude": ["lm_head", "re:.*mlp.gate", "re:.*self_attn.*"],
    "export": {"kv_cache_group": [], "pack_method": "reorder"},
    "layer_quant_config": {},
    "layer_type_quant_config": {},
    "global_quant_config": {
        "weight": {
            "dtype": "fp4",
            "qscheme": "per_group",
            "group_size": 32,
            "scale_format": "e8m0",
            "is_dynamic": False,
        },
        "input_tensors": {
            "dtype": "fp4",
            "qscheme": "per_group",
            "group_size": 32,
            "scale_format": "e8m0",
            "is_dynamic": True,
        },
    },
}


def test_quark_s_list_may_name_a_fused_layer_from_0_30_on() -> None:
    # mlp.gate matches the dense layer's gate_up_proj and gate_proj, and not up_proj.
    words = "ValueError: Found a different quantization schemes for ['gate_proj', 'up_proj'] in "
    assert said(DEEPSEEK, QUARK_MXFP4, "0.29.0", "10.0") == words
    assert said(DEEPSEEK, QUARK_MXFP4, "0.30.0", "gfx950", "rocm") is None


@pytest.mark.parametrize(("platform", "where"), [("cuda", "10.0"), ("rocm", "gfx950")])
def test_quark_s_mx_linear_layers_want_whole_groups_of_32(platform: str, where: str) -> None:
    # 10944 / 4 = 2736 columns of down_proj are no whole groups of 32.
    names = ["lm_head", "re:.*mlp.gate$", "re:.*self_attn.*"]
    stored = QUARK_MXFP4 | {"exclude": names}
    split = {"tensor_parallel_size": 4, "expert_parallel": True, "platform": platform}
    refused = said(DEEPSEEK, stored, "0.29.0", where, **split)
    assert refused == "ValueError: OCP MX linear layer '"
    assert said(DEEPSEEK, stored, "0.28.0", where, **split) != refused
    alone = {"expert_parallel": True, "platform": platform}
    assert said(DEEPSEEK, stored, "0.29.0", where, **alone) != refused


def test_blocks_that_ranks_cut_are_refused_off_cuda_too() -> None:
    fp8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    split = {"tensor_parallel_size": 2, "expert_parallel": True}
    head = "ValueError: Weight input_size_per_partition = 5472 is not divisible by weight "
    for platform, where in (("cuda", "9.0"), ("rocm", "gfx942"), ("xpu", "0.0")):
        refused = said(DEEPSEEK, fp8, "0.33.0", where, platform, **split)
        assert refused == f"{head}quantization block_k = 128."


def test_formats_without_a_linear_kernel_on_a_platform_are_refused() -> None:
    sides = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
    group = {"targets": ["Linear"], "weights": sides | {"dynamic": False, "symmetric": True}}
    four = COMPRESSED | {
        "format": "nvfp4-pack-quantized",
        "config_groups": {"g": group | {"input_activations": sides | {"dynamic": "local"}}},
    }
    sixteen = COMPRESSED | {
        "format": "nvfp4-pack-quantized",
        "config_groups": {"g": group | {"input_activations": None}},
    }
    words = "ValueError: Failed to find a kernel that can implement the NVFP4 linear layer. "
    assert said(QWEN3, four, "0.33.0", "0.0", "xpu") == f"{words}Reasons: "
    assert said(QWEN3, four, "0.20.0", "0.0", "cpu") == f"{words}Reasons: "
    assert said(QWEN3, four, "0.33.0", "gfx942", "rocm") is None
    marlin = "ValueError: Forced NVFP4 kernel MarlinNvFp4LinearKernel is not supported: "
    for platform, where in (("rocm", "gfx942"), ("xpu", "0.0")):
        refused = said(QWEN3, sixteen, "0.33.0", where, platform)
        assert refused == f"{marlin}Marlin FP4 not available"
    assert said(QWEN3, sixteen, "0.33.0", "10.0") is None


def test_blocks_on_processors_need_amx_tiles() -> None:
    fp8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    words = "ValueError: Failed to find a kernel that can implement the ScaledMM linear layer. "
    assert said(QWEN3, fp8, "0.20.0", "0.0", "cpu") == "KeyError: <PlatformEnum.CPU: 5>"
    model = parse_model(QWEN3 | {"quantization_config": fp8}, id="m", source="directory")
    machine = emulated_machine("0.33.0", "0.0", "none", platform="cpu")
    for features, told in (((), f"{words}Reasons: "), (("amx_tile",), None)):
        there = replace(machine, cpu_features=features)
        [one] = select_layers(model, Deployment(), there, Engine("vllm", "0.33.0"), lora=False)
        error = one.selection.error
        assert (None if error is None else error.text) == told


def test_blocks_on_xpu_need_a_release_that_has_a_kernel_for_them() -> None:
    fp8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    weights = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]}
    inputs = {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 128}
    group = {
        "targets": ["Linear"],
        "weights": weights | {"symmetric": True},
        "input_activations": inputs | {"dynamic": True, "symmetric": True},
    }
    blocks = COMPRESSED | {"format": "float-quantized", "config_groups": {"g": group}}
    words = "ValueError: Failed to find a kernel that can implement the ScaledMM linear layer. "
    told = {
        release: (
            said(QWEN3, fp8, release, "0.0", "xpu"),
            said(QWEN3, blocks, release, "0.0", "xpu"),
        )
        for release in ("0.18.0", "0.21.0", "0.23.0", "0.24.0", "0.27.0", "0.29.0")
    }
    assert told == {
        "0.18.0": (None, None),
        "0.21.0": ("KeyError: <PlatformEnum.XPU: 4>", f"{words}Reasons: "),
        "0.23.0": (None, f"{words}Reasons: "),
        "0.24.0": (None, None),
        "0.27.0": (None, f"{words}Reasons: "),
        "0.29.0": (None, None),
    }


def test_awq_has_a_config_of_its_own_on_processors_until_0_22() -> None:
    model = parse_model(QWEN3 | {"quantization_config": AWQ}, id="m", source="directory")
    for release in ("0.16.0", "0.18.0", "0.22.1"):
        machine = emulated_machine(release, "0.0", "none", platform="cpu")
        engine = Engine("vllm", release)
        [one] = select_layers(model, Deployment(), machine, engine, lora=False)
        assert (one.selection.oracle, one.selection.backend) == ("unquantized", "CPU")


@pytest.mark.parametrize("platform", ["cpu", "xpu"])
def test_eight_bit_integers_have_no_kernel_off_the_big_gpus(platform: str) -> None:
    whole = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
    group = {"targets": ["Linear"], "weights": whole, "input_activations": None}
    stored = COMPRESSED | {"format": "pack-quantized", "config_groups": {"g": group}}
    text = said(QWEN3, stored, "0.33.0", "0.0", platform)
    assert text is not None
    assert text.startswith("ValueError: Failed to find a kernel that can implement the WNA16 ")


def test_compressed_mxfp4_has_no_linear_kernel_on_rocm_before_0_27() -> None:
    sides = {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32}
    group = {"targets": ["Linear"], "weights": sides | {"symmetric": True}}
    stored = COMPRESSED | {
        "format": "mxfp4-pack-quantized",
        "config_groups": {"g": group | {"input_activations": None}},
    }
    words = "ValueError: Failed to find a kernel that can implement the MXFP4 linear layer. "
    assert said(QWEN3, stored, "0.26.0", "gfx950", "rocm") == f"{words}Reasons: "
    assert said(QWEN3, stored, "0.27.0", "gfx950", "rocm") != f"{words}Reasons: "
    assert said(QWEN3, stored, "0.33.0", "0.0", "cpu") == f"{words}Reasons: "


def test_gpt_oss_without_a_backend_ends_in_an_assertion_until_0_18() -> None:
    gpt_oss = {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "num_hidden_layers": 2,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "num_local_experts": 32,
        "num_experts_per_tok": 4,
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "quantization_config": {"quant_method": "mxfp4"},
    }
    model = parse_model(gpt_oss, id="m", source="directory")
    machine = emulated_machine("0.18.0", "gfx942", "docker_rocm", platform="rocm")
    engine = Engine("vllm", "0.18.0")
    [plain] = select_layers(model, Deployment(), machine, engine, lora=False)
    assert plain.selection.backend == "TRITON"
    [lora] = select_layers(model, Deployment(), machine, engine, lora=True)
    assert lora.selection.error is not None
    assert lora.selection.error.text.startswith(
        "AssertionError: get_mxfp4_backend(with_lora_support=True) foundno compatible MXFP4 "
    )


def test_a_shard_without_whole_groups_has_no_integer_kernel_before_humming() -> None:
    # 10944 / 2 = 5472 columns are no whole groups of 128.
    split = {"tensor_parallel_size": 2, "expert_parallel": True}
    groups = {
        "group_0": {**COMPRESSED["config_groups"]["group_0"], "weights": INT4 | {"group_size": 128}}
    }  # type: ignore[dict-item,index]
    stored = COMPRESSED | {"config_groups": groups}
    text = said(DEEPSEEK, stored, "0.20.0", "8.0", **split)
    assert text is not None
    assert text.startswith("ValueError: Failed to find a kernel that can implement the WNA16 ")
    # Humming takes the shape from 0.23.0 on, and the method then wants whole groups itself.
    assert said(DEEPSEEK, stored, "0.24.0", "8.0", **split) == "AssertionError: "
    named = "ValueError: Weight input_size_per_partition=5472 for layer '"
    assert said(DEEPSEEK, stored, "0.26.0", "8.0", **split) == named


def test_awq_falls_back_to_a_class_that_wants_whole_groups() -> None:
    split = {"tensor_parallel_size": 2, "expert_parallel": True}
    for release in ("0.16.0", "0.22.0", "0.33.0"):
        refused = said(DEEPSEEK | {"dtype": "float16"}, AWQ, release, **split)
        assert refused == (
            "ValueError: The input size is not aligned with the quantized weight shape. This can "
            "be caused by too large tensor parallel size."
        )
        listed = AWQ | {"modules_to_not_convert": ["mlp.down_proj"]}
        assert said(DEEPSEEK | {"dtype": "float16"}, listed, release, **split) is None


def test_nvfp4_wants_columns_in_groups_of_16_on_each_rank() -> None:
    nvfp4 = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "group_size": 16,
        "ignore": ["lm_head"],
        "producer": {"name": "modelopt"},
    }
    odd = DEEPSEEK | {"intermediate_size": 10952}
    text = "ValueError: Unsupported model when in features size is not multiple of 16"
    assert said(odd, nvfp4, "0.20.0") == text
    listed = nvfp4 | {"ignore": ["lm_head", "model.layers.0.mlp*"]}
    assert said(odd, listed, "0.20.0") is None


def test_blocks_divide_what_is_not_fused() -> None:
    block = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    heads = DEEPSEEK | {"qk_nope_head_dim": 104, "intermediate_size": 16384}
    # q_b_proj: 64 heads of 168 rows over 64 ranks; fused layers may have odd parts.
    text = said(heads, block, "0.33.0", tensor_parallel_size=64, expert_parallel=True)
    assert text == (
        "ValueError: Weight output_partition_size = 168 is not divisible by weight quantization "
        "block_n = 128."
    )


def test_flex_olmo_s_experts_stay_plain_until_0_29() -> None:
    config = {
        "architectures": ["FlexOlmoForCausalLM"],
        "model_type": "flex_olmo",
        "num_hidden_layers": 2,
    }
    model = parse_model(config | {"quantization_config": GPTQ}, id="m", source="directory")
    for release, oracle in (("0.26.0", "unquantized"), ("0.29.0", "int_wna16")):
        machine = emulated_machine(release, "9.0", "docker")
        answers = select_layers(model, Deployment(), machine, Engine("vllm", release), lora=False)
        assert answers[0].selection.oracle == oracle


def test_dbrx_s_experts_follow_no_group_of_linear_layers() -> None:
    config = {
        "architectures": ["DbrxForCausalLM"],
        "model_type": "dbrx",
        "n_layers": 2,
        "d_model": 6144,
        "ffn_config": {"moe_num_experts": 16, "moe_top_k": 4, "ffn_hidden_size": 10752},
    }
    eight = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
    inputs = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}
    group = {"targets": ["Linear"], "weights": eight, "input_activations": inputs}
    stored = COMPRESSED | {"format": "float-quantized", "config_groups": {"group_0": group}}
    assert said(config, stored, "0.20.0") == "ValueError: Unable to find matching target for "
    assert said(config, stored, "0.26.0") is None


def test_llama_4_s_patches_are_divided_before_its_vocabulary() -> None:
    config = {
        "architectures": ["Llama4ForConditionalGeneration"],
        "model_type": "llama4",
        "vision_config": {"hidden_size": 1408},
        "text_config": {"model_type": "llama4_text", "num_attention_heads": 40},
    }
    refused = said(config, None, "0.33.0", tensor_parallel_size=5)
    assert refused == "AssertionError: 1408 is not divisible by 5"
    kept = said(config, None, "0.33.0", tensor_parallel_size=5, mm_encoder_tp_mode="data")
    assert kept is None or "1408" not in kept


@pytest.mark.parametrize("release", ["0.16.0", "0.33.0"])
def test_glm_4_5v_s_twelve_heads_stay_whole_where_ranks_share_data(release: str) -> None:
    config = {
        "architectures": ["Glm4vMoeForConditionalGeneration"],
        "model_type": "glm4v_moe",
        "vision_config": {"hidden_size": 1536, "num_heads": 12},
        "text_config": {
            "model_type": "glm4v_moe_text",
            "num_hidden_layers": 46,
            "num_attention_heads": 96,
            "num_key_value_heads": 8,
            "hidden_size": 4096,
            "n_routed_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 1408,
            "first_k_dense_replace": 1,
        },
    }
    refused = said(config, None, release, tensor_parallel_size=8)
    assert refused == "AssertionError: 12 is not divisible by 8"
    assert said(config, None, release, tensor_parallel_size=4) is None
    data = {"tensor_parallel_size": 8, "mm_encoder_tp_mode": "data"}
    assert said(config, None, release, **data) is None


@pytest.mark.parametrize(
    ("method", "release", "wanted"),
    [
        ("bitsandbytes", "0.16.0", "bitsandbytes>=0.46.1"),
        ("bitsandbytes", "0.20.0", "bitsandbytes>=0.48.1"),
        ("torchao", "0.33.0", "torchao>=0.10.0"),
    ],
)
def test_a_method_without_its_package_says_what_to_install(
    method: str, release: str, wanted: str
) -> None:
    stored = {
        "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_4bit": True},
        "torchao": {"quant_method": "torchao", "quant_type": {"default": {"_type": "x"}}},
    }[method]
    model = parse_model(QWEN3 | {"quantization_config": stored}, id="m", source="directory")
    whole = emulated_machine(release, "9.0", "docker")
    engine = Engine("vllm", release)
    without = replace(whole, packages={**whole.packages, method: Absent()})
    error = select_layers(model, Deployment(), without, engine, lora=False)[0].selection.error
    assert error is not None
    assert error.type == "ImportError"
    assert f"Please install {wanted} via `pip install {wanted}` to use {method} " in error.message
    beside = replace(whole, packages={**whole.packages, method: Present("1.0")})
    assert select_layers(model, Deployment(), beside, engine, lora=False)[0].selection.error is None


@pytest.mark.parametrize("name", ["JambaForCausalLM", "GraniteMoeSharedForCausalLM"])
def test_mlps_beside_the_experts_take_silu_alone(name: str) -> None:
    config = {
        "architectures": [name],
        "model_type": "jamba" if "Jamba" in name else "granitemoeshared",
        "num_hidden_layers": 4,
        "num_local_experts": 16,
        "num_experts_per_tok": 2,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "shared_intermediate_size": 1024,
    }
    assert said(config | {"hidden_act": "silu"}, None, "0.33.0") is None
    assert said(config | {"hidden_act": "gelu"}, None, "0.33.0") == (
        "ValueError: Unsupported activation: gelu. Only silu is supported for now."
    )


def test_modelopt_s_blocks_are_whole_in_rows_until_0_29() -> None:
    stored = {
        "quant_method": "modelopt",
        "quant_algo": "FP8_PB_WO",
        "ignore": ["lm_head"],
        "producer": {"name": "modelopt"},
    }
    even = DEEPSEEK | {"intermediate_size": 10752}
    rows = "ValueError: ModelOpt FP8_PB_WO requires out_features divisible by 128, got 2112."
    assert said(even, stored, "0.26.0") == rows
    assert said(even, stored, "0.30.0") is None
    columns = "ValueError: FP8_PB_WO requires in divisible by 128, got 10944"
    assert said(DEEPSEEK, stored, "0.30.0") == columns


def test_nemotron_s_shared_experts_are_columns_of_16_on_each_rank() -> None:
    config = {
        "architectures": ["NemotronHForCausalLM"],
        "model_type": "nemotron_h",
        "hybrid_override_pattern": "ME*E",
        "num_attention_heads": 32,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "hidden_size": 2688,
        "n_routed_experts": 128,
        "num_experts_per_tok": 6,
        "n_shared_experts": 1,
        "moe_intermediate_size": 1856,
        "moe_shared_expert_intermediate_size": 3712,
    }
    nvfp4 = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "group_size": 16,
        "ignore": ["lm_head"],
        "producer": {"name": "modelopt"},
    }
    split = {"expert_parallel": True}
    assert said(config, nvfp4, "0.33.0", tensor_parallel_size=8, **split) is None
    text = "ValueError: Unsupported model when in features size is not multiple of 16"
    assert said(config, nvfp4, "0.33.0", tensor_parallel_size=16, **split) == text
    listed = nvfp4 | {"ignore": ["lm_head", "*mixer.shared_experts*"]}
    assert said(config, listed, "0.33.0", tensor_parallel_size=16, **split) is None


@pytest.mark.parametrize("humming_first", [True, False])
def test_a_machine_without_a_package_does_not_answer_for_one_that_has_it(
    humming_first: bool,
) -> None:
    config = QWEN3 | {"head_dim": 72, "hidden_size": 2112, "quantization_config": GPTQ}
    model = parse_model(config, id="m", source="directory")
    whole = emulated_machine("0.33.0", "9.0", "docker")
    bare = replace(whole, packages={**whole.packages, "humming-kernels": Absent()})
    for machine in (whole, bare) if humming_first else (bare, whole):
        engine = Engine("vllm", "0.33.0")
        answers = select_layers(model, Deployment(), machine, engine, lora=False)
        error = answers[0].selection.error
        assert (error is None) is (machine is whole)


def test_kernels_that_the_environment_disables_take_nothing() -> None:
    off = {"VLLM_DISABLED_KERNELS": "MarlinLinearKernel"}
    none = "ValueError: Failed to find a kernel that can implement the WNA16 linear layer. Reasons:"
    for release in ("0.16.0", "0.21.0"):
        assert said(QWEN3, COMPRESSED, release, "12.0") is None
        assert str(said(QWEN3, COMPRESSED, release, "12.0", environment=off)).startswith(none)
        # ExLlama is left for float16.
        half = said(QWEN3, COMPRESSED, release, "12.0", environment=off, dtype="float16")
        assert half is None


def test_plain_layers_that_become_mxfp8_have_whole_groups_on_each_rank() -> None:
    online = {"tensor_parallel_size": 4, "quantization": "mxfp8"}
    text = "ValueError: MXFP8 requires input_size_per_partition (2736) to be divisible by 32."
    for release in ("0.19.1", "0.23.0", "0.33.0"):
        assert said(DEEPSEEK, None, release, "10.0", **online) == text
        assert (
            said(DEEPSEEK | {"intermediate_size": 10240}, None, release, "10.0", **online) is None
        )
    text = "ValueError: MXFP4 requires input_size_per_partition (2736) to be divisible by 32."
    four = online | {"quantization": "mxfp4"}
    assert said(DEEPSEEK, None, "0.28.0", "10.0", **four) == text
    assert said(DEEPSEEK, None, "0.26.0", "10.0", **four) is None
