from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from moe_doctor.core.comparison import Cell, CellAnswer, Change
from moe_doctor.core.record import replace
from moe_doctor.core.selection import Outcome
from moe_doctor.render import Layout
from moe_doctor.render.diff import render_diff
from moe_doctor.render.diff_words import change_phrase, surrounding_groups
from moe_doctor.render.matrix import matrix_rows, render_matrix
from tests.render.comparisons import BREAKS, COMPARISONS, DIFF, MATRIX, SAME


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("width", [20, 40, 80, 100, 200])
def test_no_change_is_lost_at_any_width(name: str, width: int) -> None:
    comparison = COMPARISONS[name]
    text = squeezed(render_diff(comparison, "text", Layout(width=width)))
    for answer in comparison.answers:
        for change in answer.changes:
            if change.kind in ("backend", "kernel", "candidate", "verdict"):
                assert squeezed(change.after or change.before or "") in text
    for change in comparison.surroundings:
        assert change.name in text or squeezed(change.name) in text


@pytest.mark.parametrize("width", [20, 40, 80, 100])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    texts = [render_diff(one, "text", Layout(width=width)) for one in COMPARISONS.values()]
    texts += [render_matrix(MATRIX, "text", Layout(width=width, verbose=True))]
    for text in texts:
        assert [line for line in text.splitlines() if len(line) > width] == []


def test_nothing_changes_is_said_plainly() -> None:
    assert render_diff(SAME, "text").endswith("\nnothing changes\n")
    assert "Why" not in render_diff(SAME, "text")


def test_a_change_says_what_came_what_went_and_what_moved() -> None:
    assert change_phrase(Change("candidate", "X", None, "fits")) == "new: fits"
    assert change_phrase(Change("candidate", "X", "fits", None)) == "gone; was: fits"
    assert change_phrase(Change("order", "", "A, B", "B, A")) == "was: A, B; now: B, A"


def test_surroundings_come_in_groups_with_what_moved_first() -> None:
    assert surrounding_groups(DIFF.surroundings) == [
        ("--moe-backend", ["+emulation"]),
        ("--all2all-backend", ["-naive"]),
        ("variables", ["-VLLM_USE_FLASHINFER_MOE_FP16", "+VLLM_LORA_ENABLE_DUAL_STREAM"]),
        (
            "packages",
            ["torch 2.10.0 -> 2.11.0", "nvidia-cutlass-dsl (any) -> 4.4.2", "+tilelang 0.1.9"],
        ),
    ]


def test_json_is_the_comparison_as_a_dict() -> None:
    for comparison in COMPARISONS.values():
        assert json.loads(render_diff(comparison, "json")) == comparison.to_dict()
    assert json.loads(render_matrix(MATRIX, "json")) == MATRIX.to_dict()


def test_every_github_line_is_one_workflow_command() -> None:
    pattern = r"::(error|warning|notice) title=[^:,\r\n]*::[^\r\n]*"
    for comparison in COMPARISONS.values():
        for line in render_diff(comparison, "github").splitlines():
            assert re.fullmatch(pattern, line), line


def test_junit_fails_for_what_makes_the_exit_code_1() -> None:
    def failures(text: str) -> list[str | None]:
        cases = ElementTree.fromstring(text).iter("testcase")
        return [case.get("name") for case in cases if case.find("failure") is not None]

    assert failures(render_diff(BREAKS, "junit")) == ["MOE421 upgrade-breaks"]
    assert failures(render_diff(DIFF, "junit")) == []


def test_every_markdown_row_has_as_many_cells_as_its_head() -> None:
    texts = [render_diff(one, "markdown") for one in COMPARISONS.values()]
    for text in (*texts, render_matrix(MATRIX, "markdown")):
        width = 0
        for line in text.splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            cells = len(re.findall(r"(?<!\\)\|", line))
            width = width or cells
            assert cells == width, line


def test_gpus_and_releases_that_agree_share_a_row() -> None:
    rows = matrix_rows(MATRIX, 0, kernels=False)
    assert [(row.gpus, row.releases) for row in rows] == [
        ("h100, h200", "0.19.0 - 0.19.1"),
        ("", "0.20.0"),
        ("a100", "0.19.0 - 0.20.0"),
    ]


def test_another_oracle_or_class_alone_starts_no_row() -> None:
    triton = CellAnswer(0, Outcome.SELECTED, "mxfp4", "TRITON", "A")
    renamed = triton._replace(oracle="gpt_oss_mxfp4")
    moved = renamed._replace(kernel="B")
    cells = tuple(
        Cell(0, 0, False, (release,), (answer,))
        for release, answer in zip(MATRIX.releases, (triton, renamed, moved), strict=True)
    )
    matrix = replace(MATRIX, models=(None,), gpus=("h100",), cells=cells)
    assert [row.releases for row in matrix_rows(matrix, 0, kernels=False)] == ["0.19.0 - 0.20.0"]
    assert [row.releases for row in matrix_rows(matrix, 0, kernels=True)] == [
        "0.19.0 - 0.19.1",
        "0.20.0",
    ]


def test_colours_change_nothing_but_colours() -> None:
    plain = render_matrix(MATRIX, "text", Layout(width=100))
    colored = render_matrix(MATRIX, "text", Layout(width=100, color=True))
    assert colored != plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown format 'yaml'"):
        render_diff(DIFF, "yaml")
    with pytest.raises(ValueError, match="unknown format 'github'"):
        render_matrix(MATRIX, "github")
