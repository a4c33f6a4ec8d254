"""The two streams: what they can show, and writing to them without ever dying in a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from moe_doctor.core.errors import OutputError
from moe_doctor.core.named import NamedTuple
from moe_doctor.render.escape import one_line

PIPE_WIDTH = 100
"""Columns when nobody says how wide the reader is: facts wrap, and are never cut."""
_CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "TF_BUILD", "JENKINS_URL")


class Terminal(NamedTuple):
    """What one stream can show."""

    width: int
    """Columns."""
    color: bool
    """Whether to send colours."""
    live: bool
    """Whether a line can be overwritten: a terminal, not dumb, not CI."""


def look_at(stream: TextIO | None, environment: Mapping[str, str]) -> Terminal:
    """What a stream can show, by the conventions of NO_COLOR, FORCE_COLOR, TERM and COLUMNS."""
    tty = stream is not None and not stream.closed and stream.isatty()
    dumb = environment.get("TERM", "") in ("dumb", "unknown")
    in_ci = any(environment.get(name) not in (None, "", "false", "0") for name in _CI_VARIABLES)
    if environment.get("NO_COLOR"):
        color = False
    elif environment.get("FORCE_COLOR", "0") not in ("", "0", "false"):
        color = True
    else:
        color = tty and not dumb
    width = _width(stream if tty else None, environment)
    return Terminal(width, color, live=tty and not dumb and not in_ci)


def prepare_streams() -> None:
    """Make both streams accept any character: what an encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def write_stdout(text: str) -> None:
    """Write a whole text. A reader that went away is not an error; a full disk is `OutputError`."""
    stream = sys.stdout
    if stream is None:
        raise OutputError("standard output is closed", "use --output FILE")
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        discard_stdout()
    except OSError as error:
        discard_stdout()
        raise OutputError(
            f"standard output cannot be written: {error.strerror or error}",
            "free some space there, or use --output FILE elsewhere",
        ) from error


def discard_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush cannot fail."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError, AttributeError):
        # A stream without a descriptor (a test's buffer) has nothing left to flush.
        return


def complain(text: str) -> None:
    """One line on stderr; a stderr that cannot be written is no reason to fail."""
    stream = sys.stderr
    if stream is None:
        return
    try:
        stream.write(text + "\n")
        stream.flush()
    except (OSError, ValueError):
        return


def note(text: str) -> None:
    """A remark beside the report."""
    complain(f"note: {text}")


class Progress:
    """Says on stderr what is being done: one overwritten line on a terminal, else plain lines."""

    def __init__(self, terminal: Terminal, *, quiet: bool) -> None:
        self._terminal = terminal
        self._quiet = quiet
        self._shown = False

    def __call__(self, message: str) -> None:
        """Show one message."""
        message = one_line(message)
        if self._quiet:
            return
        if not self._terminal.live:
            complain(f"moe-doctor: {message}")
            return
        room = max(10, self._terminal.width - 1)
        self._send("\r\x1b[2K" + (message if len(message) <= room else message[: room - 3] + "..."))
        self._shown = True

    def __enter__(self) -> Progress:
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Take the line away again."""
        if self._shown:
            self._send("\r\x1b[2K")

    def _send(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._quiet = True


def _width(tty: TextIO | None, environment: Mapping[str, str]) -> int:
    columns = environment.get("COLUMNS", "")
    if columns.isdecimal() and columns.isascii() and int(columns[:6]) > 0:
        return max(20, min(int(columns[:6]), 1000))
    if tty is not None:
        try:
            return max(20, os.get_terminal_size(tty.fileno()).columns or 80)
        except (OSError, ValueError):
            return 80
    return PIPE_WIDTH
