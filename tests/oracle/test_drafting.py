"""What a release makes of `--speculative-config`: answers of the real vLLM, asked one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moe_doctor import select
from moe_doctor.core.report import Report

V3 = "deepseek-ai/DeepSeek-V3"
KIMI = "moonshotai/Kimi-K2-Instruct"
MTP = {"method": "mtp", "num_speculative_tokens": 1}


def asked(model: str, release: str, config: dict[str, Any], **more: Any) -> Report:
    options = {"gpu": "h100", "lora": False, "offline": True, **more}
    return select(model, engine=f"vllm@{release}", speculative_config=config, level=2, **options)


def refusals(report: Report) -> set[str]:
    found = [one.error for one in report.selections]
    return {"" if error is None else f"{error.type}: {error.message}" for error in found}


def choices(report: Report) -> list[tuple[int, str | None, str | None]]:
    layers = [] if report.model is None else report.model.moe_layers
    return [
        (layers[one.moe_layers].first_layer, one.oracle, one.backend) for one in report.selections
    ]


def test_the_draft_may_have_a_backend_of_its_own() -> None:
    config = {**MTP, "moe_backend": "triton"}
    report = asked(V3, "0.25.1", config, tensor_parallel_size=8, expert_parallel=True)
    assert choices(report) == [(3, "fp8", "FLASHINFER_CUTLASS"), (61, "fp8", "TRITON")]


def test_the_draft_of_deepseek_v4_has_experts() -> None:
    report = asked("deepseek-ai/DeepSeek-V4-Flash", "0.25.1", MTP, tensor_parallel_size=4)
    assert choices(report)[-1] == (43, "deepseek_v4_mxfp4", "MARLIN")


def test_heads_that_do_not_divide_are_the_drafts_first_where_it_is_the_model_itself(
    tmp_path: Path,
) -> None:
    model = {
        "architectures": ["Qwen2MoeForCausalLM"],
        "model_type": "qwen2_moe",
        "num_hidden_layers": 4,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "hidden_size": 3584,
        "num_experts": 64,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 2560,
        "shared_expert_intermediate_size": 20480,
    }
    (tmp_path / "config.json").write_text(json.dumps(model), "utf-8")
    config = {"method": "ngram", "num_speculative_tokens": 1}
    text = "Value error, Total number of attention heads (28) must be divisible by tensor parallel"
    for release in ("0.20.0", "0.33.0"):
        said = refusals(asked(str(tmp_path), release, config, tensor_parallel_size=8))
        assert len(said) == 1
        head = "ValidationError: 1 validation error for SpeculativeConfig\n  "
        assert said.pop().startswith(head + text)


def test_a_refusal_of_the_drafts_backend_leaves_the_models_layers_alone() -> None:
    config = {**MTP, "moe_backend": "flashinfer_trtllm"}
    model, draft = asked(V3, "0.20.0", config, tensor_parallel_size=8).selections
    assert model.error is None
    assert draft.error is not None
    assert draft.error.message == (
        "FP8 MoE backend FLASHINFER_TRTLLM does not support the deployment configuration since "
        "kernel does not support current device cuda."
    )


VALUE = "ValidationError: 1 validation error for SpeculativeConfig\n  Value error, "


@pytest.mark.parametrize(
    ("model", "release", "config", "said"),
    [
        (KIMI, "0.20.0", MTP, "NotImplementedError: Unsupported speculative method: 'mtp'"),
        (
            V3,
            "0.25.1",
            {"method": "mtp"},
            f"{VALUE}num_speculative_tokens must be provided with speculative model unless the "
            "draft model config contains an n_predict parameter.",
        ),
        (
            V3,
            "0.20.0",
            {"method": "dflash", "num_speculative_tokens": 1},
            f"{VALUE}num_speculative_tokens was provided but without speculative model.",
        ),
        (
            V3,
            "0.33.0",
            {"method": "suffix", "num_speculative_tokens": 2},
            "ImportError: Arctic Inference is required for suffix decoding. Install via "
            "`pip install arctic-inference==0.1.1`.",
        ),
        (
            V3,
            "0.18.1",
            {**MTP, "draft_tensor_parallel_size": 3},
            f"{VALUE}speculative_draft_tensor_parallel_size=3 cannot be other value than 1 or "
            "target model tensor_parallel_size",
        ),
        (
            V3,
            "0.18.1",
            {**MTP, "moe_backend": "triton"},
            "ValidationError: 1 validation error for SpeculativeConfig\nmoe_backend\n"
            "  Unexpected keyword argument",
        ),
        (
            V3,
            "0.33.0",
            {"method": "mtp", "num_speculative_tokens": 0},
            "ValidationError: 1 validation error for SpeculativeConfig\nnum_speculative_tokens\n"
            "  Input should be greater than 0",
        ),
        (
            V3,
            "0.20.0",
            {**MTP, "moe_backend": "humming"},
            "ValidationError: 1 validation error for SpeculativeConfig\nmoe_backend\n"
            "  Input should be 'auto', 'triton', 'deep_gemm', 'deep_gemm_mega_moe', 'cutlass', "
            "'flashinfer_trtllm', 'flashinfer_cutlass', 'flashinfer_cutedsl', 'marlin', 'aiter' "
            "or 'emulation'",
        ),
        (
            "deepseek-ai/DeepSeek-R1",
            "0.25.1",
            {**MTP, "quantization": "awq"},
            f"{VALUE}Quantization method specified in the model config (fp8) does not match the "
            "quantization method specified in the `quantization` argument (awq).",
        ),
        (
            V3,
            "0.25.1",
            {"method": "draft_model", "model": V3},
            "TypeError: '>' not supported between instances of 'NoneType' and 'int'",
        ),
        (
            V3,
            "0.20.0",
            {"method": "eagle3", "num_speculative_tokens": 1, "model": "Qwen/Qwen3-0.6B"},
            f"{VALUE}Model architectures ['Eagle3Qwen3ForCausalLM'] are not supported for now.",
        ),
        (
            "MiniMaxAI/MiniMax-M2.5",
            "0.20.0",
            {"num_speculative_tokens": 1, "model": "Qwen/Qwen3-30B-A3B-FP8"},
            f"{VALUE}Target and draft model should have the same vocabulary size. Target model "
            "vocab_size=200064. Draft model vocab_size=151936. Using models with different "
            "tokenizers can cause out-of-bounds errors during speculative decoding.",
        ),
    ],
)
def test_a_server_that_cannot_draft_does_not_start(
    model: str, release: str, config: dict[str, Any], said: str
) -> None:
    assert refusals(asked(model, release, config)) == {said}


def test_values_of_a_method_are_those_of_the_release() -> None:
    (said,) = refusals(asked(V3, "0.18.1", {"method": "dspark", "num_speculative_tokens": 2}))
    assert said == (
        "ValidationError: 1 validation error for SpeculativeConfig\nmethod\n  Input should be "
        "'ngram', 'medusa', 'mlp_speculator', 'draft_model', 'suffix', 'eagle', 'eagle3', "
        "'extract_hidden_states', 'deepseek_mtp', 'mimo_mtp', 'glm4_moe_mtp', "
        "'glm4_moe_lite_mtp', 'glm_ocr_mtp', 'ernie_mtp', 'nemotron_h_mtp', 'exaone_moe_mtp', "
        "'qwen3_next_mtp', 'qwen3_5_mtp', 'longcat_flash_mtp', 'mtp', 'pangu_ultra_moe_mtp', "
        "'step3p5_mtp' or 'ngram_gpu'"
    )


def test_what_model_config_refuses_comes_first_and_vllm_config_last() -> None:
    """0.18.1 does not know the architecture; float32 and FP8 meet in VllmConfig."""
    (first,) = refusals(asked("deepseek-ai/DeepSeek-V4-Flash", "0.18.1", {"method": "mtp"}))
    assert "1 validation error for ModelConfig" in first
    (last,) = refusals(asked(V3, "0.18.1", {"method": "mtp"}, dtype="float32"))
    assert "1 validation error for SpeculativeConfig" in last
    (alone,) = refusals(asked(V3, "0.18.1", MTP, dtype="float32"))
    assert "1 validation error for VllmConfig" in alone


def test_ngram_drafts_without_layers() -> None:
    report = asked(V3, "0.25.1", {"method": "ngram", "num_speculative_tokens": 2})
    assert choices(report) == [(3, "fp8", "TRITON")]


def test_exaone_needs_no_prefix_cache_until_0_20(tmp_path: Path) -> None:
    config = {
        "architectures": ["ExaoneMoEForCausalLM"],
        "model_type": "exaone_moe",
        "num_hidden_layers": 4,
        "num_nextn_predict_layers": 1,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "hidden_size": 6144,
        "moe_intermediate_size": 2048,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    said = "AssertionError: ExaoneMoeMTP currently does not support prefix caching"
    assert refusals(asked(str(tmp_path), "0.18.1", MTP)) == {said}
    assert refusals(asked(str(tmp_path), "0.20.0", MTP)) == {""}


def test_0_30_spreads_the_experts_of_a_draft_without_any() -> None:
    config = {"num_speculative_tokens": 2, "model": "Qwen/Qwen3-0.6B", "method": "draft_model"}
    spread = {"data_parallel_size": 2, "expert_parallel": True}
    said = (
        f"{VALUE}Number of experts in the model must be greater than 0 when expert parallelism is "
        "enabled."
    )
    model = "Qwen/Qwen3-30B-A3B"
    assert refusals(asked(model, "0.30.0", config, **spread)) == {said}
    assert refusals(asked(model, "0.31.0", config, **spread)) == {""}


def test_a_wrapper_of_qwen_without_mtp_layers_fails_in_its_draft_until_0_30(
    tmp_path: Path,
) -> None:
    text = {
        "model_type": "qwen3_5_moe_text",
        "num_hidden_layers": 4,
        "num_experts": 8,
        "mtp_num_hidden_layers": 0,
    }
    config = {
        "architectures": ["Qwen3_5MoeForConditionalGeneration"],
        "model_type": "qwen3_5_moe",
        "text_config": text,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert refusals(asked(str(tmp_path), "0.29.0", MTP)) == {
        "RuntimeError: No Qwen3Next layer found in the model.layers."
    }
    assert refusals(asked(str(tmp_path), "0.30.0", MTP)) == {
        "ZeroDivisionError: integer modulo by zero"
    }
