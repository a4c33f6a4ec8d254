"""What a release refuses before its oracle is asked: architectures, LoRA, options, sizes."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.release import Release
from moe_doctor.core.spec import ModelSpec, MoELayers, MoESpec, RoutingSpec
from moe_doctor.oracle.engines.vllm.architectures.index import TABLE, find_row
from moe_doctor.oracle.engines.vllm.architectures.lora import supports_lora
from moe_doctor.oracle.engines.vllm.architectures.registered import (
    first_release,
    last_release,
    serving_class,
)
from moe_doctor.oracle.engines.vllm.layers import EngineRefusal, LayerQuery, build_query

PLAIN_LAYERS = (MoELayers(MoESpec(64, 6, 2048, 1408), (0,)),)


def ask(
    architecture: str,
    release: Release,
    *,
    lora: bool = False,
    platform: str = "cuda",
    model_type: str = "deepseek_v4",
    spec: dict[str, Any] | None = None,
    **deployment: Any,
) -> LayerQuery | EngineRefusal:
    geometry = {"num_experts": 64, "top_k": 6, "hidden_size": 2048, "intermediate_size": 1408}
    model = ModelSpec(
        id="org/name",
        source="directory",
        architecture=architecture,
        model_type=model_type,
        moe_layers=(MoELayers(MoESpec(**{**geometry, **(spec or {})}), (0,)),),
    )
    return build_query(
        model, 0, Deployment(**deployment), release=release, platform=platform, lora=lora
    )


def refused(result: LayerQuery | EngineRefusal) -> EngineRefusal:
    assert isinstance(result, EngineRefusal), result
    return result


def test_an_architecture_that_comes_later_names_its_first_release() -> None:
    result = refused(ask("DeepseekV4ForCausalLM", (0, 19, 1)))
    assert result.stage == "config"
    assert result.error.type == "ValidationError"
    assert "model type `deepseek_v4` but Transformers does not recognize" in result.error.message
    assert result.reason.endswith("0.20.0 is the first that does")


def test_an_architecture_that_nobody_has_is_listed_as_unsupported() -> None:
    result = refused(ask("TotallyNewForCausalLM", (0, 33, 0), model_type="mixtral"))
    assert "Model architectures ['TotallyNewForCausalLM'] are not supported" in result.error.message


def test_a_removed_architecture_names_the_last_release_that_had_it() -> None:
    model = ModelSpec("", "", "Grok1ForCausalLM", "grok-1", PLAIN_LAYERS, own_config=True)
    result = refused(
        build_query(model, 0, Deployment(), release=(0, 25, 0), platform="cuda", lora=False)
    )
    assert "was supported in vLLM until v0.24.0" in result.error.message
    assert result.reason.endswith("0.24.0 was the last that did")


def test_a_model_type_without_code_is_refused_before_its_architecture() -> None:
    """arctic's config class left vLLM with 0.29, its model class with 0.29 too."""
    result = refused(ask("ArcticForCausalLM", (0, 33, 0), model_type="arctic"))
    assert "model type `arctic` but Transformers does not recognize" in result.error.message
    assert result.reason.endswith("0.28.0 was the last that did")


def test_a_classifier_or_an_embedding_model_is_its_generative_model() -> None:
    """registry.py _normalize_arch: the suffix is exchanged until the registry has the name."""
    for name in ("Qwen3MoeForSequenceClassification", "Qwen3MoeModel", "Qwen3MoeForRewardModeling"):
        assert serving_class(name, (0, 20, 0)) == "native"
        assert find_row(name, (0, 20, 0), "native") == TABLE["Qwen3MoeForCausalLM"][-1]
    assert serving_class("NobodyMoeForSequenceClassification", (0, 20, 0)) is None


def test_a_wrapper_is_served_as_the_language_model_in_it() -> None:
    wrapper = "LlavaForConditionalGeneration"
    row = find_row(wrapper, (0, 33, 0), "native", "Glm4MoeForCausalLM")
    assert row is not None
    assert row.router_dtype == "float32"
    model = ModelSpec("", "", wrapper, "llava", PLAIN_LAYERS, text_architecture="HYV3ForCausalLM")
    result = refused(
        build_query(model, 0, Deployment(), release=(0, 19, 0), platform="cuda", lora=False)
    )
    assert result.stage == "model"
    assert result.error.message.startswith("Model architectures ['HYV3ForCausalLM'] are not")
    assert result.reason.endswith("0.20.0 is the first that does")


def test_a_removed_architecture_that_transformers_has_runs_on_the_generic_class() -> None:
    assert serving_class("Dots1ForCausalLM", (0, 23, 0)) == "native"
    assert serving_class("Dots1ForCausalLM", (0, 24, 0)) == "transformers"
    assert find_row("Dots1ForCausalLM", (0, 24, 0), "transformers").method == "Custom"


def test_a_name_may_go_and_come_back() -> None:
    releases = ((0, 26, 0), (0, 27, 0), (0, 32, 0))
    assert [serving_class("ExaoneMoEForCausalLM", release) for release in releases] == [
        "native",
        None,
        "native",
    ]
    assert first_release("ExaoneMoEForCausalLM", (0, 27, 0)) == (0, 32, 0)
    assert last_release("ExaoneMoEForCausalLM", (0, 27, 0)) == (0, 26, 0)


