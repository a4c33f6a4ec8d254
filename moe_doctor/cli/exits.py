"""Failures to exit codes and one line on stderr; with `--format json` also an object on stdout.

0 clean, 1 findings at or above --fail-on, 2 usage, 3 inconclusive, 4 internal error,
130 interrupted, 129 and 143 ended by SIGHUP and SIGTERM. 0 and 1 (and 3 for what could not be
proved) come with a report.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from moe_doctor.cli.console import complain, write_stdout
from moe_doctor.core.errors import DoctorError, UsageError
from moe_doctor.core.named import NamedTuple
from moe_doctor.render.escape import one_line

ERROR_SCHEMA = "moe-doctor.error/1"
INTERNAL = 4
INTERRUPTED = 130


class Finished(Exception):  # noqa: N818 - nothing failed
    """The command has said all, and the process returns this."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
        """The exit code."""


@contextmanager
def exit_for(format: str) -> Iterator[None]:
    """Turn a `DoctorError` of the body into its message and exit code."""
    try:
        yield
    except DoctorError as error:
        raise Finished(tell(error, as_json=format == "json")) from error


class Origin(NamedTuple):
    """A value that nobody typed on the command line."""

    flag: str
    """Whose value."""
    value: Any
    """The value."""
    source: str
    """Where it came from."""


_ORIGINS: ContextVar[tuple[Origin, ...]] = ContextVar("origins", default=())


@contextmanager
def naming_origins(origins: tuple[Origin, ...]) -> Iterator[None]:
    """Meanwhile a message about one of these values says where it came from."""
    token = _ORIGINS.set(origins)
    try:
        yield
    finally:
        _ORIGINS.reset(token)


def tell(error: DoctorError, *, as_json: bool) -> int:
    """Say an expected failure, and return its exit code."""
    hint = "; ".join(filter(None, (error.hint, *_origins_of(error))))
    complain(f"error: {one_line(error.message)}")
    if hint:
        complain(f"hint: {one_line(hint)}")
    if as_json:
        _tell_json(type(error).__name__, error.message, hint, error.exit_code)
    return error.exit_code


def _origins_of(error: DoctorError) -> Iterator[str]:
    """Where the values came from that a usage error names, by flag or by value."""
    if not isinstance(error, UsageError):
        return
    for flag, value, source in _ORIGINS.get():
        values = value if isinstance(value, tuple) else (value,)
        named = re.search(rf"{re.escape(flag)}(?![\w-])", error.message)
        if named or any(isinstance(one, str) and repr(one) in error.message for one in values):
            yield f"{flag} came from {source}"


def tell_internal(error: BaseException, arguments: Sequence[str]) -> int:
    """Say a defect of moe-doctor in one line, with the traceback only when it was asked for."""
    message = one_line(f"{type(error).__name__}: {error}"[:500])
    complain(f"internal error: {message}")
    complain(
        "hint: this is a defect of moe-doctor, not of the model or the machine; report it with "
        "this line, the command, and the output of `moe-doctor env`"
    )
    if _wants_traceback(arguments):
        import traceback

        complain("".join(traceback.format_exception(error)).rstrip())
    else:
        complain("hint: MOE_DOCTOR_DEBUG=1 shows the traceback")
    if wants_json(arguments):
        _tell_json(type(error).__name__, message, "", INTERNAL)
    return INTERNAL


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a line that may not even parse asked for JSON."""
    from moe_doctor.cli.config import default_format

    ours = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    wanted = os.environ.get("MOE_DOCTOR_FORMAT") or default_format(Path())
    for argument, following in zip(ours, [*ours[1:], ""], strict=True):
        if argument == "--format":
            wanted = following
        elif argument.startswith("--format="):
            wanted = argument.removeprefix("--format=")
    return wanted == "json"


def _wants_traceback(arguments: Sequence[str]) -> bool:
    debug = os.environ.get("MOE_DOCTOR_DEBUG", "") not in ("", "0")
    return debug or "--verbose" in arguments or "-v" in arguments


def _tell_json(kind: str, message: str, hint: str, code: int) -> None:
    document = {
        "schema": ERROR_SCHEMA,
        "error": {"type": kind, "message": message, "hint": hint or None},
        "exit_code": code,
    }
    try:
        write_stdout(json.dumps(document, indent=2) + "\n")
    except DoctorError as error:
        # The failure may be stdout itself; stderr has been told.
        sys.stderr.write(f"error: {one_line(error.message)}\n")
