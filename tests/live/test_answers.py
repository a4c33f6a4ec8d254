"""The child's JSON, by literals, to selections."""

from __future__ import annotations

from typing import Any

from moe_doctor.core.selection import Outcome
from moe_doctor.core.spec import MoELayers, MoESpec
from moe_doctor.live.answers import read_build

KINDS = (MoELayers(MoESpec(8, 2, 256, 512), (0, 1)), MoELayers(MoESpec(16, 2, 256, 512), (2,)))


def call(layer: int, backend: str = "Triton", **more: Any) -> dict[str, Any]:
    return {
        "oracle": "fp8",
        "prefix": f"language_model.model.layers.{layer}.mlp.experts",
        "backend": backend,
        "kernel": f"{backend}Experts",
        "asked": [
            {
                "backend": "Aiter",
                "kernel": "AiterExperts",
                "accepted": False,
                "reason": "kernel does not support current device cuda",
                "format": "BatchedExperts",
            },
            {
                "backend": backend,
                "kernel": f"{backend}Experts",
                "accepted": True,
                "reason": None,
                "format": "BatchedExperts",
            },
        ],
        "rest": [
            {"backend": "Marlin", "kernel": "MarlinExperts", "accepted": True, "reason": None}
        ],
        "log": ["Using Triton Fp8 MoE backend"],
        "option": "triton",
        **more,
    }


def build(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"lora": False, "error": None, "methods": [], "calls": list(calls), **more}


def error(**more: str) -> dict[str, str]:
    return {
        "type": "ValueError",
        "message": "/scratch/moe: no",
        "stage": "model",
        "where": "vllm/model_executor/layers/fused_moe/oracle/fp8.py:12",
        "inside": "true",
        **more,
    }


def test_calls_belong_to_the_kind_of_their_layer_number() -> None:
    found = read_build(build(call(0), call(1), call(2, "Marlin")), KINDS, "/scratch/moe", "org/moe")
    assert [one.backend for one in found.selections] == ["Triton", "Marlin"]
    first = found.selections[0]
    assert (first.oracle, first.kernel, first.backend_option) == ("fp8", "TritonExperts", "triton")
    assert first.activation_format == "batched"
    assert first.engine_log == "Using Triton Fp8 MoE backend"
    assert [(one.backend, one.accepted, one.asked) for one in first.trace] == [
        ("Aiter", False, True),
        ("Triton", True, True),
        ("Marlin", True, False),
    ]


def test_layers_of_one_kind_that_differ_are_counted() -> None:
    found = read_build(build(call(0), call(1, "Marlin"), call(2)), KINDS, "", "")
    assert found.selections[0].note == "1 of 2 layers; 1 of 2 layers: fp8 Marlin MarlinExperts"


def test_an_oracle_that_returns_before_it_asks_names_its_choice_all_the_same() -> None:
    found = read_build(build(call(0, asked=[], rest=[])), KINDS[:1], "", "")
    [only] = found.selections[0].trace
    assert (only.backend, only.accepted) == ("Triton", True)


def test_a_method_without_an_oracle_is_named() -> None:
    methods = [{"prefix": "model.layers.0.mlp.experts", "method": "GgufMoEMethod"}]
    found = read_build(build(methods=methods), KINDS, "", "")
    assert found.selections[0].outcome is Outcome.NOT_APPLICABLE
    assert found.selections[0].note == "GgufMoEMethod: the method asks no oracle"
    assert "built no fused experts" in found.selections[1].note


def test_a_refusal_is_the_engine_s_with_the_model_s_own_name() -> None:
    found = read_build(build(error=error(stage="config")), KINDS, "/scratch/moe", "org/moe")
    assert found.failure == ""
    assert found.stage == "config"
    assert [one.error.text for one in found.selections if one.error] == [
        "ValueError: org/moe: no"
    ] * 2


def test_a_refusal_after_the_oracle_keeps_the_trace() -> None:
    found = read_build(build(call(0), error=error()), KINDS[:1], "", "")
    assert found.stage == ""
    assert found.selections[0].outcome is Outcome.ERROR
    assert len(found.selections[0].trace) == 3


def test_an_exception_from_outside_the_engine_is_no_answer() -> None:
    found = read_build(build(error=error(inside="false")), KINDS, "", "")
    assert found.selections == ()
    assert "could not be built without a device" in found.failure


def test_attention_that_stops_the_build_is_no_answer() -> None:
    found = read_build(build(error=error(where="vllm/v1/attention/selector.py:9")), KINDS, "", "")
    assert "attention" in found.failure


def test_answers_that_came_before_a_build_stopped_are_kept() -> None:
    stopped = error(where="vllm/vllm_flash_attn/cute/cache_utils.py:18")
    whole = read_build(build(call(0), call(2), error=stopped), KINDS, "", "")
    assert [one.backend for one in whole.selections] == ["Triton", "Triton"]
    assert whole.failure == ""
    assert "after every kind of layer had its answer, attention" in whole.note
    part = read_build(build(call(0), error=stopped), KINDS, "", "")
    assert part.selections == ()
    assert "attention" in part.failure


def test_a_model_class_without_lora_crashes_later() -> None:
    answer = build(call(0), supports_lora=False, architecture="PlainForCausalLM")
    [one] = read_build(answer, KINDS[:1], "", "").selections
    assert one.crash is not None
    assert one.crash.text == "ValueError: PlainForCausalLM does not support LoRA yet."
