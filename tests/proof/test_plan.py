from __future__ import annotations

import json
from typing import Any

import pytest

from moe_doctor.core.spec import MoESpec, RoutingSpec
from moe_doctor.proof.case import Geometry, LoRASetup, ProofCase, ProofPlan
from moe_doctor.proof.plan import INTERPRETER_BUDGET, fit_memory, make_plan

NANO = MoESpec(128, 6, 2688, 1856, activation="relu2", gated=False)
GROUPED = RoutingSpec("sigmoid", True, 8, 4, True, 2.5)
DEEPSEEK = MoESpec(256, 8, 7168, 2048, routing=GROUPED)
MIXTRAL = MoESpec(8, 2, 4096, 14336)


def plan_for(
    spec: MoESpec,
    mode: str,
    *,
    lora: bool = False,
    width: int = 0,
    memory: int | None = None,
    level: int = 3,
    **changes: Any,
) -> ProofPlan:
    return make_plan(
        spec,
        implementation="x:Y",
        mode=mode,
        intermediate_size_per_partition=width or spec.intermediate_size,
        num_local_experts=spec.num_experts,
        lora=lora,
        level=level,
        memory_bytes=memory,
        **{"dtype": "bfloat16", **changes},
    )


@pytest.mark.parametrize("lora", [False, True])
def test_a_plan_survives_json(lora: bool) -> None:
    plan = plan_for(DEEPSEEK, "gpu", lora=lora)
    assert ProofPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize("lora", [False, True])
def test_a_gpu_runs_the_model_as_it_is_in_fourteen_cases(lora: bool) -> None:
    plan = plan_for(NANO, "gpu", lora=lora, memory=80 << 30)
    assert plan.geometry.shrinkage() == []
    assert len(plan.cases) == 14
    assert {1, 16, 17, 64, 1024} <= {case.num_tokens for case in plan.cases}
    assert {case.routing for case in plan.cases} >= {
        "experts-without-tokens",
        "all-tokens-one-expert",
    }


def test_only_the_expert_count_shrinks_to_fit_a_small_gpu() -> None:
    plan = plan_for(NANO, "gpu", memory=2 << 30)
    geometry = plan.geometry
    assert geometry.num_experts < 128
    assert geometry.num_experts_model == 128
    assert (geometry.hidden_size, geometry.intermediate_size_per_partition) == (2688, 1856)
    assert geometry.shrinkage() == [f"experts {geometry.num_experts} for 128"]


def test_groups_are_dropped_when_experts_are() -> None:
    assert plan_for(DEEPSEEK, "gpu", width=256, memory=80 << 30).routing == GROUPED
    shrunk = plan_for(DEEPSEEK, "gpu", width=256, memory=4 << 30)
    assert shrunk.geometry.num_experts < 256
    assert shrunk.routing.num_expert_group is None
    assert shrunk.routing.scoring == "sigmoid"


def test_a_memory_without_room_for_one_expert_says_none() -> None:
    geometry = plan_for(MIXTRAL, "gpu").geometry
    assert fit_memory(geometry, None, 1 << 30) is None
    assert fit_memory(geometry, LoRASetup((16,), (1.0,)), 80 << 30) == geometry


@pytest.mark.parametrize(("spec", "width"), [(NANO, 1856), (DEEPSEEK, 256)])
@pytest.mark.parametrize("lora", [False, True])
def test_the_interpreter_keeps_the_widths_and_says_what_shrank(
    spec: MoESpec, width: int, lora: bool
) -> None:
    geometry = plan_for(spec, "interpreter", lora=lora, width=width).geometry
    assert geometry.hidden_size == spec.hidden_size
    assert geometry.intermediate_size_per_partition == width
    assert geometry.num_experts > geometry.top_k >= 2
    assert "dtype float16 for bfloat16" in geometry.shrinkage()


def test_activations_scaled_by_group_take_fewer_experts_of_the_same_width() -> None:
    plain = plan_for(DEEPSEEK, "interpreter", width=256).geometry
    scaled = plan_for(DEEPSEEK, "interpreter", width=256, scheme="fp8_block_128x128").geometry
    assert scaled.num_experts < plain.num_experts
    assert scaled.intermediate_size_per_partition == 256
    assert scaled.scheme == "fp8_block_128x128"


def test_quantized_weights_leave_room_for_more_experts() -> None:
    plain = plan_for(NANO, "gpu", memory=4 << 30).geometry
    packed = plan_for(NANO, "gpu", memory=4 << 30, scheme="int4_g128").geometry
    assert packed.num_experts > plain.num_experts
    assert packed.weight_bytes_per_expert < plain.weight_bytes_per_expert / 3


