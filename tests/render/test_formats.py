from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from moe_doctor.core.findings import Finding, Severity
from moe_doctor.core.report import Report
from moe_doctor.render import render
from moe_doctor.render.escape import github_property, markdown_code, one_line, visible
from tests.render.reports import BAD_PROOFS, CHECK, CRASH, HOSTILE, MIXED, REPORTS


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_json_is_the_report_as_a_dict(report: Report) -> None:
    text = render(report, "json")
    assert text.endswith("}\n")
    assert text.isascii()
    assert json.loads(text) == report.to_dict()


def test_json_refuses_to_write_nan() -> None:
    finding = Finding("MOE601", "x", Severity.INFO, "m", evidence={"error": float("nan")})
    with pytest.raises(ValueError, match="JSON compliant"):
        render(replace(CHECK, findings=(finding,)), "json")


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_every_github_line_is_one_workflow_command(report: Report) -> None:
    pattern = r"::(error|warning|notice) title=[^:,\r\n]*::[^\r\n]*"
    for line in render(report, "github").splitlines():
        assert re.fullmatch(pattern, line), line


def test_github_escapes_percent_newline_colon_and_comma() -> None:
    assert github_property("50%: a,\nb") == "50%25%3A a%2C b"
    assert "%0Aunset VLLM_USE_FLASHINFER_MOE_FP16%0A" in render(CRASH, "github")
    assert "%250A" in render(HOSTILE, "github")


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_junit_is_well_formed_and_counts_add_up(report: Report) -> None:
    suite = ElementTree.fromstring(render(report, "junit")).find("testsuite")
    assert suite is not None
    assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
    for tag, total in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(suite.get(total, "")) == len(suite.findall(f"testcase/{tag}"))


def test_junit_fails_exactly_for_what_fails_the_command() -> None:
    def failures(report: Report) -> list[str | None]:
        root = ElementTree.fromstring(render(report, "junit"))
        return [
            case.get("name") for case in root.iter("testcase") if case.find("failure") is not None
        ]

    assert failures(CHECK) == []
    assert failures(replace(CHECK, fail_on="warning")) == ["MOE412 lora-changes-backend"]
    assert failures(CRASH) == ["MOE501 lora-server-dies"]
    assert failures(replace(CRASH, fail_on="never")) == []


def test_junit_tells_the_proof_outcomes_apart() -> None:
    root = ElementTree.fromstring(render(BAD_PROOFS, "junit"))
    cases = [case for case in root.iter("testcase") if case.get("classname") == "moe-doctor.proof"]
    assert [case[0].tag for case in cases] == ["failure", "error", "error", "skipped"]
    assert ElementTree.fromstring(render(MIXED, "junit")).find(".//testcase/error") is not None


def test_every_markdown_table_row_has_as_many_cells_as_its_head() -> None:
    for report in REPORTS.values():
        width = 0
        for line in render(report, "markdown").splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            cells = len(re.findall(r"(?<!\\)\|", line))
            width = width or cells
            assert cells == width, line


def test_markdown_lets_no_html_and_no_markup_through() -> None:
    text = render(HOSTILE, "markdown")
    outside_code = re.sub(r"```.*?```|`+[^`].*?`+", "", text, flags=re.DOTALL)
    assert "<b>" not in outside_code.replace("\\<b\\>", "")


def test_escapes_show_what_was_there() -> None:
    assert visible("a\x1b[0m\u202e\ud800") == "a\\x1b[0m\\u202e\\ud800"
    assert one_line(" a\r\n\tb ") == "a b"
    assert markdown_code("a`b|c") == "``a`b\\|c``"
    assert markdown_code("`") == "`` ` ``"
    assert markdown_code("") == ""


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown format 'yaml'"):
        render(CHECK, "yaml")
