"""Classes of the newest releases, as they were seen to build their layers."""

from __future__ import annotations

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.spec import ModelSpec, MoELayers, MoESpec, RoutingSpec
from moe_doctor.oracle.engines.vllm.layers import LayerQuery, build_query


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
