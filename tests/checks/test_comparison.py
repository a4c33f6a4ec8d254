"""What a change between two releases means, from literal answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moe_doctor.core.comparison import AnswerChange, Comparison
from tests.render.comparisons import BREAKS, CRASHES, DIFF, OLD, SAME, TWO_KINDS, judged


def codes(comparison: Comparison) -> list[str]:
    return [finding.code for finding in comparison.findings]


def test_another_backend_is_a_warning_and_exits_0() -> None:
    assert codes(DIFF) == ["MOE422", "MOE423"]
    assert (DIFF.verdict, DIFF.exit_code) == ("warn", 0)
    assert replace(DIFF, fail_on="warning").exit_code == 1


def test_a_refusal_of_what_worked_is_an_error_and_exits_1() -> None:
    assert codes(BREAKS) == ["MOE421"]
    assert "vLLM 0.20.0 raises ValueError" in BREAKS.findings[0].message
    assert (BREAKS.verdict, BREAKS.exit_code) == ("fail", 1)
    assert replace(BREAKS, fail_on="never").exit_code == 0


@pytest.mark.parametrize("after", [CRASHES, replace(OLD, hazard="sums come out wrong")])
def test_a_later_crash_or_wrong_sums_break_it_too(after: object) -> None:
    broken = judged(replace(SAME, answers=(AnswerChange(OLD, after),), findings=()))  # type: ignore[arg-type]
    assert codes(broken) == ["MOE421"]


def test_no_change_has_no_finding() -> None:
    assert codes(SAME) == []
    assert not SAME.changes_answers
    assert (SAME.verdict, SAME.exit_code) == ("pass", 0)


def test_what_is_repaired_what_still_fails_and_what_is_not_judged_are_infos() -> None:
    assert codes(replace(TWO_KINDS, surroundings=())) == ["MOE423", "MOE424", "MOE425", "MOE426"]
    assert TWO_KINDS.exit_code == 0


def test_another_class_behind_the_same_backend_is_an_info() -> None:
    moved = replace(OLD, runs="AnotherExperts")
    found = judged(replace(SAME, answers=(AnswerChange(OLD, moved),), findings=()))
    assert codes(found) == ["MOE427"]
    assert found.verdict == "pass"


def test_both_loras_that_move_alike_are_one_finding() -> None:
    changed = replace(DIFF.answers[0].after, lora=True)
    second = AnswerChange(replace(OLD, lora=True), changed)
    found = judged(replace(DIFF, answers=(DIFF.answers[0], second), surroundings=(), findings=()))
    assert codes(found) == ["MOE422"]
    assert "LoRA off and on: from TRITON (TritonExperts)" in found.findings[0].message
