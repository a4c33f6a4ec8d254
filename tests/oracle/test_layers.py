"""The question that vLLM's oracle is asked, for each release, model class and deployment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.release import Release, parse_release
from moe_doctor.core.spec import ModelSpec, MoELayers, MoESpec, RoutingSpec
from moe_doctor.models.load import load_model
from moe_doctor.oracle.engines.vllm.layers import EngineRefusal, LayerQuery, build_query
from tests.truth import CONFIGS, needs_truth, records, releases

# What real vLLM releases put into FusedMoEConfig, on configs written for the purpose.
FIXTURE = Path(__file__).parents[1] / "fixtures" / "layers" / "queries.jsonl"
COLUMNS = (
    "num_experts",
    "top_k",
    "hidden_size",
    "intermediate_size_per_partition",
    "num_local_experts",
    "activation",
    "routing_method",
    "router_logits_dtype",
    "in_dtype",
    "tp_size",
    "dp_size",
    "ep_size",
    "sp_size",
    "use_ep",
    "all2all_backend",
    "enable_eplb",
    "has_bias",
    "moe_backend",
    "swiglu_limit",
)
CASES = [json.loads(line) for line in FIXTURE.read_text(encoding="utf-8").splitlines()]


def release_of(text: str) -> Release:
    release = parse_release(text)
    assert release is not None
    return release


def model_of(case: dict[str, Any]) -> ModelSpec:
    layers = []
    for number, given in enumerate(case["layers"]):
        routing = RoutingSpec(**given.get("routing", {}))
        spec = MoESpec(**{**given, "routing": routing})
        layers.append(MoELayers(spec, (number,)))
    return ModelSpec(
        id=case["name"],
        source="directory",
        architecture=case["architecture"],
        model_type=case["model_type"],
        moe_layers=tuple(layers),
        dtype=case["dtype"],
    )


def row_of(query: MoEQuery) -> list[Any]:
    return [
        getattr(query.parallel if hasattr(query.parallel, name) else query, name)
        for name in COLUMNS
    ]


def ask(model: ModelSpec, release: str, *, lora: bool = False, **deployment: Any) -> Any:
    return build_query(
        model,
        0,
        Deployment(**deployment),
        release=release_of(release),
        platform="cuda",
        lora=lora,
        capability=(9, 0),
    )


def model(architecture: str, *, dtype: str = "bfloat16", **spec: Any) -> ModelSpec:
    geometry = {
        "num_experts": 128,
        "top_k": 8,
        "hidden_size": 2048,
        "intermediate_size": 768,
    }
    layers = MoELayers(MoESpec(**{**geometry, **spec}), (0,))
    return ModelSpec(
        id="org/name",
        source="directory",
        architecture=architecture,
        model_type="anything",
        moe_layers=(layers,),
        dtype=dtype,
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_field_is_what_the_real_release_asks(case: dict[str, Any]) -> None:
    spec = model_of(case)
    compared = 0
    for answer in case["answers"]:
        deployment = Deployment(**answer.get("deployment", {}))
        for release in answer["releases"]:
            asked = []
            for index in range(len(spec.moe_layers)):
                result = build_query(
                    spec,
                    index,
                    deployment,
                    release=release_of(release),
                    platform="cuda",
                    lora=answer.get("lora", False),
                    capability=(9, 0),
                )
                assert isinstance(result, LayerQuery), (release, result)
                assert result.query.lora == answer.get("lora", False)
                asked.append(row_of(result.query))
            for expected in answer["expect"]:
                assert expected in asked, (release, answer.get("deployment"))
                compared += 1
    assert compared > 0


def recorded_row(config: dict[str, Any], tensor: int) -> list[Any]:
    parallel = config["moe_parallel_config"]
    activation = config["activation"].lower()
    values = {
        **config,
        **parallel,
        "top_k": config["experts_per_token"],
        "hidden_size": config["hidden_dim"],
        "activation": activation,
        "moe_backend": config.get("moe_backend", "auto"),
        "swiglu_limit": config.get("swiglu_limit"),
        "sp_size": parallel.get("sp_size", tensor),
    }
    return [values[name] for name in COLUMNS]


@needs_truth
@pytest.mark.parametrize("release", releases("model"))
def test_every_recorded_layer_of_a_real_model_was_asked_that_question(release: str) -> None:
    compared = refused = 0
    models: dict[str, ModelSpec] = {}
    capability = (9, 0)
    for record in records("model", release):
        if "model" not in record:
            major, minor = map(int, record.get("capability", "9.0").split("."))
            capability = (major, minor)
            continue
        name = record["model"]
        if name not in models:
            models[name] = load_model(str(CONFIGS / name))
        results = [
            build_query(
                models[name],
                index,
                Deployment(
                    tensor_parallel_size=record.get("tp", 1),
                    data_parallel_size=record.get("dp", 1),
                    expert_parallel=record.get("ep", False),
                    all2all_backend=record.get("all2all"),
                ),
                release=release_of(release),
                platform="cuda",
                lora=record.get("lora", False),
                capability=capability,
            )
            for index in range(len(models[name].moe_layers))
        ]
        asked = [row_of(each.query) for each in results if isinstance(each, LayerQuery)]
        for group in record["groups"]:
            if "cfg" in group:
                assert recorded_row(group["cfg"], record.get("tp", 1)) in asked, record["model"]
                compared += 1
        if record.get("kind") == "config":
            first = results[0]
            assert isinstance(first, EngineRefusal), record["model"]
            seen = f"{first.error.type}: {first.error.message}"
            assert seen.split("(")[0] == record["error"][: len(seen.split("(")[0])]
            refused += 1
    assert compared > 2000
    assert refused >= 10


def test_the_fixture_covers_the_first_and_the_last_release() -> None:
    releases = {
        release for case in CASES for answer in case["answers"] for release in answer["releases"]
    }
    assert {"0.16.0", "0.19.1", "0.20.0", "0.24.0", "0.28.0", "0.33.0"} <= releases
    assert len(CASES) >= 55


def test_renormalised_softmax_is_called_naive_from_0_22_on() -> None:
    spec = model("Qwen3MoeForCausalLM")
    names = [ask(spec, release).query.routing_method for release in ("0.16.0", "0.21.0", "0.22.0")]
    assert names == ["Renormalize", "Renormalize", "RenormalizeNaive"]


def test_a_class_that_never_renormalises_overrules_the_checkpoint() -> None:
    spec = model("OlmoeForCausalLM", routing=RoutingSpec(renormalize=True))
    assert ask(spec, "0.20.0").query.routing_method == "Default"


def test_nemotron_routes_in_float32_but_not_from_0_17_to_0_19() -> None:
    spec = model(
        "NemotronHForCausalLM",
        activation="relu2",
        gated=False,
        routing=RoutingSpec("sigmoid", num_expert_group=1, has_correction_bias=True),
    )
    dtypes = [
        ask(spec, release).query.router_logits_dtype
        for release in ("0.16.0", "0.17.0", "0.19.1", "0.20.0", "0.33.0")
    ]
    assert dtypes == ["float32", "bfloat16", "bfloat16", "float32", "float32"]
    assert ask(spec, "0.20.0").query.activation == "relu2_no_mul"


def test_experts_are_sharded_over_tp_and_dp_together_without_ep() -> None:
    query = ask(
        model("Qwen3MoeForCausalLM"), "0.20.0", tensor_parallel_size=2, data_parallel_size=2
    ).query
    assert query.intermediate_size_per_partition == 192
    assert query.parallel.tp_size == 4
    assert query.parallel.ep_size == 1


def test_rank_0_takes_one_of_the_experts_left_over() -> None:
    spec = model("GraniteMoeForCausalLM", num_experts=62)
    query = ask(spec, "0.20.0", tensor_parallel_size=8, expert_parallel=True).query
    assert query.num_local_experts == 8
    assert query.intermediate_size_per_partition == 768


def test_prefill_context_ranks_join_the_expert_group() -> None:
    spec = model("MixtralForCausalLM")
    sizes = {"tensor_parallel_size": 2, "prefill_context_parallel_size": 2}
    parallel = ask(spec, "0.26.0", expert_parallel=True, **sizes).query.parallel
    assert (parallel.ep_size, parallel.pcp_size, parallel.tp_size) == (4, 2, 1)


def test_ep_on_one_rank_is_no_ep() -> None:
    parallel = ask(model("MixtralForCausalLM"), "0.20.0", expert_parallel=True).query.parallel
    assert not parallel.use_ep
    assert parallel.ep_size == 1


@pytest.mark.parametrize(
    ("all2all", "release", "effective"),
    [
        (None, "0.16.0", "allgather_reducescatter"),
        ("naive", "0.18.1", "naive"),
        ("naive", "0.19.0", "allgather_reducescatter"),
        ("pplx", "0.16.0", "pplx"),
        ("pplx", "0.17.0", "allgather_reducescatter"),
        ("deepep_low_latency", "0.33.0", "deepep_low_latency"),
    ],
)
def test_a_removed_all2all_backend_is_replaced(
    all2all: str | None, release: str, effective: str
) -> None:
    spec = model("Qwen3MoeForCausalLM")
    query = ask(
        spec, release, data_parallel_size=8, expert_parallel=True, all2all_backend=all2all
    ).query
    assert query.parallel.all2all_backend == effective


def test_the_width_is_rounded_up_for_deepep_only_before_0_19() -> None:
    spec = model("GptOssForCausalLM", hidden_size=2880, has_bias=True)
    sizes = {"data_parallel_size": 8, "expert_parallel": True}
    high = {**sizes, "all2all_backend": "deepep_high_throughput"}
    low = {**sizes, "all2all_backend": "deepep_low_latency"}
    assert ask(spec, "0.18.1", **high).query.hidden_size == 3072
    assert ask(spec, "0.18.1", **low).query.hidden_size == 3072
    assert ask(spec, "0.19.0", **low).query.hidden_size == 2880


def test_a_width_beyond_low_latency_kernels_is_refused_before_0_19() -> None:
    spec = model("Qwen3MoeForCausalLM", hidden_size=16384)
    result = ask(
        spec,
        "0.18.1",
        data_parallel_size=8,
        expert_parallel=True,
        all2all_backend="deepep_low_latency",
    )
    assert isinstance(result, EngineRefusal)
    assert result.stage == "model"
    assert "Hidden Size 16384 is greater" in result.error.message


@pytest.mark.parametrize(
    ("asked", "checkpoint", "capability", "dtype"),
    [
        ("auto", "bfloat16", (9, 0), "bfloat16"),
        ("auto", "bfloat16", (7, 5), "float16"),
        ("auto", "float32", (8, 0), "bfloat16"),
        ("auto", "float32", (7, 0), "float16"),
        ("auto", "float16", (9, 0), "float16"),
        ("half", "bfloat16", (9, 0), "float16"),
        ("float", "bfloat16", (9, 0), "float32"),
    ],
)
def test_dtype_follows_the_option_then_the_checkpoint_then_the_gpu(
    asked: str, checkpoint: str, capability: tuple[int, int], dtype: str
) -> None:
    result = build_query(
        model("MixtralForCausalLM", dtype=checkpoint),
        0,
        Deployment(dtype=asked),
        release=(0, 20, 0),
        platform="cuda",
        lora=False,
        capability=capability,
    )
    assert isinstance(result, LayerQuery)
    assert result.query.in_dtype == dtype
    assert result.query.router_logits_dtype == dtype


def test_explicit_bfloat16_is_refused_on_turing() -> None:
    result = build_query(
        model("MixtralForCausalLM"),
        0,
        Deployment(dtype="bfloat16"),
        release=(0, 20, 0),
        platform="cuda",
        lora=False,
        capability=(7, 5),
    )
    assert isinstance(result, EngineRefusal)
    assert "compute capability of at least 8.0" in result.error.message


def test_moe_backend_is_spelled_with_dashes_or_capitals() -> None:
    spec = model("MixtralForCausalLM")
    assert ask(spec, "0.20.0", moe_backend="FlashInfer-CUTLASS").query.moe_backend == (
        "flashinfer_cutlass"
    )


def test_an_unknown_architecture_is_asked_by_its_own_words_and_says_so() -> None:
    spec = model("", routing=RoutingSpec("sigmoid"))
    result = ask(spec, "0.33.0")
    assert result.query.routing_method == "SigmoidRenorm"
    assert result.assumed
    assert result.source == ""


def test_simulated_routing_hides_the_method_before_0_33() -> None:
    spec = model("Qwen3MoeForCausalLM")
    environment = {"VLLM_MOE_ROUTING_SIMULATION_STRATEGY": "uniform_random"}
    names = []
    for release in ((0, 32, 0), (0, 33, 0)):
        result = build_query(
            spec,
            0,
            Deployment(),
            release=release,
            platform="cuda",
            lora=False,
            environment=environment,
        )
        assert isinstance(result, LayerQuery)
        names.append(result.query.routing_method)
    assert names == ["Simulated", "RenormalizeNaive"]


def test_arctic_asks_no_oracle() -> None:
    result = ask(model("ArcticForCausalLM"), "0.20.0")
    assert "fused_experts" in result.unasked


def test_kimi_linear_pads_narrow_shards_from_0_27_on() -> None:
    spec = model("KimiLinearForCausalLM", intermediate_size=1024)
    widths = [
        ask(spec, release, tensor_parallel_size=8).query.intermediate_size_per_partition
        for release in ("0.26.0", "0.27.0")
    ]
    assert widths == [128, 256]