def test_swiglu_oai_brings_its_numbers() -> None:
    spec = MoESpec(32, 4, 2880, 2880, activation="swigluoai", has_bias=True)
    geometry = plan_for(spec, "gpu", scheme="mxfp4").geometry
    assert (geometry.limit, geometry.alpha, geometry.beta) == (7.0, 1.702, 1.0)
    assert geometry.has_bias


def test_an_expert_too_wide_for_the_interpreter_is_narrowed_and_that_is_said() -> None:
    geometry = plan_for(MIXTRAL, "interpreter").geometry
    assert geometry.hidden_size == 4096
    assert 4 * geometry.elements_per_expert <= INTERPRETER_BUDGET
    narrowed = geometry.intermediate_size_per_partition
    assert f"width per rank {narrowed} for 14336" in geometry.shrinkage()


def test_lora_cases_hold_tokens_with_and_without_an_adapter() -> None:
    plan = plan_for(NANO, "gpu", lora=True)
    assert plan.lora == LoRASetup((16, 8, 16), (2.0, 0.5, 1.0), ("both", "w13", "w2"))
    assert {case.lora_ids for case in plan.cases} == {"mixed", "all"}


def test_a_case_refuses_what_the_child_would_not_know() -> None:
    with pytest.raises(ValueError, match="routing is 'sideways'"):
        ProofCase("odd", 1, routing="sideways")
    with pytest.raises(ValueError, match="num_tokens is 0"):
        ProofCase("empty", 0)


def test_a_geometry_survives_json() -> None:
    geometry = plan_for(NANO, "interpreter").geometry
    assert Geometry.from_dict(json.loads(json.dumps(geometry.to_dict()))) == geometry


@pytest.mark.parametrize("lora", [False, True])
def test_level_4_runs_every_batch_size_and_every_bad_input(lora: bool) -> None:
    plan = plan_for(NANO, "gpu", lora=lora, level=4, max_num_batched_tokens=16384)
    assert {1, 2, 16, 17, 64, 304, 1024, 16384} == {case.num_tokens for case in plan.cases}
    names = {case.name for case in plan.cases}
    assert names >= {
        "all-negative-logits",
        "large-activations",
        "strided-inputs",
        "same-bits-twice",
        "tiny-and-zero-experts",
        "cuda-graph-replay",
    }
    assert plan.geometry.odd_experts
    assert ProofPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_level_4_has_adapters_of_rank_8_to_256_and_some_on_one_projection_alone() -> None:
    lora = plan_for(NANO, "gpu", lora=True, level=4).lora
    assert lora is not None
    assert (min(lora.ranks), max(lora.ranks)) == (8, 256)
    assert set(lora.modules) == {"both", "w13", "w2"}
    assert lora.touches(1, "w13")
    assert not lora.touches(1, "w2")


def test_large_activations_stay_within_what_the_type_and_a_stored_scale_hold() -> None:
    def scale(**changes: Any) -> float:
        plan = plan_for(NANO, "gpu", level=4, **changes)
        return next(case.scale for case in plan.cases if case.name == "large-activations")

    assert scale() == 2.0**30
    assert scale(dtype="float16") == 32
    assert scale(scheme="fp8_tensor_static") == 8


@pytest.mark.parametrize("mode", ["gpu", "interpreter"])
def test_tiny_activations_stay_normal_numbers_in_float16(mode: Any) -> None:
    def scale(dtype: str) -> float:
        plan = plan_for(NANO, mode, level=4, dtype=dtype)
        return next(case.scale for case in plan.cases if case.name == "tiny-activations")

    # gate times up is the scale squared; float16's last normal number is 6.1e-5
    assert scale("float16") ** 2 > 6.1e-5
    # the interpreter computes in float16, whatever the model does
    assert scale("bfloat16") == (1e-2 if mode == "gpu" else 2.0**-4)


def test_a_layer_of_few_experts_keeps_them_all_as_they_are() -> None:
    plan = plan_for(MoESpec(4, 2, 4096, 14336), "gpu", level=4)
    assert not plan.geometry.odd_experts
    assert "tiny-and-zero-experts" not in {case.name for case in plan.cases}


def test_adapters_meet_large_activations_only_as_far_as_a_clamp_keeps_them_apart() -> None:
    spec = MoESpec(32, 4, 2880, 2880, activation="swigluoai", has_bias=True)

    def scale(spec: MoESpec, lora: bool) -> float:
        cases = plan_for(spec, "gpu", lora=lora, level=4).cases
        return next(case.scale for case in cases if case.name == "large-activations")

    assert scale(spec, lora=False) == 2.0**30
    assert scale(spec, lora=True) == 28
    assert scale(MIXTRAL, lora=True) == 2.0**30