@pytest.mark.parametrize("architecture", sorted(TABLE))
def test_every_row_belongs_to_an_architecture_that_some_release_serves(architecture: str) -> None:
    rows = TABLE[architecture]
    assert list(rows) == sorted(rows, key=lambda row: row.since)
    assert all(row.source.startswith(("model_executor/models/", "models/")) for row in rows)
    assert any(serving_class(architecture, (0, minor, 0)) is not None for minor in range(16, 34))


def test_lora_without_support_is_refused_by_0_33() -> None:
    result = refused(ask("KimiK25ForConditionalGeneration", (0, 33, 0), lora=True))
    assert result.stage == "config"
    assert "LoRA is not supported for KimiK25ForConditionalGeneration (org/name)" in (
        result.error.message
    )


def test_lora_without_support_crashes_after_loading_before_0_33() -> None:
    result = ask("MiniMaxM1ForCausalLM", (0, 20, 0), lora=True)
    assert isinstance(result, LayerQuery)
    assert result.crash is not None
    assert result.crash.message == "MiniMaxText01ForCausalLM does not support LoRA yet."


def test_lora_with_support_neither_crashes_nor_is_refused() -> None:
    result = ask("Qwen3MoeForCausalLM", (0, 33, 0), lora=True)
    assert isinstance(result, LayerQuery)
    assert result.crash is None
    assert result.query.lora


def test_lora_support_may_arrive_with_a_release() -> None:
    assert not supports_lora("Gemma4ForConditionalGeneration", (0, 19, 1))
    assert supports_lora("Gemma4ForConditionalGeneration", (0, 20, 0))


def test_lora_is_refused_with_a_megakernel_by_0_33() -> None:
    deployment = {"moe_backend": "deep_gemm_mega_moe"}
    result = refused(ask("Qwen3MoeForCausalLM", (0, 33, 0), lora=True, **deployment))
    assert "LoRA is not supported with moe_backend='deep_gemm_mega_moe'" in result.error.message


def test_moe_backend_is_no_option_of_0_16() -> None:
    result = refused(ask("Qwen3MoeForCausalLM", (0, 16, 0), moe_backend="triton"))
    assert result.stage == "args"
    assert result.error.message == "unrecognized arguments: --moe-backend triton"


@pytest.mark.parametrize(
    ("option", "value", "too_early", "known"),
    [
        ("moe_backend", "batched_triton", (0, 26, 0), (0, 27, 0)),
        ("moe_backend", "humming", (0, 20, 2), (0, 21, 0)),
        ("all2all_backend", "nixl_ep", (0, 17, 1), (0, 18, 0)),
        ("all2all_backend", "deepep_v2", (0, 23, 0), (0, 24, 0)),
    ],
)
def test_a_value_that_comes_later_is_an_invalid_choice(
    option: str, value: str, too_early: Release, known: Release
) -> None:
    result = refused(ask("Qwen3MoeForCausalLM", too_early, **{option: value}))
    assert result.stage == "args"
    assert f"invalid choice: '{value}'" in result.error.message
    assert isinstance(ask("Qwen3MoeForCausalLM", known, **{option: value}), LayerQuery)


def test_dbrx_refuses_expert_parallelism() -> None:
    result = refused(
        ask("DbrxForCausalLM", (0, 20, 0), tensor_parallel_size=2, expert_parallel=True)
    )
    assert "Number of experts in the model must be greater than 0" in result.error.message


def test_eplb_without_expert_parallelism_is_refused() -> None:
    result = refused(ask("Qwen3MoeForCausalLM", (0, 20, 0), enable_eplb=True))
    assert "enable_expert_parallel must be True to use EPLB." in result.error.message


def test_eplb_needs_an_even_distribution() -> None:
    sizes = {"tensor_parallel_size": 3, "expert_parallel": True, "enable_eplb": True}
    assert refused(ask("Qwen3MoeForCausalLM", (0, 20, 0), **sizes)).error.type == "AssertionError"
    later = refused(ask("Qwen3MoeForCausalLM", (0, 22, 0), **sizes)).error
    assert later.type == "ValueError"
    assert later.message.endswith("Got 64 experts and 3 EP ranks.")


def test_a_width_that_does_not_divide_fails_an_assertion() -> None:
    result = refused(ask("Qwen2MoeForCausalLM", (0, 20, 0), tensor_parallel_size=24))
    assert result.stage == "model"
    assert result.error.type == "AssertionError"
    assert "1408 does not divide by the 24 ranks" in result.reason


def test_more_ranks_than_experts_are_refused_by_the_model_class() -> None:
    spec = {"num_experts": 8, "top_k": 2, "intermediate_size": 14336}
    result = refused(ask("Qwen3MoeForCausalLM", (0, 20, 0), spec=spec, tensor_parallel_size=16))
    assert result.error.message == (
        "Tensor parallel size 16 is greater than the number of experts 8."
    )


