"""What a release refuses before it builds an expert: sizes, options and their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import moe_doctor
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.release import Release
from moe_doctor.core.report import Engine
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.core.spec import (
    AttentionSpec,
    ModelSpec,
    MoELayers,
    MoESpec,
    QuantSpec,
    RecurrentSpec,
)
from moe_doctor.oracle.answer import select_layers
from moe_doctor.oracle.engines.vllm.layers import EngineRefusal, LayerQuery, build_query
from moe_doctor.oracle.engines.vllm.start_refusals import refuse_mori
from tests.truth import emulated_machine

QWEN3 = AttentionSpec(heads=32, kv_heads=4, vocabulary=151936)


def ask(
    release: Release,
    *,
    architecture: str = "Qwen3MoeForCausalLM",
    attention: AttentionSpec = QWEN3,
    lora: bool = False,
    num_experts: int = 128,
    **deployment: Any,
) -> LayerQuery | EngineRefusal:
    layers = (MoELayers(MoESpec(num_experts, 2, 2048, 768), (0,)),)
    model = ModelSpec("m", "", architecture, "", layers, attention=attention)
    return build_query(
        model, 0, Deployment(**deployment), release=release, platform="cuda", lora=lora
    )


def said(result: LayerQuery | EngineRefusal | None) -> str:
    assert isinstance(result, EngineRefusal), result
    return f"{result.error.type}: {result.error.message}"


@pytest.mark.parametrize("release", [(0, 16, 0), (0, 24, 0), (0, 33, 0)])
def test_redundant_experts_are_experts_of_the_layer(release: Release) -> None:
    split = {"data_parallel_size": 8, "expert_parallel": True}
    asked = ask(release, enable_eplb=True, num_redundant_experts=32, **split)
    assert isinstance(asked, LayerQuery)
    assert (asked.query.num_experts, asked.query.num_local_experts) == (160, 20)
    odd = said(ask(release, enable_eplb=True, num_redundant_experts=4, **split))
    assert "EPLB currently only supports even distribution of experts across ranks." in odd
    assert odd.endswith(" Got 132 experts and 8 EP ranks.") == (release >= (0, 22, 0))


def test_redundant_experts_want_rebalancing() -> None:
    assert said(ask((0, 33, 0), num_redundant_experts=2)) == (
        "ValidationError: 1 validation error for ParallelConfig\n  Value error, "
        "num_redundant_experts is set to 2 but EPLB is not enabled. Either enable EPLB or unset "
        "num_redundant_experts."
    )


@pytest.mark.parametrize("release", [(0, 16, 0), (0, 22, 1), (0, 33, 0)])
def test_heads_have_to_divide_among_the_ranks(release: Release) -> None:
    assert said(ask(release, tensor_parallel_size=6)) == (
        "ValidationError: 1 validation error for VllmConfig\n  Value error, Total number of "
        "attention heads (32) must be divisible by tensor parallel size (6)."
    )
    assert isinstance(ask(release, tensor_parallel_size=8), LayerQuery)


def test_a_model_without_a_head_count_is_not_judged_by_it() -> None:
    assert isinstance(
        ask((0, 20, 0), attention=AttentionSpec(), tensor_parallel_size=6), LayerQuery
    )


def test_until_0_19_the_states_of_a_hybrid_model_are_divided_first() -> None:
    # nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B: 8 groups become 6 for 6 ranks, 5632 = 4096 + 2*6*128.
    hybrid = AttentionSpec(32, 2, 131072, recurrent=RecurrentSpec(64, 64, 8, 128, True))
    old = ask((0, 19, 1), attention=hybrid, tensor_parallel_size=6)
    assert said(old) == (
        "ValidationError: 1 validation error for VllmConfig\n"
        "  Assertion failed, 5632 is not divisible by 6"
    )
    assert "attention heads (32)" in said(ask((0, 20, 0), attention=hybrid, tensor_parallel_size=6))
    # Qwen/Qwen3.5-397B-A17B: 12288 channels divide by 12, its 64 value heads do not.
    delta = AttentionSpec(32, 2, 248320, recurrent=RecurrentSpec(64, 128, 16, 128))
    text = said(ask((0, 19, 1), attention=delta, tensor_parallel_size=12))
    assert text.endswith("Assertion failed, 64 is not divisible by 12")


def test_key_heads_have_to_divide_or_be_divided() -> None:
    # MiniMax-M2: 48 heads divide by 3, 8 key heads do not; the assertion has no text.
    minimax = AttentionSpec(heads=48, kv_heads=8, vocabulary=200064)
    for ranks in (3, 6, 12):
        refused = ask(
            (0, 24, 0),
            architecture="MiniMaxM2ForCausalLM",
            attention=minimax,
            tensor_parallel_size=ranks,
            expert_parallel=True,
        )
        assert said(refused) == "AssertionError: "
    # gpt-oss leaves it to QKVParallelLinear, which says the numbers.
    plain = AttentionSpec(heads=48, kv_heads=8, vocabulary=192)
    refused = ask(
        (0, 24, 0), architecture="GptOssForCausalLM", attention=plain, tensor_parallel_size=3
    )
    assert said(refused) == "AssertionError: 8 is not divisible by 3"


def test_a_vocabulary_is_padded_to_64_rows_and_divided() -> None:
    glm = AttentionSpec(heads=96, kv_heads=3, vocabulary=151550)
    refused = ask(
        (0, 24, 0), architecture="Glm4MoeForCausalLM", attention=glm, tensor_parallel_size=3
    )
    assert said(refused) == "AssertionError: 151552 is not divisible by 3"


def test_compressed_keys_are_not_divided() -> None:
    deepseek = AttentionSpec(heads=128, kv_heads=3, vocabulary=129280, latent=True)
    answer = ask(
        (0, 24, 0),
        architecture="DeepseekV3ForCausalLM",
        attention=deepseek,
        tensor_parallel_size=8,
    )
    assert isinstance(answer, LayerQuery)


@pytest.mark.parametrize("rank", [7, 24, 96, 200])
def test_lora_ranks_are_a_fixed_list(rank: int) -> None:
    assert said(ask((0, 18, 0), max_lora_rank=rank)) == (
        f"ArgumentError: argument --max-lora-rank: invalid choice: {rank} (choose from 1, 8, 16, "
        "32, 64, 128, 256, 320, 512)"
    )
    assert isinstance(ask((0, 18, 0), max_lora_rank=320), LayerQuery)


def test_mori_is_refused_where_aiters_experts_are_not() -> None:
    spread = {"data_parallel_size": 2, "expert_parallel": True}
    for release, name in (((0, 20, 2), "mori"), ((0, 33, 0), "mori_low_latency")):
        asked = ask(release, all2all_backend=name, **spread)
        assert isinstance(asked, LayerQuery)
        assert said(refuse_mori(asked.all2all, ())) == (
            "AssertionError: Mori needs to be used with aiter fused_moe for now."
        )
        assert refuse_mori(asked.all2all, {"aiter_fused_moe"}) is None
    # Without data parallelism no all2all is used.
    alone = ask((0, 20, 2), all2all_backend="mori", tensor_parallel_size=2, expert_parallel=True)
    assert isinstance(alone, LayerQuery)
    assert refuse_mori(alone.all2all, ()) is None


@pytest.mark.parametrize(
    ("release", "arch", "variables", "refused"),
    [
        ("0.31.0", "gfx950", {"VLLM_ROCM_USE_AITER": "1", "VLLM_ROCM_USE_AITER_MOE": "0"}, True),
        ("0.26.0", "gfx1201", {"VLLM_ROCM_USE_AITER": "1"}, True),
        ("0.26.0", "gfx942", {"VLLM_ROCM_USE_AITER": "1"}, False),
        ("0.26.0", "gfx942", {}, True),
    ],
)
def test_mori_needs_a_gpu_and_variables_that_turn_aiters_experts_on(
    release: str, arch: str, variables: dict[str, str], refused: bool
) -> None:
    report = moe_doctor.select(
        "MiniMaxAI/MiniMax-M2.5",
        engine=f"vllm@{release}",
        platform="rocm",
        arch=arch,
        env=variables,
        with_=("aiter==99",),
        data_parallel_size=8,
        expert_parallel=True,
        all2all_backend="mori_low_latency",
        lora=False,
        offline=True,
    )
    errors = [one.error.message for one in report.selections if one.error is not None]
    assert any("Mori needs" in message for message in errors) is refused


@pytest.mark.parametrize(
    ("architecture", "model_type"),
    [
        ("Glm4MoeLiteForCausalLM", "glm4_moe_lite"),
        ("HYV3ForCausalLM", "hy_v3"),
        ("ExaoneMoEForCausalLM", "exaone_moe"),
    ],
)
def test_layers_that_are_not_told_of_eplb_keep_no_experts_twice(
    architecture: str, model_type: str, tmp_path: Path
) -> None:
    config = {
        "architectures": [architecture],
        "model_type": model_type,
        "num_experts": 64,
        "num_experts_per_tok": 4,
        "moe_intermediate_size": 1536,
        "num_hidden_layers": 4,
        "hidden_size": 2048,
        "num_attention_heads": 20,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")

    def asked(release: str, redundant: int) -> set[str]:
        report = moe_doctor.select(
            str(tmp_path),
            engine=f"vllm@{release}",
            gpu="h100",
            tensor_parallel_size=2,
            expert_parallel=True,
            enable_eplb=True,
            eplb_config={"num_redundant_experts": redundant},
            lora=False,
        )
        return {"" if one.error is None else one.error.message for one in report.selections}

    assert asked("0.23.0", 32) == {"Redundant experts are only supported with EPLB."}
    assert asked("0.23.0", 0) == {""}
    assert asked("0.24.0", 32) == {"Redundant experts are only supported with EPLB."}
    assert asked("0.33.0", 2) == {"Redundant experts are only supported with EPLB."}


@pytest.mark.parametrize("release", [(0, 16, 0), (0, 21, 0), (0, 26, 0)])
def test_k_exaone_asks_adapters_for_an_option_that_is_gone(release: Release) -> None:
    exaone = {"architecture": "ExaoneMoEForCausalLM"}
    text = "AttributeError: 'LoRAConfig' object has no attribute 'lora_extra_vocab_size'"
    assert said(ask(release, lora=True, **exaone)) == text
    assert isinstance(ask(release, **exaone), LayerQuery)
    assert isinstance(ask((0, 33, 0), lora=True, **exaone), LayerQuery)


def test_pcp_wants_compressed_keys_in_0_27_and_0_28() -> None:
    prefill = {"prefill_context_parallel_size": 2}
    assert said(ask((0, 28, 0), **prefill)).endswith(
        "Value error, Model Runner V2 does not yet support: prefill context parallelism"
    )
    assert isinstance(ask((0, 26, 0), **prefill), LayerQuery)
    assert isinstance(ask((0, 29, 0), **prefill), LayerQuery)
    latent = AttentionSpec(heads=128, vocabulary=129280, latent=True)
    assert isinstance(
        ask((0, 28, 0), architecture="DeepseekV3ForCausalLM", attention=latent, **prefill),
        LayerQuery,
    )


def test_passthrough_is_refused_with_the_backends_that_take_it() -> None:
    assert said(ask((0, 33, 0), all2all_backend="passthrough")) == (
        "ValidationError: 1 validation error for VllmConfig\n  Value error, "
        "all2all_backend='passthrough' is only valid with a moe_backend that dispatches and "
        "combines itself (['flashinfer_moe_ep_cutedsl', 'flashinfer_moe_ep_mega_deep_gemm']), got "
        "moe_backend='auto'."
    )


def test_a_megakernel_is_for_deepseek_v4_alone() -> None:
    name = "flashinfer_moe_ep_mega_deep_gemm"
    assert said(ask((0, 33, 0), moe_backend=name)) == (
        f"ValidationError: 1 validation error for VllmConfig\n  Value error, moe_backend='{name}' "
        "is only supported for DeepSeek-V4 models (['DeepSeekV4MTPModel', "
        "'DeepseekV41ForCausalLM', 'DeepseekV4ForCausalLM']), but the model is "
        "['Qwen3MoeForCausalLM']."
    )


def test_what_the_model_config_refuses_comes_before_the_parallel_sizes() -> None:
    refused = ask((0, 16, 0), architecture="MiniMaxM3SparseForCausalLM", enable_eplb=True)
    assert isinstance(refused, EngineRefusal)
    assert "MiniMaxM3" in refused.reason


def test_a_class_that_does_not_pass_eplb_on_takes_uneven_experts() -> None:
    uneven: dict[str, Any] = {
        "num_experts": 256,
        "data_parallel_size": 3,
        "expert_parallel": True,
        "enable_eplb": True,
    }
    even = AttentionSpec(heads=48, kv_heads=8)
    assert isinstance(
        ask((0, 22, 1), architecture="MiniMaxM2ForCausalLM", attention=even, **uneven), LayerQuery
    )
    assert said(ask((0, 22, 1), **uneven)) == (
        "ValueError: EPLB currently only supports even distribution of experts across ranks. Got "
        "256 experts and 3 EP ranks."
    )


def select(
    release: str,
    *,
    declared: QuantSpec | None = None,
    platform: str = "cuda",
    **deployment: Any,
) -> Selection:
    spec = MoESpec(128, 8, 2048, 768, quantization=declared)
    model = ModelSpec(
        "m",
        "",
        "Qwen3MoeForCausalLM",
        "qwen3_moe",
        (MoELayers(spec, (0,)),),
        attention=QWEN3,
        declared=declared,
    )
    packages = "docker" if platform == "cuda" else "none"
    machine = emulated_machine(release, "9.0", packages, platform=platform)
    answers = select_layers(
        model, Deployment(**deployment), machine, Engine("vllm", release), lora=False
    )
    return answers[0].selection


@pytest.mark.parametrize(
    ("release", "all2all", "name"),
    [
        ("0.18.0", "nixl_ep", "NixlEPPrepareAndFinalize"),
        ("0.24.0", "nixl_ep", "NixlEPPrepareAndFinalize"),
        ("0.28.0", "deepep_v2", "DeepEPV2PrepareAndFinalize"),
    ],
)
def test_a_dispatch_without_its_package_ends_in_a_name_error(
    release: str, all2all: str, name: str
) -> None:
    chosen = select(release, all2all_backend=all2all, data_parallel_size=2, expert_parallel=True)
    assert chosen.outcome is Outcome.ERROR
    assert chosen.error is not None
    assert str(chosen.error.type) == "NameError"
    assert chosen.error.message == f"name '{name}' is not defined"
    # The image has DeepEP, and without data parallelism nothing is dispatched.
    present = {"data_parallel_size": 2, "expert_parallel": True}
    low = select("0.24.0", all2all_backend="deepep_low_latency", **present)
    assert low.outcome is Outcome.SELECTED
    alone = select(release, all2all_backend=all2all, expert_parallel=True, tensor_parallel_size=2)
    assert alone.outcome is Outcome.SELECTED


def test_deepep_is_never_imported_off_cuda_and_rocm() -> None:
    asked = {
        **{"data_parallel_size": 4, "expert_parallel": True},
        "all2all_backend": "deepep_high_throughput",
    }
    for release in ("0.19.1", "0.33.0"):
        chosen = select(release, platform="xpu", **asked)
        assert chosen.error is not None
        assert chosen.error.text == ("NameError: name 'DeepEPHTPrepareAndFinalize' is not defined")
        assert select(release, **asked).error is None


def test_a_wrong_quantization_is_refused_before_the_sizes() -> None:
    declared = QuantSpec(
        "fp8",
        details={
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "weight_block_size": [128, 128],
        },
    )
    both = select("0.19.1", declared=declared, tensor_parallel_size=7)
    assert both.error is not None
    assert "attention heads (32)" in both.error.message
    for sizes in ({"tensor_parallel_size": 7}, {"enable_eplb": True}):
        chosen = select("0.19.1", declared=declared, quantization="experts_int8", **sizes)
        assert chosen.error is not None
        assert chosen.error.message == (
            "1 validation error for ModelConfig\n  Value error, Quantization method specified in "
            "the model config (fp8) does not match the quantization method specified in the "
            "`quantization` argument (experts_int8)."
        )


def test_a_dtype_that_the_method_lacks_is_refused_before_the_model_is_built() -> None:
    declared = QuantSpec(
        "modelopt", "NVFP4", details={"quant_method": "modelopt", "quant_algo": "NVFP4"}
    )
    chosen = select(
        "0.24.0",
        declared=declared,
        dtype="float32",
        all2all_backend="mori_low_latency",
        data_parallel_size=2,
        expert_parallel=True,
    )
    assert chosen.error is not None
    assert "torch.float32 is not supported for quantization method" in chosen.error.message


def test_moonep_carries_no_quantized_experts() -> None:
    declared = QuantSpec(
        "fp8",
        details={
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "weight_block_size": [128, 128],
        },
    )
    for more in ({}, {"enable_eplb": True, "expert_parallel": True, "tensor_parallel_size": 2}):
        chosen = select("0.33.0", declared=declared, all2all_backend="moonep", **more)
        assert chosen.error is not None
        assert chosen.error.message == (
            "1 validation error for VllmConfig\n  Value error, The moonep all2all backend "
            "currently supports unquantized BF16 models only; got quantization='fp8'. Use a "
            "different --all2all-backend for quantized models."
        )


def test_a_method_that_cannot_be_rebalanced_says_so_after_its_oracle() -> None:
    # gpt-oss' class passes no enable_eplb on; from 0.24 the layer reads the parallel config.
    gpt_oss = QuantSpec("mxfp4", details={"quant_method": "mxfp4"})
    spread = {"expert_parallel": True, "tensor_parallel_size": 2, "enable_eplb": True}
    layers = (MoELayers(MoESpec(128, 4, 2880, 2880, quantization=gpt_oss), (0,)),)
    model = ModelSpec("m", "", "GptOssForCausalLM", "gpt_oss", layers, declared=gpt_oss)
    for release, refused in (("0.22.1", False), ("0.31.0", True)):
        machine = emulated_machine(release, "9.0", "docker")
        answer = select_layers(
            model, Deployment(**spread), machine, Engine("vllm", release), lora=False
        )[0].selection
        assert (answer.outcome is Outcome.ERROR) is refused, (release, answer.error)
        if refused:
            assert answer.error is not None
            assert answer.error.message == "EPLB is not supported GptOssMxfp4MoEMethod."
            assert answer.trace


def test_pcp_beside_data_parallelism_is_refused_from_0_26_to_0_30() -> None:
    both = {"prefill_context_parallel_size": 2, "data_parallel_size": 2}
    latent = AttentionSpec(heads=128, vocabulary=129280, latent=True)
    asked: dict[str, Any] = {"architecture": "DeepseekV3ForCausalLM", "attention": latent, **both}
    assert said(ask((0, 29, 0), **asked)).endswith("PCP does not support data parallelism yet.")
    assert said(ask((0, 30, 0), **asked)).endswith(
        "PCP does not support data parallelism on CUDA yet."
    )
    assert isinstance(ask((0, 31, 0), **asked), LayerQuery)


def test_deepseek_v4_runs_the_megakernel_without_an_oracle() -> None:
    v4: dict[str, Any] = {
        "architecture": "DeepseekV4ForCausalLM",
        "attention": AttentionSpec(heads=64, vocabulary=129280, latent=True),
        "moe_backend": "deep_gemm_mega_moe",
        "tensor_parallel_size": 8,
    }
    assert said(ask((0, 20, 2), **v4)).startswith(
        "NotImplementedError: DeepSeek V4 MegaMoE currently requires expert parallel."
    )
    spread = ask((0, 20, 2), expert_parallel=True, **v4)
    assert isinstance(spread, LayerQuery)
    assert spread.unasked.endswith("runs DeepGEMM's megakernel itself")
