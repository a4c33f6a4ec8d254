from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_doctor.render.grid import Cell, grid, paint, paragraph

WORDS = st.lists(st.text("abc-/", min_size=1, max_size=30), max_size=12).map(" ".join)
ROWS = st.lists(st.lists(WORDS, min_size=1, max_size=5), min_size=1, max_size=5)


def letters(text: str) -> str:
    return "".join(sorted(text.replace(" ", "").replace("\n", "")))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(rows=ROWS, width=st.integers(20, 120), indent=st.integers(0, 8))
def test_a_grid_shows_every_letter_and_stays_within_its_width(
    rows: list[list[str]], width: int, indent: int
) -> None:
    text = paint(grid([[Cell(each) for each in row] for row in rows], width, indent), color=False)
    assert letters(text) == letters("".join(each for row in rows for each in row))
    assert all(len(line) <= width for line in text.splitlines())


def test_columns_are_aligned_and_the_last_one_wraps() -> None:
    rows = [(Cell("a"), Cell("no"), Cell("one two three")), (Cell("long"), Cell("-"), Cell("x"))]
    assert paint(grid(rows, 30), color=False) == "a     no  one two three\nlong  -   x\n"
    wide = [(Cell("label"), Cell("w " * 30))]
    assert paint(grid(wide, 40), color=False).splitlines()[1].startswith("       w")


def test_without_room_the_head_is_left_out_and_cells_are_packed() -> None:
    rows = [(Cell("LoRA off"), Cell("FlashInfer CUTLASS"), Cell("a reason of some length here"))]
    head = (Cell(), Cell("backend"), Cell("why"))
    assert paint(grid(rows, 34, head=head), color=False) == (
        "LoRA off  FlashInfer CUTLASS\n  a reason of some length here\n"
    )
    assert paint(grid(rows, 90, head=head), color=False).startswith("          backend")


def test_a_line_that_a_ci_runner_would_obey_is_defused() -> None:
    assert paint(paragraph("::error::x", 40), color=False) == "\\x3a:error::x\n"
    assert paint(paragraph("##[group]x", 40, 2), color=False) == "  \\x23#[group]x\n"


def test_no_rows_are_no_lines() -> None:
    assert grid([], 80) == []
