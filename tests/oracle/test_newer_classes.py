"""Classes of the newest releases, as they were seen to build their layers."""

from __future__ import annotations

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.spec import ModelSpec, MoELayers, MoESpec, RoutingSpec
from moe_doctor.oracle.engines.vllm.layers import EngineRefusal, LayerQuery, build_query


def query_of(architecture: str, spec: MoESpec) -> MoEQuery:
    model = ModelSpec("", "", architecture, "", (MoELayers(spec, (0,)),))
    built = build_query(model, 0, Deployment(), release=(0, 33, 0), platform="cuda", lora=False)
    assert isinstance(built, LayerQuery)
    return built.query


def test_step_5_routes_in_float32() -> None:
    routing = RoutingSpec(scoring="sigmoid", has_correction_bias=True, scaling_factor=3.0)
    query = query_of("Step5ForCausalLM", MoESpec(288, 8, 4096, 1280, "swiglustep", routing=routing))
    assert (query.router_logits_dtype, query.routing_method) == ("float32", "MiniMax2")
    assert query.activation == "swiglustep"


def test_kimi_k3_hands_its_betas_on() -> None:
    spec = MoESpec(256, 8, 2304, 1024, "situ", situ_betas=(1.0, 25.0))
    query = query_of("KimiLinearForCausalLM", spec)
    assert (query.activation, query.situ_betas) == ("situ", (1.0, 25.0))


def test_muse_spark_asks_no_oracle() -> None:
    spec = MoESpec(256, 8, 4096, 4096)
    name = "MuseSparkForConditionalGeneration"
    model = ModelSpec("", "", name, "", (MoELayers(spec, (0,)),))
    built = build_query(model, 0, Deployment(), release=(0, 33, 0), platform="cuda", lora=False)
    assert isinstance(built, LayerQuery)
    assert built.unasked.endswith("asks no oracle")


def test_inkling_takes_adapters_without_its_own_all_reduce() -> None:
    name = "InklingForConditionalGeneration"
    model = ModelSpec("", "", name, "", (MoELayers(MoESpec(128, 6, 2048, 768), (0,)),))
    for release in ((0, 26, 0), (0, 33, 0)):
        refused = build_query(model, 0, Deployment(), release=release, platform="cuda", lora=True)
        assert isinstance(refused, EngineRefusal)
        assert "Inkling LoRA requires INKLING_MULTIMEM_AR=0: the Lamport" in refused.error.message
        off = {"INKLING_MULTIMEM_AR": "0"}
        taken = build_query(
            model, 0, Deployment(), release=release, platform="cuda", lora=True, environment=off
        )
        assert isinstance(taken, LayerQuery)


def test_beam_is_not_rebalanced() -> None:
    layers = (MoELayers(MoESpec(128, 8, 2048, 768), (0,)),)
    model = ModelSpec("", "", "BeamForCausalLM", "", layers)
    deployment = Deployment(tensor_parallel_size=4, expert_parallel=True, enable_eplb=True)
    built = build_query(model, 0, deployment, release=(0, 33, 0), platform="cuda", lora=False)
    assert isinstance(built, EngineRefusal)
    assert built.error.type == "NotImplementedError"
    assert built.error.message.startswith("Beam has not been validated with EPLB")
    deployment = Deployment(2, data_parallel_size=2, expert_parallel=True)
    built = build_query(model, 0, deployment, release=(0, 33, 0), platform="cuda", lora=False)
    assert isinstance(built, EngineRefusal)
    assert built.error.message.startswith("Beam has not been validated with sequence-parallel MoE")


def test_the_privacy_filter_has_no_adapters() -> None:
    name = "OpenAIPrivacyFilterForTokenClassification"
    model = ModelSpec("filter", "", name, "", (MoELayers(MoESpec(128, 4, 640, 640), (0,)),))
    refused = build_query(model, 0, Deployment(), release=(0, 33, 0), platform="cuda", lora=True)
    assert isinstance(refused, EngineRefusal)
    assert f"LoRA is not supported for {name} (filter)" in refused.error.message
