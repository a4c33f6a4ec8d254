"""The engine's answer beside the tables'."""

from __future__ import annotations

import pytest

from moe_doctor.core.record import replace
from moe_doctor.core.selection import Candidate, EngineError, Outcome, Selection
from moe_doctor.live.differences import RETURNED, enrich, exact_release, find_differences

TABLE = Selection(
    0,
    False,
    "fp8",
    Outcome.SELECTED,
    backend="TRITON",
    kernel="TritonExperts",
    runs="TritonExperts",
    hazard="wrong numbers on sm_120",
    trace=(
        Candidate("AITER", "AiterExperts", False, "needs ROCm", True, "no current device cuda"),
        Candidate("TRITON", "TritonExperts", True, "first that fits"),
        Candidate("MARLIN", "MarlinExperts", True, "fits too; comes later", False),
    ),
)
LIVE = replace(
    TABLE,
    hazard="",
    trace=(
        Candidate(
            "AITER", "AiterExperts", False, "no current device cuda", True, "no current device cuda"
        ),
        Candidate("TRITON", "TritonExperts", True, "first that fits"),
    ),
)


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("0.20.0", "0.20.0"),
        ("0.33.0+cu130", "0.33.0"),
        ("0.20.1+cpu", "0.20.1"),
        ("0.33.0+rocm723", "0.33.0"),
        ("0.33.0+fork", None),
        ("0.20.1.dev3+gabc", None),
        ("0.34.0rc1", None),
        ("0.99.0", None),
    ],
)
def test_a_build_tag_is_the_release_and_a_fork_is_not(version: str, release: str | None) -> None:
    assert exact_release(version) == release


def test_the_same_choice_after_the_same_questions_differs_in_nothing() -> None:
    assert find_differences(LIVE, TABLE) == ()


def test_another_backend_is_a_difference_in_the_choice() -> None:
    found = find_differences(replace(LIVE, backend="MARLIN", kernel="MarlinExperts"), TABLE)
    assert [(one.what, one.engine, one.tables) for one in found] == [
        ("backend", "MARLIN", "TRITON"),
        ("kernel", "MarlinExperts", "TritonExperts"),
    ]
    assert all(one.is_choice for one in found)


def test_a_refusal_beside_a_choice_is_a_difference_in_the_outcome() -> None:
    refused = Selection(0, False, "fp8", Outcome.ERROR, error=EngineError("ValueError", "no"))
    [found] = find_differences(refused, TABLE)
    assert (found.what, found.engine, found.tables) == (
        "outcome",
        "ValueError: no",
        "TRITON (TritonExperts)",
    )


def test_a_longer_text_of_the_same_exception_is_the_same() -> None:
    def refused(text: str) -> Selection:
        return Selection(0, False, None, Outcome.ERROR, error=EngineError("ValidationError", text))

    assert (
        find_differences(refused("1 error\n  Value error, no [type=x]"), refused("1 error")) == ()
    )
    assert len(find_differences(refused("2 errors"), refused("1 error"))) == 1


def test_another_reason_for_the_same_choice_concerns_the_candidates_alone() -> None:
    asked = replace(LIVE, trace=LIVE.trace[1:])
    [found] = find_differences(asked, TABLE)
    assert (found.what, found.is_choice) == ("candidates", False)


def test_what_only_the_tables_know_is_added_to_the_same_choice() -> None:
    rich = enrich(LIVE, TABLE)
    assert rich.hazard == "wrong numbers on sm_120"
    assert rich.trace[0].reason == "needs ROCm"
    assert rich.trace[0].engine_reason == "no current device cuda"


def test_nothing_is_added_to_another_choice() -> None:
    other = replace(LIVE, backend="MARLIN")
    assert enrich(other, TABLE) == other


def test_a_method_that_fixes_its_backend_is_named_by_the_tables() -> None:
    fixed = Selection(
        0, False, None, Outcome.SELECTED, backend="Marlin", note="OldMarlinMethod: it runs Marlin"
    )
    live = Selection(
        0, False, None, Outcome.NOT_APPLICABLE, note="OldMarlinMethod: the method asks no oracle"
    )
    assert find_differences(live, fixed) == ()
    assert enrich(live, fixed) == fixed
    other = replace(live, note="OtherMethod: the method asks no oracle")
    assert [one.what for one in find_differences(other, fixed)] == ["outcome"]


def test_an_oracle_that_asked_nobody_has_no_questions_to_compare() -> None:
    early = replace(LIVE, trace=(Candidate("TRITON", "TritonExperts", True, RETURNED),))
    assert find_differences(early, TABLE) == ()
