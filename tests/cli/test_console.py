from __future__ import annotations

import io
from collections.abc import Mapping

import pytest

from moe_doctor.cli.console import PIPE_WIDTH, Progress, Terminal, look_at


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


@pytest.mark.parametrize(
    ("environment", "tty", "color"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colours_follow_the_conventions(
    environment: Mapping[str, str], tty: bool, color: bool
) -> None:
    assert look_at(Tty() if tty else io.StringIO(), environment).color is color


@pytest.mark.parametrize(
    ("environment", "live"),
    [
        ({}, True),
        ({"CI": "true"}, False),
        ({"CI": "false"}, True),
        ({"GITHUB_ACTIONS": "true"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_a_line_is_overwritten_only_on_a_real_terminal(
    environment: Mapping[str, str], live: bool
) -> None:
    assert look_at(Tty(), environment).live is live
    assert look_at(io.StringIO(), environment).live is False


@pytest.mark.parametrize(
    ("environment", "tty", "width"),
    [
        ({}, False, PIPE_WIDTH),
        ({"COLUMNS": "72"}, False, 72),
        ({"COLUMNS": "3"}, True, 20),
        ({"COLUMNS": "wide"}, False, PIPE_WIDTH),
        ({"COLUMNS": "999999999999"}, False, 1000),
        ({}, True, 80),
    ],
)
def test_the_width_is_the_terminals_or_a_generous_one(
    environment: Mapping[str, str], tty: bool, width: int
) -> None:
    assert look_at(Tty() if tty else io.StringIO(), environment).width == width


def test_a_closed_or_missing_stream_shows_nothing() -> None:
    closed = io.StringIO()
    closed.close()
    assert look_at(closed, {}) == look_at(None, {}) == Terminal(PIPE_WIDTH, False, False)


def test_live_progress_is_one_line_that_goes_away(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(Terminal(24, True, True), quiet=False) as progress:
        progress("probing")
        progress("proving \x1b[31m" + "x" * 40)
    err = capsys.readouterr().err
    assert err.startswith("\r\x1b[2Kprobing\r\x1b[2Kproving \\x1b[31mxxx")
    assert err.endswith("...\r\x1b[2K")
