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
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from typing import Any

import typer

from moe_doctor.cli.console import complain, write_stdout
from moe_doctor.cli.vllm_flags import FLAGS
from moe_doctor.core.errors import DoctorError, UnknownNameError, UsageError
from moe_doctor.core.named import NamedTuple
from moe_doctor.render.escape import one_line

ERROR_SCHEMA = "moe-doctor.error/1"
INTERNAL = 4
INTERRUPTED = 130

# Recent Typer vendors click, older ones depend on it: its own public exception is the one
# name that leads to the base class of every parsing error in both.
ParsingError: Any = typer.BadParameter.__mro__[2]


@contextmanager
def exit_for(format: str) -> Iterator[None]:
    """Turn a `DoctorError` of the body into its message and exit code."""
    try:
        yield
    except DoctorError as error:
        raise typer.Exit(tell(error, as_json=format == "json")) from error


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
        complain("".join(traceback.format_exception(error)).rstrip())
    else:
        complain("hint: MOE_DOCTOR_DEBUG=1 shows the traceback")
    if wants_json(arguments):
        _tell_json(type(error).__name__, message, "", INTERNAL)
    return INTERNAL


def explain_parsing(error: Any, arguments: Sequence[str]) -> DoctorError:
    """Click's parsing error in our words: lower case, one line, nearest names in the hint."""
    name = getattr(error, "option_name", None)
    context = getattr(error, "ctx", None)
    # Some errors come without a context; the command is then the first word of the line.
    words = ["moe-doctor", *(each for each in arguments[:1] if not each.startswith("-"))]
    path = " ".join(words) if context is None else context.command_path
    help_hint = f"{path} --help lists what it takes"
    if name and type(error).__name__ == "NoSuchOption":
        return _unknown_option(name, context, path, help_hint)
    message = error.format_message().splitlines()[0].rstrip(".")
    if message.startswith("Got unexpected extra argument"):
        extra = re.sub(r"^.*\(([^()]*)\)$", r"\1", message)
        server = (
            f"a server's whole command line goes after two dashes: {path} -- vllm serve MODEL ..."
        )
        takes_server = "--tensor-parallel-size" in _flags(context)
        return UsageError(
            f"unexpected argument: {extra}",
            server if takes_server or context is None else help_hint,
        )
    return UsageError(message[:1].lower() + message[1:], help_hint)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a line that may not even parse asked for JSON."""
    ours = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    for index, argument in enumerate(ours):
        if argument == "--format" and ours[index + 1 : index + 2]:
            return ours[index + 1] == "json"
        if argument.startswith("--format="):
            return argument == "--format=json"
    return os.environ.get("MOE_DOCTOR_FORMAT") == "json"


def _unknown_option(name: str, context: Any, path: str, help_hint: str) -> DoctorError:
    known = _flags(context)
    nearest = tuple(get_close_matches(name, known, n=3, cutoff=0.6))
    if name in FLAGS or name in _SERVER_ONLY:
        return UnknownNameError(
            "option",
            name,
            nearest,
            "vllm serve has it, and it does not steer the choice of a kernel: leave it out, or "
            f"paste the whole line: {path} -- vllm serve MODEL ...",
        )
    takers = _commands_with(name)
    if takers:
        return UnknownNameError(
            "option",
            name,
            nearest,
            f"{path} does not take it; {', '.join(takers)} {'does' if len(takers) == 1 else 'do'}",
        )
    return UnknownNameError("option", name, nearest, "" if nearest else help_hint)


def _commands_with(flag: str) -> list[str]:
    """The commands that take an option which another one was given."""
    from moe_doctor.cli.app import COMMANDS, load_command

    return [
        name
        for name in COMMANDS
        if any(flag in (*each.opts, *each.secondary_opts) for each in load_command(name).params)
    ]


def _flags(context: Any) -> list[str]:
    """Every long flag of the command, and of the program before a command was named."""
    if context is None:
        return []
    return [
        flag
        for parameter in context.command.get_params(context)
        for flag in (*parameter.opts, *parameter.secondary_opts)
        if flag.startswith("--")
    ]


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


# Valued options that people paste most often and that change nothing here.
_SERVER_ONLY = frozenset(
    [
        "--max-model-len",
        "--gpu-memory-utilization",
        "--port",
        "--host",
        "--served-model-name",
        "--max-num-seqs",
        "--kv-cache-dtype",
        "--tool-call-parser",
        "--reasoning-parser",
        "--tokenizer",
        "--load-format",
        "--seed",
        "--max-loras",
        "--max-cpu-loras",
        "--lora-modules",
        "--chat-template",
        "--api-key",
        "--block-size",
        "--compilation-config",
        "--attention-backend",
        "--download-dir",
    ]
)
