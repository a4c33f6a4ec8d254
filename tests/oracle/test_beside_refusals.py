"""What shared experts, dense layers, a vision tower and lists per layer make a release refuse."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.models.parse import parse_model
from moe_doctor.oracle.answer import select_layers
from tests.truth import emulated_machine

FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
GLM5 = {
    "architectures": ["GlmMoeDsaForCausalLM"],
    "model_type": "glm_moe_dsa",
    "num_hidden_layers": 4,
    "num_attention_heads": 64,
    "kv_lora_rank": 512,
    "n_routed_experts": 32,
    "n_shared_experts": 2,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 1,
    "hidden_size": 6144,
    "intermediate_size": 12288,
    "moe_intermediate_size": 896,
    "quantization_config": FP8,
}
GEMMA4 = {
    "architectures": ["Gemma4ForConditionalGeneration"],
    "model_type": "gemma4",
    "text_config": {
        "model_type": "gemma4_text",
        "num_hidden_layers": 4,
        "num_experts": 8,
        "top_k_experts": 2,
        "enable_moe_block": True,
        "hidden_size": 2816,
        "intermediate_size": 2112,
        "moe_intermediate_size": 704,
    },
}
QWEN3_VL = {
    "architectures": ["Qwen3VLMoeForConditionalGeneration"],
    "model_type": "qwen3_vl_moe",
    "vision_config": {"intermediate_size": 4304},
    "text_config": {
        "model_type": "qwen3_vl_moe_text",
        "num_hidden_layers": 4,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "hidden_size": 2048,
        "moe_intermediate_size": 768,
    },
}


# Qwen/Qwen1.5-MoE-A2.7B-Chat
QWEN2 = {
    "architectures": ["Qwen2MoeForCausalLM"],
    "model_type": "qwen2_moe",
    "num_hidden_layers": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "num_experts": 60,
    "num_experts_per_tok": 4,
    "decoder_sparse_step": 1,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "moe_intermediate_size": 1408,
    "shared_expert_intermediate_size": 5632,
}


def said(config: dict[str, Any], release: str, **deployment: Any) -> str | None:
    """What the release raises on an H100, or None."""
    (answer, *_) = select_layers(
        parse_model(config, id="m", source="directory"),
        Deployment(**deployment),
        emulated_machine(release, "9.0", "docker"),
        Engine("vllm", release),
        lora=False,
    )
    error = answer.selection.error
    return None if error is None else f"{error.type}: {error.message}"


def block(width: int) -> str:
    return (
        f"ValueError: Weight input_size_per_partition = {width} is not divisible by weight "
        "quantization block_k = 128."
    )


def test_a_shard_of_the_shared_experts_holds_whole_blocks() -> None:
    split = {"tensor_parallel_size": 8, "expert_parallel": True}
    assert said(GLM5, "0.33.0", **split) == block(224)
    assert said(GLM5, "0.33.0") is None
    # The list is read by exact paths: what holds them takes nothing out (is_layer_skipped).
    above = FP8 | {"modules_to_not_convert": ["model.layers.1.mlp.shared_experts"]}
    assert said(GLM5 | {"quantization_config": above}, "0.33.0", **split) == block(224)
    paths = [
        f"model.layers.{layer}.mlp.shared_experts.{name}"
        for layer in (1, 2, 3)
        for name in ("gate_proj", "up_proj", "down_proj")
    ]
    listed = FP8 | {"modules_to_not_convert": paths}
    assert said(GLM5 | {"quantization_config": listed}, "0.33.0", **split) is None


@pytest.mark.parametrize("release", ["0.22.1", "0.27.1", "0.31.0", "0.33.0"])
def test_humming_s_linear_layers_pad_what_fills_no_whole_blocks(release: str) -> None:
    stored = QWEN2 | {"quantization_config": FP8}
    assert said(stored, release, tensor_parallel_size=8) == block(704)
    assert said(stored, release, tensor_parallel_size=8, quantization="humming") is None


def test_the_dense_layers_come_first() -> None:
    odd = GLM5 | {"intermediate_size": 1600}
    assert said(odd, "0.20.0", tensor_parallel_size=4, expert_parallel=True) == block(400)
    routed_first = odd | {"first_k_dense_replace": 0, "moe_intermediate_size": 1024}
    assert said(routed_first, "0.20.0", tensor_parallel_size=4, expert_parallel=True) is None


def test_columns_of_the_shared_experts_divide_among_the_ranks() -> None:
    odd = GLM5 | {"moe_intermediate_size": 1000, "n_shared_experts": 1, "quantization_config": None}
    split = {"tensor_parallel_size": 16, "expert_parallel": True}
    assert said(odd, "0.33.0", **split) == "AssertionError: "
    assert said(odd | {"n_shared_experts": 2}, "0.33.0", **split) is None


def test_no_shared_experts_are_shared_experts_without_a_width() -> None:
    odd = GLM5 | {"n_shared_experts": 0}
    wanted = "ZeroDivisionError: integer division or modulo by zero"
    assert said(odd, "0.26.0", tensor_parallel_size=4, expert_parallel=True) == wanted
    assert said(odd, "0.26.0") is None


def test_gemma_4_has_a_dense_mlp_beside_every_layer_s_experts() -> None:
    odd = GEMMA4 | {"quantization_config": FP8}
    assert said(odd, "0.22.1", tensor_parallel_size=4, expert_parallel=True) == block(528)


@pytest.mark.parametrize(("release", "ranks", "width"), [("0.33.0", 1, 4304), ("0.20.2", 2, 2152)])
def test_weights_quantized_to_mxfp8_have_to_fit_the_vision_tower(
    release: str, ranks: int, width: int
) -> None:
    assert said(QWEN3_VL, release, quantization="mxfp8", tensor_parallel_size=ranks) == (
        f"ValueError: MXFP8 requires input_size_per_partition ({width}) to be divisible by 32."
    )
    assert said(QWEN3_VL, release, tensor_parallel_size=ranks) is None


def test_until_0_24_deepseek_v4_cut_its_shared_experts_within_a_block() -> None:
    v4 = GLM5 | {
        "architectures": ["DeepseekV4ForCausalLM"],
        "model_type": "deepseek_v4",
        "n_shared_experts": 1,
        "moe_intermediate_size": 3072,
        "num_attention_heads": 128,
        "expert_dtype": "fp4",
    }
    split = {"tensor_parallel_size": 16, "expert_parallel": True}
    assert said(v4, "0.23.0", **split) == block(192)
    assert said(v4, "0.24.0", **split) is None


STRICT = (
    "StrictDataclassClassValidationError: Class validation error for validator "
    "'validate_layer_type':\n    ValueError: `num_hidden_layers` (4) must be equal to the number "
)
WRAPPED = (
    "ValidationError: 1 validation error for ModelConfig\n  Value error, `num_hidden_layers` (4) "
    "must be equal to the number "
)


def test_a_list_of_layer_types_is_as_long_as_the_model() -> None:
    text = dict(GEMMA4["text_config"], layer_types=["full_attention"] * 6)
    gemma4 = GEMMA4 | {"text_config": text}
    assert said(gemma4, "0.22.1") == STRICT + "of layer types (6)"
    assert said(gemma4, "0.23.0") == STRICT + "of `layer_types` (6)"
    # Transformers 5.15 looks at the layers of full attention beforehand.
    assert said(gemma4, "0.28.0") == (
        "ValidationError: 1 validation error for ModelConfig\n  Value error, `per_layer_config` "
        "keys must be integer layer indices in the range [0, 4); got [4, 5]."
    )
    oss = {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "num_hidden_layers": 4,
        "layer_types": ["full_attention"] * 36,
        "num_local_experts": 8,
        "num_experts_per_tok": 4,
        "hidden_size": 2880,
        "intermediate_size": 2880,
    }
    assert said(oss, "0.18.1") == WRAPPED + "of layer types (36)"
    assert said(oss, "0.19.0") == STRICT + "of layer types (36)"
    assert said(oss | {"layer_types": ["full_attention"] * 4}, "0.19.0") is None


def test_mlp_layer_types_are_counted_from_0_23_on() -> None:
    glm = GLM5 | {"mlp_layer_types": ["dense"] + ["sparse"] * 4}
    assert said(glm, "0.22.1") is None
    assert said(glm, "0.23.0") == STRICT + "of `mlp_layer_types` (5)"


def test_gemma_4_cannot_be_read_by_0_27_s_transformers() -> None:
    assert said(GEMMA4, "0.26.0") is None
    assert str(said(GEMMA4, "0.27.1")).startswith("AmbiguousGlobalPerLayerAttributeError: 'head_")
    assert said(GEMMA4, "0.28.0") is None


def test_glm_5_counts_its_dense_layers_and_ignores_the_words() -> None:
    words = GLM5 | {"mlp_layer_types": ["dense", "sparse", "sparse", "sparse"]}
    model = parse_model(words | {"moe_layer_freq": 3}, id="m", source="directory")
    assert [kind.layers for kind in model.moe_layers] == [(3,)]


def test_qwen_3_5_has_experts_in_every_layer() -> None:
    config = {
        "architectures": ["Qwen3_5MoeForConditionalGeneration"],
        "model_type": "qwen3_5_moe",
        "text_config": {
            "model_type": "qwen3_5_moe_text",
            "num_hidden_layers": 4,
            "hidden_size": 2048,
            "mlp_only_layers": [0],
        },
    }
    (kind,) = parse_model(config, id="m", source="directory").moe_layers
    assert kind.layers == (0, 1, 2, 3)
    assert (kind.spec.num_experts, kind.spec.top_k, kind.spec.intermediate_size) == (256, 8, 512)


@pytest.mark.parametrize(
    ("model_type", "architecture", "layers", "hidden"),
    [
        ("qwen3_moe", "Qwen3MoeForCausalLM", 24, 2048),
        ("qwen3_vl_moe_text", "Qwen3VLMoeForConditionalGeneration", 24, 2048),
        ("glm_moe_dsa", "GlmMoeDsaForCausalLM", 75, 6144),
    ],
)
def test_sizes_that_the_file_leaves_out_are_transformers_own(
    model_type: str, architecture: str, layers: int, hidden: int
) -> None:
    config = {"architectures": [architecture], "model_type": model_type}
    (kind,) = parse_model(config, id="m", source="directory").moe_layers
    assert (kind.count, kind.spec.hidden_size) == (layers, hidden)
