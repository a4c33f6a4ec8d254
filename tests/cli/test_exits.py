from __future__ import annotations

import json
from dataclasses import replace

import pytest

from moe_doctor.cli.main import main
from moe_doctor.core.errors import FetchError, NotMoEError
from tests.cli.fake_doctor import FakeDoctor
from tests.render.reports import CHECK, CRASH, MIXED


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (CHECK, 0),
        (replace(CHECK, fail_on="warning"), 1),
        (CRASH, 1),
        (replace(CRASH, fail_on="never"), 0),
        (MIXED, 3),
    ],
)
def test_the_exit_code_is_the_reports(doctor: FakeDoctor, report: object, code: int) -> None:
    doctor.report = report  # type: ignore[assignment]
    assert main(["check", "m"]) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotMoEError("m is dense: no layer routes tokens to experts"), 2),
        (FetchError("the hub\nanswered \x1b[31m500", "try again"), 3),
    ],
)
def test_an_expected_failure_is_one_line_and_its_code(
    doctor: FakeDoctor, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    doctor.error = error
    assert main(["check", "m", "--quiet"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) == (2 if code == 3 else 1)
    assert "\x1b" not in captured.err


def test_an_expected_failure_is_an_object_when_json_was_asked(
    doctor: FakeDoctor, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor.error = FetchError("the hub answered 500", "try again")
    assert main(["check", "m", "--format", "json"]) == 3
    assert json.loads(capsys.readouterr().out) == {
        "schema": "moe-doctor.error/1",
        "error": {"type": "FetchError", "message": "the hub answered 500", "hint": "try again"},
        "exit_code": 3,
    }


@pytest.mark.parametrize("line", ["check m --format json --zzz", "chek --format=json"])
def test_a_usage_error_is_an_object_when_json_was_asked(
    capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert main(line.split()) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 2
    assert document["error"]["type"] == "UnknownNameError"


def test_a_defect_is_one_line_with_where_to_report_and_exit_4(
    doctor: FakeDoctor, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor.error = ZeroDivisionError("division by zero")
    assert main(["check", "m"]) == 4
    err = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: division by zero\n" in err
    assert "moe-doctor env" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("how", ["--verbose", "-v", "MOE_DOCTOR_DEBUG"])
def test_a_defect_shows_its_traceback_when_asked(
    doctor: FakeDoctor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: str,
) -> None:
    doctor.error = RecursionError("too deep")
    if how.startswith("MOE"):
        monkeypatch.setenv(how, "1")
    assert main(["check", "m", *([how] if how.startswith("-") else [])]) == 4
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_interrupt_is_130(doctor: FakeDoctor, capsys: pytest.CaptureFixture[str]) -> None:
    doctor.error = KeyboardInterrupt()
    assert main(["check", "m", "--quiet"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_progress_is_plain_lines_where_nobody_watches(
    doctor: FakeDoctor, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", "m"])
    assert capsys.readouterr().err == "moe-doctor: looking at m\n"
    main(["check", "m", "--quiet"])
    assert capsys.readouterr().err == ""
