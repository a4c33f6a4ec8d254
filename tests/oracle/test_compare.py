"""What changes between two releases: literal answers, and the story that started it."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from moe_doctor.core.comparison import Change
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.core.request import MachineRequest
from moe_doctor.core.selection import Candidate, EngineError, Outcome, Selection
from moe_doctor.models.load import load_model
from moe_doctor.oracle.compare import (
    Side,
    compare_releases,
    compare_selections,
    compare_surroundings,
    compute_matrix,
)
from moe_doctor.oracle.engines.vllm.releases import RELEASES, image_packages
from moe_doctor.probes.simulate import simulate_machine

NANO = load_model("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", offline=True)
OLD = Selection(
    0,
    False,
    "unquantized",
    Outcome.SELECTED,
    "TRITON",
    "triton",
    "TritonExperts",
    runs="TritonExperts",
    note="vLLM 0.19 returns here",
    trace=(
        Candidate("FAST", "FastExperts", False, "needs sm_100"),
        Candidate("TRITON", "TritonExperts", True, "first that fits"),
        Candidate("OLD", "OldExperts", False, "is slow"),
    ),
)


def side(gpu: str, version: str, platform: str = "cuda") -> Side:
    packages = image_packages(version, platform)
    return Side(
        Engine("vllm", version), simulate_machine(MachineRequest(gpu=gpu), packages=packages)
    )


def kinds(before: Selection, after: Selection) -> dict[tuple[str, str], tuple[object, object]]:
    found = compare_selections(before, after).changes
    return {(one.kind, one.name): (one.before, one.after) for one in found}


def test_equal_answers_have_no_changes() -> None:
    assert compare_selections(OLD, OLD).changes == ()


def test_a_note_that_differs_in_its_release_alone_is_no_change() -> None:
    assert kinds(OLD, replace(OLD, note="vLLM 0.33 returns here")) == {}
    assert ("note", "") in kinds(OLD, replace(OLD, note="vLLM 0.33 looks at nothing"))


def test_a_flipped_verdict_an_order_a_class_and_candidates_are_told() -> None:
    trace = (
        Candidate("TRITON", "NewTritonExperts", True, "first that fits"),
        Candidate("FAST", "FastExperts", True, "fits too; comes later"),
        Candidate("NEW", "NewExperts", False, "needs a gate"),
    )
    assert kinds(OLD, replace(OLD, trace=trace)) == {
        ("candidate", "OLD"): ("does not fit: is slow", None),
        ("candidate", "NEW"): (None, "does not fit: needs a gate"),
        ("order", ""): ("FAST, TRITON", "TRITON, FAST"),
        ("classes", "TRITON"): ("TritonExperts", "NewTritonExperts"),
        ("verdict", "FAST"): ("does not fit: needs sm_100", "fits"),
    }


def test_a_refusal_before_the_oracle_is_told_without_its_missing_candidates() -> None:
    refused = Selection(
        0, False, None, Outcome.ERROR, error=EngineError("ValueError", "no such architecture")
    )
    found = kinds(OLD, refused)
    assert found["outcome", ""] == ("selected", "error")
    assert found["error", ""] == (None, "ValueError: no such architecture")
    assert not any(kind == "candidate" for kind, _ in found)


@pytest.mark.parametrize(
    ("gpu", "before", "after", "lora_off", "lora_on"),
    [
        (
            "h100",
            "0.19.1",
            "0.20.0",
            Change("backend", "", "TRITON", "FlashInfer CUTLASS"),
            None,
        ),
        (
            "b200",
            "0.19.1",
            "0.20.0",
            Change("backend", "", "TRITON", "FlashInfer CUTLASS"),
            None,
        ),
        (
            "h100",
            "0.20.0",
            "0.33.0",
            Change("backend", "", "FlashInfer CUTLASS", "TRITON"),
            None,
        ),
        (
            "b200",
            "0.20.0",
            "0.33.0",
            Change("backend", "", "FlashInfer CUTLASS", "FlashInfer TRTLLM"),
            None,
        ),
    ],
)
def test_the_founding_story(
    gpu: str, before: str, after: str, lora_off: Change | None, lora_on: Change | None
) -> None:
    found = compare_releases(
        NANO, Deployment(), side(gpu, before), side(gpu, after), loras=(False, True)
    )
    backends = [
        next((one for one in answer.changes if one.kind == "backend"), None)
        for answer in found.answers
    ]
    assert backends == [lora_off, lora_on]


def test_why_flashinfer_was_taken_in_0_20() -> None:
    found = compare_releases(
        NANO, Deployment(), side("h100", "0.19.1"), side("h100", "0.20.0"), loras=(False,)
    )
    assert (
        Change(
            "verdict",
            "FlashInfer CUTLASS",
            "does not fit: used only with --enable-expert-parallel, which is off",
            "fits",
        )
        in found.answers[0].changes
    )


def test_options_variables_and_pins_that_came_and_went_are_named() -> None:
    found = compare_surroundings(Engine("vllm", "0.20.0"), Engine("vllm", "0.33.0"), "cuda")
    assert Change("moe_backend", "humming", None, "humming") in found
    assert Change("all2all_backend", "mori", "mori", None) in found
    name = "VLLM_USE_FLASHINFER_MOE_FP16"
    assert Change("variable", name, name, None) in found
    assert Change("package", "torch", "2.11.0", "2.14.0") in found
    assert not any(one.name == "vllm" for one in found)


def test_a_patch_release_with_the_same_rules_changes_nothing() -> None:
    assert compare_surroundings(Engine("vllm", "0.20.1"), Engine("vllm", "0.20.2"), "cuda") == ()
    found = compare_releases(
        NANO, Deployment(), side("h100", "0.20.1"), side("h100", "0.20.2"), loras=(False, True)
    )
    assert not found.changes_answers


def test_a_matrix_joins_releases_that_agree() -> None:
    engines = [Engine("vllm", release.version) for release in RELEASES]
    found = compute_matrix(
        [NANO],
        ["h100"],
        engines,
        Deployment(),
        lambda gpu, engine: side(gpu, engine.version).machine,
        loras=(False,),
    )
    cells = [(one.releases[0], one.releases[-1], one.answers[0].backend) for one in found.cells]
    assert cells == [
        ("0.16.0", "0.19.1", "TRITON"),
        ("0.20.0", "0.22.1", "FlashInfer CUTLASS"),
        ("0.23.0", "0.33.0", "TRITON"),
    ]
    assert [name for one in found.cells for name in one.releases] == list(found.releases)


def test_26_releases_on_10_gpus_take_less_than_a_second() -> None:
    from moe_doctor.survey import COMMON_GPUS, matrix

    assert len(COMMON_GPUS) == 10
    started = time.process_time()
    found = matrix(NANO.id, offline=True)
    assert time.process_time() - started < 1.0
    assert sum(len(cell.releases) for cell in found.cells) == len(RELEASES) * 10 * 2