def test_mixtral_has_no_such_bound() -> None:
    spec = {"num_experts": 8, "top_k": 2, "intermediate_size": 14336}
    result = ask("MixtralForCausalLM", (0, 20, 0), spec=spec, tensor_parallel_size=16)
    assert isinstance(result, LayerQuery)
    assert result.query.intermediate_size_per_partition == 896


def test_an_activation_that_comes_later_is_refused() -> None:
    spec = {"activation": "gelu_tanh"}
    result = refused(ask("", (0, 20, 0), spec=spec))
    assert result.error.message == "Unknown MoE activation: 'gelu_tanh'."
    assert isinstance(ask("", (0, 21, 0), spec=spec), LayerQuery)


def test_experts_without_a_gate_do_not_run_on_cpu() -> None:
    spec = {"activation": "relu2", "gated": False}
    early = ask("NemotronHForCausalLM", (0, 20, 0), spec=spec, platform="cpu")
    assert isinstance(early, LayerQuery)
    assert early.late is not None  # after the oracle has answered, until 0.23.0
    assert early.late.error.type == "NotImplementedError"
    result = refused(ask("NemotronHForCausalLM", (0, 24, 0), spec=spec, platform="cpu"))
    assert result.error.type == "NotImplementedError"
    assert isinstance(
        ask("NemotronHForCausalLM", (0, 24, 0), spec=spec, platform="xpu"), LayerQuery
    )


def test_passthrough_belongs_to_backends_that_dispatch_themselves() -> None:
    own = {"moe_backend": "flashinfer_moe_ep_mega_deep_gemm"}
    result = ask("DeepseekV4ForCausalLM", (0, 33, 0), **own)
    assert isinstance(result, LayerQuery)
    assert result.query.parallel.all2all_backend == "passthrough"
    alone = refused(ask("Qwen3MoeForCausalLM", (0, 33, 0), all2all_backend="passthrough"))
    assert "only valid with a moe_backend that dispatches" in alone.error.message


def test_moonep_carries_bfloat16_only() -> None:
    sizes = {"data_parallel_size": 8, "expert_parallel": True, "all2all_backend": "moonep"}
    result = refused(ask("Qwen3MoeForCausalLM", (0, 33, 0), dtype="half", **sizes))
    assert "supports BF16 models only; got dtype=torch.float16" in result.error.message
    assert isinstance(ask("Qwen3MoeForCausalLM", (0, 33, 0), **sizes), LayerQuery)


def test_transformers_own_experts_ask_no_oracle() -> None:
    """Doge and JetMoE keep their experts under names that vLLM does not replace."""
    for name in ("DogeForCausalLM", "JetMoeForCausalLM"):
        result = ask(name, (0, 33, 0), model_type="doge")
        assert isinstance(result, LayerQuery)
        assert result.unasked.endswith("leaves these experts to Transformers' own code")


def test_a_class_that_calls_triton_itself_asks_no_oracle() -> None:
    for name in ("MiniCPMForCausalLM", "NomicBertModel", "HfMoondream"):
        result = ask(name, (0, 26, 0), model_type="minicpm")
        assert isinstance(result, LayerQuery)
        assert result.unasked.endswith("calls Triton's fused_experts itself")


def test_the_transformers_backend_wants_transformers_5_for_experts() -> None:
    result = refused(ask("DogeForCausalLM", (0, 16, 0), model_type="doge"))
    assert (result.stage, result.error.type) == ("model", "ImportError")
    assert result.error.message.endswith("but got 4.57.6")


def test_a_transformers_class_without_a_plan_is_not_split_before_0_25() -> None:
    result = refused(
        ask("PhimoeForCausalLM", (0, 24, 0), model_type="phimoe", tensor_parallel_size=2)
    )
    assert "modeling_phimoe.PhimoeModel'> does not support tensor parallel" in result.error.message
    for release, size in (((0, 24, 0), 1), ((0, 25, 0), 2)):
        result = ask("PhimoeForCausalLM", release, model_type="phimoe", tensor_parallel_size=size)
        assert isinstance(result, LayerQuery)
        assert result.query.routing_method == "Custom"


def test_the_text_class_of_qwen3_5_was_built_as_the_multimodal_one() -> None:
    result = refused(ask("Qwen3_5MoeForCausalLM", (0, 26, 0), model_type="qwen3_5_moe_text"))
    assert result.error.type == "AttributeError"
    assert result.error.message.endswith("has no attribute 'vision_config'")
    assert isinstance(ask("Qwen3_5MoeForCausalLM", (0, 27, 0)), LayerQuery)


def test_grok_2_does_not_renormalise() -> None:
    routing = RoutingSpec(renormalize=False)
    result = ask("Grok1ForCausalLM", (0, 20, 0), model_type="git", spec={"routing": routing})
    assert isinstance(result, LayerQuery)
    assert result.query.routing_method == "Default"


def test_the_transformers_backend_runs_silu_whatever_the_checkpoint_says() -> None:
    result = ask("ZayaForCausalLM", (0, 26, 0), model_type="zaya", spec={"activation": "gelu"})
    assert isinstance(result, LayerQuery)
    assert result.query.activation == "silu"
