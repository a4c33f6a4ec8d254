"""What public checkpoints declare in ways of their own, on an H100 and a B200."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.core.selection import Selection
from moe_doctor.models.parse import parse_model
from moe_doctor.oracle.answer import select_layers
from tests.truth import emulated_machine

MXFP4: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "mxfp4-pack-quantized",
    "ignore": ["re:.*self_attn.*", "re:.*shared_experts.*", "re:.*lm_head.*"],
    "config_groups": {
        "group_0": {
            "format": "mxfp4-pack-quantized",
            "input_activations": None,
            "targets": ["Linear"],
            "weights": {
                "num_bits": 4,
                "type": "float",
                "strategy": "group",
                "group_size": 32,
                "symmetric": True,
                "dynamic": False,
            },
        }
    },
}
# moonshotai/Kimi-K3
KIMI_K3: dict[str, Any] = {
    "architectures": ["KimiK3ForConditionalGeneration"],
    "model_type": "kimi_k3",
    "dtype": "bfloat16",
    "text_config": {
        "model_type": "kimi_linear",
        "architectures": ["KimiLinearForCausalLM"],
        "hidden_size": 7168,
        "routed_expert_hidden_size": 3584,
        "moe_intermediate_size": 3072,
        "num_experts": 896,
        "num_experts_per_token": 16,
        "num_shared_experts": 2,
        "num_hidden_layers": 3,
        "first_k_dense_replace": 1,
        "num_attention_heads": 96,
        "kv_lora_rank": 512,
        "hidden_act": "situ",
        "activation_situ_beta": 4.0,
        "activation_situ_linear_beta": 25.0,
        "moe_router_activation_func": "sigmoid",
        "moe_renormalize": True,
        "topk_method": "noaux_tc",
        "num_expert_group": 1,
        "topk_group": 1,
        "use_grouped_topk": True,
        "quantization_config": MXFP4,
    },
}
# nvidia/GLM-5.2-NVFP4, its experts as they come without quantization
GLM: dict[str, Any] = {
    "architectures": ["GlmMoeDsaForCausalLM"],
    "model_type": "glm_moe_dsa",
    "dtype": "bfloat16",
    "hidden_size": 6144,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 4,
    "first_k_dense_replace": 3,
    "layer_types": ["deepseek_sparse_attention"] * 4,
}
# Intel/gpt-oss-20b-int4-AutoRound
GPT_OSS: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "dtype": "bfloat16",
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 2,
}
ROUND = {
    "quant_method": "auto-round",
    "bits": 4,
    "group_size": 128,
    "sym": True,
    "packing_format": "auto_round:auto_gptq",
}
# QuantTrio/Qwen3-30B-A3B-Instruct-2507-AWQ
AWQ: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "dtype": "bfloat16",
    "hidden_size": 2048,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 2,
    "quantization_config": {
        "quant_method": "awq",
        "bits": 4,
        "group_size": 128,
        "zero_point": True,
        "version": "gemm",
        "modules_to_not_convert": ["mlp.gate"],
    },
}
# ibm-granite/granite-4.0-h-small
GRANITE: dict[str, Any] = {
    "architectures": ["GraniteMoeHybridForCausalLM"],
    "model_type": "granitemoehybrid",
    "torch_dtype": "bfloat16",
    "hidden_size": 4096,
    "intermediate_size": 768,
    "num_local_experts": 72,
    "num_experts_per_tok": 10,
    "num_hidden_layers": 2,
    "layer_types": ["mamba", "attention"],
}


def ask(
    config: dict[str, Any], version: str, capability: str = "9.0", **deployment: Any
) -> Selection:
    model = parse_model(config, id="m", source="directory")
    machine = emulated_machine(version, capability, "docker", None)
    split = Deployment(**deployment)
    answers = select_layers(model, split, machine, Engine("vllm", version), lora=False)
    return answers[0].selection


def rounded(config: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    return config | {"quantization_config": ROUND | {"extra_config": rules}}


def raised(config: dict[str, Any], version: str, **deployment: Any) -> str | None:
    error = ask(config, version, **deployment).error
    return None if error is None else f"{error.type}: {error.message}"


@pytest.mark.parametrize(
    ("version", "capability", "backend", "kernel"),
    [
        ("0.28.0", "9.0", "MARLIN", "MarlinExperts"),
        ("0.33.0", "10.0", "FLASHINFER_TRTLLM_MXFP4_MXFP8", "TrtLlmMxfp4ExpertsMonolithic"),
    ],
)
def test_kimi_k3_asks_the_oracle_of_mxfp4(
    version: str, capability: str, backend: str, kernel: str
) -> None:
    # models/config.py KimiK3ForConditionalGenerationConfig, from 0.27.0 on
    found = ask(KIMI_K3, version, capability)
    assert (found.oracle, found.backend, found.kernel) == ("deepseek_v4_mxfp4", backend, kernel)


def test_another_model_stored_like_kimi_k3_keeps_its_own_method() -> None:
    config = {key: value for key, value in AWQ.items() if key != "quantization_config"}
    found = ask(config | {"quantization_config": MXFP4}, "0.33.0")
    assert (found.oracle, found.note.partition(":")[0]) == (
        None,
        "CompressedTensorsW4A4Mxfp4MoEMethod",
    )


@pytest.mark.parametrize(
    ("version", "capability", "kernel"),
    [
        ("0.18.1", "10.0", "MarlinExperts"),
        ("0.20.0", "10.3", "CutlassExpertsMxfp4"),
        ("0.23.0", "10.0", "CutlassExpertsMxfp4"),
        ("0.23.0", "11.0", "MarlinExperts"),  # is_device_capability_family(100) until then
        ("0.24.0", "11.0", "CutlassExpertsMxfp4"),
        ("0.33.0", "9.0", "MarlinExperts"),
    ],
)
def test_a_checkpoint_of_mxfp4_inputs_takes_cutlass_on_blackwell(
    version: str, capability: str, kernel: str
) -> None:
    config = {key: value for key, value in AWQ.items() if key != "quantization_config"}
    assert ask(config | {"quantization_config": MXFP4}, version, capability).kernel == kernel


def test_transformers_reads_only_the_layer_types_that_it_knows() -> None:
    expected = (
        "StrictDataclassClassValidationError: Class validation error for validator "
        "'validate_layer_type':\n    ValueError: The `layer_types` entries must be in ("
    )
    assert raised(GLM, "0.19.1") == raised(GLM, "0.22.1") == expected
    assert raised(GLM, "0.23.0") is raised(GLM, "0.33.0") is None
    newer = GLM | {"layer_types": ["full_attention"] * 3 + ["indexed_attention"]}
    assert (raised(newer, "0.31.0"), raised(newer, "0.32.0")) == (expected, None)
    known = GLM | {"layer_types": ["full_attention", "sliding_attention", "mamba", "conv"]}
    assert raised(known, "0.19.1") is None


def test_groups_are_halved_down_to_32_columns() -> None:
    # 2880 columns hold 64-column groups; 1440 hold 32; 720 would need 16.
    config = GPT_OSS | {"quantization_config": ROUND}
    assert raised(config, "0.25.0", tensor_parallel_size=2) is None
    assert raised(config, "0.25.0", tensor_parallel_size=4) == "AssertionError: "
    assert raised(config, "0.18.0", tensor_parallel_size=4) == "AssertionError: "
    assert raised(config, "0.33.0", tensor_parallel_size=4) == "AssertionError: "
    split = {"tensor_parallel_size": 4, "expert_parallel": True}
    assert raised(config, "0.25.0", **split) is None


def test_experts_without_an_oracle_are_not_rebalanced_either() -> None:
    split = {"data_parallel_size": 8, "expert_parallel": True}
    kept = ask(AWQ, "0.20.0", **split)
    assert (kept.backend, kept.note.partition(":")[0]) == ("MARLIN", "AWQMarlinMoEMethod")
    assert raised(AWQ, "0.20.0", enable_eplb=True, **split) == (
        "NotImplementedError: EPLB is not supported AWQMarlinMoEMethod."
    )


def test_experts_without_an_oracle_want_their_dispatch_too() -> None:
    split = {"data_parallel_size": 2, "expert_parallel": True, "all2all_backend": "nixl_ep"}
    assert raised(AWQ, "0.20.0", **split) == (
        "NameError: name 'NixlEPPrepareAndFinalize' is not defined"
    )


def test_from_0_24_the_dispatch_is_missed_before_the_rebalancing() -> None:
    split = {"data_parallel_size": 8, "expert_parallel": True, "all2all_backend": "nixl_ep"}
    assert raised(AWQ, "0.23.0", enable_eplb=True, **split) == (
        "NotImplementedError: EPLB is not supported AWQMarlinMoEMethod."
    )
    assert raised(AWQ, "0.33.0", enable_eplb=True, **split) == (
        "NameError: name 'NixlEPPrepareAndFinalize' is not defined"
    )


def test_granites_recurrent_layers_have_no_class_in_0_25() -> None:
    # Transformers 5.13 renames them before vLLM has a class under the new word.
    assert raised(GRANITE, "0.24.0") is None
    assert raised(GRANITE, "0.25.0") == raised(GRANITE, "0.25.1") == "KeyError: 'linear_attention'"
    assert raised(GRANITE, "0.26.0") is None


def test_static_fp8_inputs_of_mxfp4_weights_are_symmetric_from_0_30() -> None:
    # amd/gpt-oss-120b-w-mxfp4-a-fp8
    inputs: dict[str, Any] = {
        "dtype": "fp8_e4m3",
        "qscheme": "per_tensor",
        "is_dynamic": False,
        "symmetric": None,
    }
    weights = {
        "dtype": "fp4",
        "qscheme": "per_group",
        "group_size": 32,
        "scale_format": "e8m0",
        "is_dynamic": False,
    }
    quark = {
        "quant_method": "quark",
        "global_quant_config": {"weight": weights, "input_tensors": inputs},
        "layer_quant_config": {},
        "export": {"kv_cache_group": []},
        "exclude": ["lm_head", "re:.*attn.*", "*router*"],
    }
    config = GPT_OSS | {"quantization_config": quark}
    assert ask(config, "0.29.0", "10.0").oracle == "mxfp4"
    assert raised(config, "0.30.0") == "RuntimeError: Unsupported FusedMoe scheme"
    inputs["symmetric"] = True
    assert ask(config, "0.33.0", "10.0").oracle == "mxfp4"


# Intel/Qwen3-Next-80B-A3B-Instruct-int4-mixed-AutoRound
QWEN3_NEXT: dict[str, Any] = {
    "architectures": ["Qwen3NextForCausalLM"],
    "model_type": "qwen3_next",
    "torch_dtype": "bfloat16",
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "full_attention_interval": 4,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "num_hidden_layers": 8,
}


def test_a_hybrid_model_has_one_kind_of_attention_in_each_layer() -> None:
    plain = {"bits": 16}
    gates = {f"model.layers.{n}.linear_attn.in_proj_ba": plain for n in (0, 1, 2, 4, 5, 6)}
    named = gates | {f"model.layers.{n}.self_attn.o_proj": {"bits": 8} for n in (3, 7)}
    split = {"tensor_parallel_size": 4, "expert_parallel": True}
    assert ask(rounded(QWEN3_NEXT, named), "0.20.0", **split).backend == "MARLIN"
    # A layer of linear attention that stays quantized has too few rows for four ranks.
    rest = {key: value for key, value in named.items() if "layers.5." not in key}
    assert raised(rounded(QWEN3_NEXT, rest), "0.20.0", **split) == (
        "ValueError: Failed to find a kernel that can implement the WNA16 linear layer. Reasons: "
    )
    # The config's own list of words goes before the interval.
    words = ["linear_attention"] * 3 + ["full_attention"]
    listed = QWEN3_NEXT | {"layer_types": words[::-1] * 2}
    assert raised(rounded(listed, named), "0.20.0", **split) is not None
    assert (
        raised(rounded(QWEN3_NEXT | {"layer_types": words * 2}, named), "0.20.0", **split) is None
    )


def test_qwen3_omnis_audio_tower_wants_as_many_ranks_as_divide_its_heads() -> None:
    # Qwen/Qwen3-Omni-30B-A3B-Thinking
    text = {key: value for key, value in AWQ.items() if key != "quantization_config"}
    omni = {
        "architectures": ["Qwen3OmniMoeForConditionalGeneration"],
        "model_type": "qwen3_omni_moe",
        "thinker_config": {
            "model_type": "qwen3_omni_moe_thinker",
            "dtype": "bfloat16",
            "text_config": text | {"model_type": "qwen3_omni_moe_text", "num_attention_heads": 32},
            "audio_config": {"encoder_attention_heads": 20},
        },
    }
    assert raised(omni, "0.28.0", tensor_parallel_size=8) == (
        "AssertionError: 20 is not divisible by 8"
    )
    assert raised(omni, "0.28.0", tensor_parallel_size=4) is None
    assert raised(omni, "0.29.0", tensor_parallel_size=8) is None


def test_minimax_m3_scales_in_its_router_from_0_26_to_0_30() -> None:
    # nvidia/MiniMax-M3-NVFP4: a scaled router is no routing that the monolithic kernel knows.
    layer = {"quant_algo": "NVFP4", "group_size": 16}
    config: dict[str, Any] = {
        "architectures": ["MiniMaxM3SparseForConditionalGeneration"],
        "model_type": "minimax_m3_vl",
        "dtype": "bfloat16",
        "text_config": {
            "model_type": "minimax_m3_vl_text",
            "hidden_size": 6144,
            "intermediate_size": 3072,
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
            "num_hidden_layers": 2,
            "moe_layer_freq": [0, 1],
            "use_routing_bias": True,
            "scoring_func": "sigmoid",
            "routed_scaling_factor": 2.0,
            "swiglu_limit": 7.0,
        },
        "quantization_config": {
            "quant_method": "modelopt",
            "quant_algo": "MIXED_PRECISION",
            "quantized_layers": {
                f"language_model.model.layers.1.block_sparse_moe.experts.{n}.{w}": layer
                for n in range(128)
                for w in ("w1", "w2", "w3")
            },
        },
    }
    kernels = {
        version: ask(config, version, "10.0").kernel
        for version in ("0.25.0", "0.26.0", "0.30.0", "0.31.0")
    }
    assert kernels == {
        "0.25.0": "TrtLlmNvFp4ExpertsMonolithic",
        "0.26.0": "TrtLlmNvFp4ExpertsModular",
        "0.30.0": "TrtLlmNvFp4ExpertsModular",
        "0.31.0": "TrtLlmNvFp4ExpertsMonolithic",
    }


def test_qwen3_5_with_its_tower_leaves_deep_gemm_out_on_blackwell_from_0_33() -> None:
    text = {
        "model_type": "qwen3_5_moe_text",
        "num_hidden_layers": 4,
        "layer_types": ["linear_attention"] * 3 + ["full_attention"],
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "hidden_size": 2048,
        "num_experts": 256,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
    }
    config = {
        "architectures": ["Qwen3_5MoeForConditionalGeneration"],
        "model_type": "qwen3_5_moe",
        "text_config": text,
        "quantization_config": {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "weight_block_size": [128, 128],
            "modules_to_not_convert": ["visual", "model.visual"],
        },
    }
    model = parse_model(config, id="m", source="directory")
    low_latency = Deployment(
        data_parallel_size=8, expert_parallel=True, all2all_backend="deepep_low_latency"
    )
    rebalanced = Deployment(tensor_parallel_size=4, expert_parallel=True, enable_eplb=True)
    for release, capability, expected in (
        ("0.32.0", "10.0", ("BATCHED_DEEPGEMM", "DEEPGEMM")),
        ("0.33.0", "10.0", ("BATCHED_TRITON", "TRITON")),
        ("0.33.0", "9.0", ("BATCHED_DEEPGEMM", "FLASHINFER_CUTLASS")),
    ):
        machine = emulated_machine(release, capability, "docker")
        found = [
            select_layers(model, asked, machine, Engine("vllm", release), lora=False)[0]
            for asked in (low_latency, rebalanced)
        ]
        assert tuple(one.selection.backend for one in found) == expected
