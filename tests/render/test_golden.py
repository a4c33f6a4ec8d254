from __future__ import annotations

import pytest

from tests.render.golden import FOLDER, golden_texts


@pytest.mark.parametrize("name", sorted(golden_texts()))
def test_a_literal_report_renders_to_its_golden_file(name: str) -> None:
    expected = (FOLDER / name).read_bytes().decode("utf-8")
    assert golden_texts()[name] == expected, "python -m tests.render.golden writes them again"


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*.txt")} == set(golden_texts())
