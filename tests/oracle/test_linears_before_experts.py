"""Linear layers that a release builds, and refuses, before it comes to the experts."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.models.parse import parse_model
from moe_doctor.oracle.answer import select_layers
from tests.oracle.test_linear_refusals import AWQ, COMPRESSED, DEEPSEEK, QWEN3, said
from tests.oracle.test_listed_names import QWEN3_VL
from tests.oracle.test_odd_linears import FLOAT8, QUARK
from tests.truth import emulated_machine

NO_KERNEL = (
    "ValueError: Failed to find a kernel that can implement the WNA16 linear layer. Reasons: "
)
FOUR = {"num_bits": 4, "type": "int", "symmetric": True, "dynamic": False}
BY_TOKEN = {"num_bits": 8, "strategy": "token", "symmetric": True, "dynamic": True}
MINICPM = {
    "architectures": ["MiniCPMForCausalLM"],
    "model_type": "minicpm",
    "num_hidden_layers": 4,
    "num_attention_heads": 36,
    "num_key_value_heads": 36,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "hidden_size": 2304,
    "intermediate_size": 5760,
    "torch_dtype": "float16",
}
ARCTIC = {
    "architectures": ["ArcticForCausalLM"],
    "model_type": "arctic",
    "num_hidden_layers": 4,
    "moe_layer_frequency": 1,
    "num_attention_heads": 56,
    "num_key_value_heads": 8,
    "num_local_experts": 128,
    "num_experts_per_tok": 2,
    "hidden_size": 7168,
    "intermediate_size": 4864,
}
MIXTRAL = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_hidden_layers": 2,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "hidden_size": 4096,
    "intermediate_size": 14336,
}
PANGU = {
    "architectures": ["PanguProMoEV2ForCausalLM"],
    "model_type": "PanguProMoE",
    "num_hidden_layers": 4,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "head_dim": 192,
    "n_routed_experts": 80,
    "num_experts": 80,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 2,
    "hidden_size": 4608,
    "intermediate_size": 10240,
    "moe_intermediate_size": 1344,
    "shared_expert_intermediate_size": 5376,
}
SOLAR = {
    "architectures": ["SolarOpenForCausalLM"],
    "model_type": "solar_open",
    "num_hidden_layers": 2,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "n_routed_experts": 128,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "hidden_size": 4096,
    "intermediate_size": 10240,
    "moe_intermediate_size": 1280,
}
NARROW = {
    "quant_method": "auto-round",
    "bits": 3,
    "group_size": 64,
    "sym": True,
    "data_type": "int",
    "packing_format": "auto_round:auto_awq",
}
KIMI_LINEAR = {
    "architectures": ["KimiLinearForCausalLM"],
    "model_type": "kimi_linear",
    "num_hidden_layers": 4,
    "linear_attn_config": {
        "full_attn_layers": [4],
        "kda_layers": [1, 2, 3],
        "head_dim": 128,
        "num_heads": 32,
        "short_conv_kernel_size": 4,
    },
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "num_experts": 256,
    "num_experts_per_token": 8,
    "num_shared_experts": 1,
    "first_k_dense_replace": 1,
    "moe_router_activation_func": "sigmoid",
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "moe_intermediate_size": 1024,
}


def stored(weights: dict[str, Any], inputs: dict[str, Any] | None, layout: str) -> dict[str, Any]:
    """compressed-tensors with one group for every linear layer but the routers."""
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    names = ["lm_head", "re:.*gate$"]
    return COMPRESSED | {"format": layout, "ignore": names, "config_groups": {"g": group}}


def four_bits(group: int, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    """Packed integers, or those with 8-bit inputs."""
    weights = FOUR | {"strategy": "group", "group_size": group}
    return stored(weights, inputs, "pack-quantized" if inputs is None else "int-quantized")


def test_integers_with_fp8_inputs_go_to_cutlass_in_bfloat16_or_to_humming() -> None:
    eight = four_bits(128, BY_TOKEN | {"type": "float"})
    for release in ("0.16.0", "0.20.0"):
        assert said(QWEN3, eight, release) is None
        assert said(QWEN3, eight, release, dtype="float16") == NO_KERNEL
    assert said(QWEN3, eight, "0.33.0", dtype="float16") is None
    # kv_a_proj_with_mqa has 512 + 64 rows, which are not whole blocks of 128.
    latent = DEEPSEEK | {"q_lora_rank": None, "intermediate_size": 11264}
    assert said(latent, eight, "0.20.0") == NO_KERNEL


def test_integers_with_8_bit_integer_inputs_have_no_linear_kernel_before_humming() -> None:
    eight = four_bits(32, BY_TOKEN | {"type": "int"})
    for release in ("0.16.0", "0.22.1"):
        assert said(QWEN3, eight, release, "8.0") == NO_KERNEL
    assert said(QWEN3, eight, "0.33.0", "8.0") != NO_KERNEL


def test_groups_with_8_bit_inputs_are_whole_on_every_rank() -> None:
    eight = four_bits(128, BY_TOKEN | {"type": "int"})
    # 10944 columns of down_proj are no whole groups.
    text = "Weight input_size_per_partition=10944 is not divisible by group_size=128."
    assert said(DEEPSEEK, eight, "0.26.0", "8.0") == f"ValueError: {text}"


@pytest.mark.parametrize("layout", ["dense", "sparse-24-bitmask"])
def test_two_of_four_weights_are_not_read_any_more(layout: str) -> None:
    sparse = {"format": layout, "sparsity_structure": "2:4", "targets": ["Linear"], "ignore": []}
    declared = FLOAT8 | {"sparsity_config": sparse}
    gone = "NotImplementedError: Sparse24 models are no longer supported by vLLM"
    for release in ("0.19.0", "0.20.0", "0.21.0"):
        assert said(QWEN3, declared, release) == gone
    assert said(QWEN3, declared, "0.18.1") is None
    older = said(QWEN3, declared, "0.18.1", "8.9")
    assert older is not None
    assert older.startswith("RuntimeError: ('Quantization scheme is not supported for ")
    other = FLOAT8 | {"sparsity_config": sparse | {"sparsity_structure": "unstructured"}}
    assert said(QWEN3, other, "0.20.0") is None
    # Without groups, or left out by the list, attention is sparse as well.
    assert said(QWEN3, declared | {"config_groups": {}}, "0.20.0") == gone


def test_transformers_4_57_does_not_read_a_null() -> None:
    config = QWEN3 | {"quantization_config": None}
    told = "AttributeError: 'NoneType' object has no attribute 'to_dict'"
    assert said(config, None, "0.16.0") == told
    assert said(config, None, "0.18.1", quantization="fp8") == told
    assert said(config, None, "0.19.0") is None
    assert said(QWEN3, None, "0.16.0") is None


def test_batch_invariant_linear_layers_take_no_plain_inputs() -> None:
    weights = FOUR | {"type": "float", "strategy": "tensor_group", "group_size": 16}
    sixteen = stored(weights, None, "nvfp4-pack-quantized")
    on = {"VLLM_BATCH_INVARIANT": "1"}
    for capability, kernel in (("9.0", "Emulation"), ("10.0", "Cutlass")):
        told = f"ValueError: {kernel}NvFp4LinearKernel does not support W4A16"
        for release in ("0.27.0", "0.33.0"):
            assert said(QWEN3, sixteen, release, capability, environment=on) == told
            assert said(QWEN3, sixteen, release, capability) is None
        assert said(QWEN3, sixteen, "0.26.0", capability, environment=on) != told


def test_classes_with_kernels_of_their_own_still_have_linear_layers() -> None:
    # 2304 / 4 = 576 columns of o_proj are no whole groups of 128.
    assert said(MINICPM, AWQ, "0.20.0") is None
    refused = said(MINICPM, AWQ, "0.20.0", tensor_parallel_size=4)
    assert refused is not None
    assert refused.startswith("ValueError: The input size is not aligned with the quantized ")
    wide = MINICPM | {"torch_dtype": "bfloat16", "num_attention_heads": 32}
    assert said(wide, four_bits(64), "0.20.0", tensor_parallel_size=4) == NO_KERNEL
    block = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    assert said(ARCTIC, block, "0.20.0", tensor_parallel_size=8) is None
    assert said(MINICPM, None, "0.20.0", tensor_parallel_size=4) is None


def test_minicpm_does_not_rebalance() -> None:
    split = {"data_parallel_size": 8, "expert_parallel": True, "enable_eplb": True}
    for release in ("0.16.0", "0.33.0"):
        told = "NotImplementedError: EPLB is not supported for MiniCPM yet."
        assert said(MINICPM, None, release, **split) == told


def test_pangu_s_shared_experts_are_as_wide_as_its_routed_ones() -> None:
    # 1344 / 2 = 672 columns of shared_experts.down_proj; 5376 / 2 would have been whole groups.
    assert said(PANGU, four_bits(64), "0.20.0") is None
    assert said(PANGU, four_bits(64), "0.20.0", tensor_parallel_size=2) == NO_KERNEL
    assert said(PANGU, four_bits(128), "0.20.0") == "AssertionError: "


def test_per_channel_fp8_is_refused_where_linear_layers_come_to_marlin() -> None:
    words = "ValueError: FP8 PTPC online quant requires a kernel that honors per-token activation "
    words += "quantization; MarlinFP8 is W8A16 weight-only. Requires SM89+ for Cutlass FP8 or "
    words += "ROCm MI3xx for rowwise scaled_mm."
    asked = {"quantization": "fp8_per_channel"}
    later = "ValueError: FP8 PTPC online MoE quant is not supported with the MARLIN backend, "
    later += "which does not implement per-output-channel weight scales."
    for release, told in (("0.28.0", words), ("0.29.0", later), ("0.30.0", later)):
        assert said(QWEN3, None, release, "8.6", **asked) == told
    assert said(QWEN3, None, "0.33.0", "8.6", **asked) == words
    forced = {"VLLM_TEST_FORCE_FP8_MARLIN": "1"}
    assert said(QWEN3, None, "0.28.0", "9.0", environment=forced, **asked) == words
    assert said(QWEN3, None, "0.28.0", "9.0", **asked) is None


def test_transformers_own_shared_experts_are_divided_whatever_the_tokens_are() -> None:
    split = {"tensor_parallel_size": 4, "data_parallel_size": 4, "expert_parallel": True}
    told = "ValueError: Weight input_size_per_partition=320 for layer '"
    assert said(SOLAR, four_bits(128), "0.29.0", **split) == told


def test_linear_layers_are_refused_before_uneven_experts() -> None:
    # 3 x 72 = 216 rows of qkv_proj on a rank have no kernel.
    odd = QWEN3 | {"head_dim": 72, "num_attention_heads": 8, "num_key_value_heads": 8}
    split: dict[str, Any] = {
        "tensor_parallel_size": 8,
        "expert_parallel": True,
        "enable_eplb": True,
        "num_redundant_experts": 4,
    }
    assert said(odd, four_bits(64), "0.21.0", **split) == NO_KERNEL
    uneven = "AssertionError: EPLB currently only supports even distribution of experts across "
    assert said(QWEN3, four_bits(64), "0.21.0", **split) == f"{uneven}ranks."


def test_auto_round_s_narrow_integers_want_humming() -> None:
    model = parse_model(DEEPSEEK | {"quantization_config": NARROW}, id="m", source="directory")
    split = Deployment(tensor_parallel_size=2)
    for release in ("0.30.0", "0.33.0"):
        for packages, told in (("none", "No module named 'humming'"), ("docker", None)):
            machine = emulated_machine(release, "9.0", packages)
            first = select_layers(model, split, machine, Engine("vllm", release), lora=False)[0]
            error = first.selection.error
            assert (error and error.message) == told


@pytest.mark.parametrize(
    ("release", "environment", "is_missed"),
    [
        ("0.30.0", {}, False),
        ("0.31.0", {}, True),
        ("0.33.0", {}, True),
        ("0.33.0", {"VLLM_KIMI_K3_GEMM_AR": "0"}, False),
    ],
)
def test_kimi_linear_imports_cutlass_before_its_layers(
    release: str, environment: dict[str, str], is_missed: bool
) -> None:
    model = parse_model(KIMI_LINEAR, id="m", source="directory")
    engine = Engine("vllm", release)
    here = emulated_machine(release, "9.0", "none", environment)
    error = select_layers(model, Deployment(), here, engine, lora=False)[0].selection.error
    assert (error is not None) == is_missed
    if error is not None:
        assert (error.type, error.message) == ("ModuleNotFoundError", "No module named 'cutlass'")
    there = emulated_machine(release, "9.0", "docker", environment)
    assert select_layers(model, Deployment(), there, engine, lora=False)[0].selection.error is None


def test_blocks_of_another_class_leave_attention_out_as_well() -> None:
    elsewhere = NARROW | {"block_name_to_quantize": "model.language_model.layers"}
    assert said(QWEN3, elsewhere, "0.26.0") is None
    here = NARROW | {"block_name_to_quantize": "model.layers"}
    assert said(QWEN3, here, "0.26.0") == (
        "ValueError: Unsupported num_bits = 3. Supported: 4. For 8-bit AWQ, use Marlin backend by "
        "setting backend='awq:marlin' or backend='marlin'."
    )


def test_a_method_s_dtypes_are_looked_at_before_moonep_s() -> None:
    split = {"data_parallel_size": 2, "expert_parallel": True, "all2all_backend": "moonep"}
    told = said(QWEN3, AWQ, "0.32.0", dtype="float32", **split)
    assert told is not None
    assert "torch.float32 is not supported for quantization method" in told
    older = said(QWEN3, AWQ, "0.33.0", "7.5", **split)
    assert older is not None
    assert "moonep all2all backend currently supports unquantized BF16 models only" in older
    plain = said(QWEN3, None, "0.32.0", dtype="float32", **split)
    assert plain is not None
    assert "moonep all2all backend currently supports BF16 models only" in plain


def test_experts_that_no_group_names_are_refused_before_0_21() -> None:
    weights = FOUR | {"type": "float", "strategy": "tensor_group", "group_size": 16}
    inputs = weights | {"dynamic": "local"}
    group = {"targets": ["re:.*experts.*w[123]$"], "weights": weights, "input_activations": inputs}
    names = ["lm_head", "re:.*attn.*"]
    declared = COMPRESSED | {
        "format": "nvfp4-pack-quantized",
        "ignore": names,
        "config_groups": {"g": group},
    }
    for release in ("0.17.1", "0.20.0"):
        assert said(MIXTRAL, declared, release) == "ValueError: Unable to find matching target for "
    assert said(MIXTRAL, declared, "0.21.0") is None


def test_quark_looks_for_the_tower_s_projection_in_itself_before_0_19() -> None:
    listed = QUARK | {"exclude": ["lm_head", "re:model.visual.*", "re:.*mlp.gate$"]}
    for release in ("0.17.1", "0.18.1"):
        refused = said(QWEN3_VL, listed, release)
        assert refused == "RecursionError: maximum recursion depth exceeded"
        assert said(QWEN3_VL, QUARK | {"exclude": ["lm_head", "re:visual.*"]}, release) is None
    assert said(QWEN3_VL, listed, "0.19.1") is None


def test_transformers_4_57_does_not_know_qwen3_5_s_text_type() -> None:
    text = QWEN3 | {"architectures": ["Qwen3_5MoeForCausalLM"], "model_type": "qwen3_5_moe_text"}
    refused = said(text, None, "0.17.1")
    assert refused is not None
    assert refused.endswith(
        "has model type `qwen3_5_moe_text` but Transformers does not recognize this architecture."
    )
    told = "AttributeError: 'Qwen3_5MoeTextConfig' object has no attribute 'vision_config'"
    assert said(text, None, "0.19.1") == told
