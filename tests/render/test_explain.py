from __future__ import annotations

import json
import re

import pytest

from moe_doctor.core.support import Condition, Held, Topic
from moe_doctor.render import Layout
from moe_doctor.render.explain import Explanation, render_explanation, topic_rows
from moe_doctor.rules.catalog import find_rule
from tests.render.pages import ACTIVATIONS, DEVICES, INDEX, LORA, PAGE


def test_later_ranges_say_what_changed() -> None:
    assert topic_rows(DEVICES, whole=False) == [
        ("0.17.0 - 0.20.2", "CUDA 9.0, CUDA 11.x (where | is)"),
        ("0.21.0 - 0.33.0", "CUDA 9.0 (where | is)"),
    ]
    assert topic_rows(ACTIVATIONS, whole=False)[1:] == [
        ("0.17.1 - 0.23.0", "gelu, relu2_no_mul, silu"),
        ("0.24.0 - 0.33.0", "the same, -gelu, +gelu_tanh"),
    ]
    assert topic_rows(ACTIVATIONS, whole=True)[2][1] == "gelu_tanh, relu2_no_mul, silu"


def test_an_empty_range_says_what_that_means_for_its_topic() -> None:
    assert topic_rows(LORA, whole=False)[0] == ("0.17.0 - 0.19.1", "not refused")
    assert topic_rows(ACTIVATIONS, whole=False)[0] == ("0.17.0", "not asked")
    parallel = Topic("parallel", (Held("0.16.0", "0.33.0", ()),))
    assert topic_rows(parallel, whole=False) == [("0.16.0 - 0.33.0", "any")]


def test_a_text_that_changes_is_told_in_full() -> None:
    topic = Topic(
        "devices",
        (
            Held("0.16.0", "0.16.0", (Condition("devices", "a", ("CUDA", "ROCm", "XPU")),)),
            Held("0.17.0", "0.33.0", (Condition("devices", "b", ("CUDA", "ROCm", "XPU")),)),
        ),
    )
    assert topic_rows(topic, whole=False)[1][1] == "CUDA, ROCm, XPU (b)"


def test_one_rule_is_its_page_in_text_and_markdown() -> None:
    rule = find_rule("MOE412")
    page = Explanation(rules=(rule,))
    assert render_explanation(page, "markdown") == rule.page()
    assert render_explanation(page, "text", Layout(width=1000)) == rule.page()


@pytest.mark.parametrize("found", [PAGE, INDEX], ids=["page", "index"])
@pytest.mark.parametrize("width", [20, 40, 80, 100])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(
    found: Explanation, width: int
) -> None:
    text = render_explanation(found, "text", Layout(width=width, verbose=True))
    assert [line for line in text.splitlines() if len(line) > width] == []
    squeezed = re.sub(r"\s+", "", text)
    for page in found.backends:
        for kernel in page.kernels:
            for topic in kernel.topics:
                for _, what in topic_rows(topic, whole=True):
                    assert re.sub(r"\s+", "", what) in squeezed


def test_json_is_the_explanation_as_a_dict() -> None:
    for found in (PAGE, INDEX):
        assert json.loads(render_explanation(found, "json")) == found.to_dict()


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_odd_names_send_no_control_character(form: str) -> None:
    text = render_explanation(PAGE, form)
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text) == []


def test_every_markdown_row_has_as_many_cells_as_its_head() -> None:
    for found in (PAGE, INDEX):
        width = 0
        for line in render_explanation(found, "markdown").splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            cells = len(re.findall(r"(?<!\\)\|", line))
            width = width or cells
            assert cells == width, line


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown format 'junit'"):
        render_explanation(PAGE, "junit")
