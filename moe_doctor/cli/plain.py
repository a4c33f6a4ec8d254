"""The usual command line, read without Typer, whose import is a third of a cold `select`.

A line is plain when its words are a command and that command's own options, each at most once and
with a value that it takes. Everything else is Typer's: help, mistakes, pasted server lines, options
from the environment or a pyproject.toml. Both come to the same values (tests/cli/test_plain.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from moe_doctor.cli.binding import ENVIRONMENT_PREFIX, Kind, call_with, groups_of, kinds_in
from moe_doctor.cli.coercion import coerce
from moe_doctor.cli.commands import COMMANDS, command_function
from moe_doctor.cli.config import read_defaults, warn_of_unread
from moe_doctor.core.errors import DoctorError

_COMPLETES = "_MOE_DOCTOR_COMPLETE"
"""Click's own completion is asked for with it."""


def read_plain(
    line: Sequence[str], environment: Mapping[str, str], directory: Path
) -> Callable[[], None] | None:
    """What runs a plain line; None for one that Typer has to read."""
    if not line or line[0] not in COMMANDS or _COMPLETES in environment:
        return None
    function = command_function(line[0])
    groups = groups_of(function)
    kinds = kinds_in(groups)
    given = [name for name in environment if name.startswith(ENVIRONMENT_PREFIX)]
    if given and not {name for kind in kinds.values() for name in kind.variables}.isdisjoint(given):
        return None
    try:
        values = plain_values(line[1:], kinds)
        if values is None or read_defaults(directory, kinds):
            return None
    except DoctorError:
        return None  # Typer's reading names the first mistake, and all about it
    warn_of_unread(line, environment)
    return partial(call_with, function, groups, values)


def plain_values(words: Sequence[str], kinds: Mapping[str, Kind]) -> dict[str, Any] | None:
    """The value of every parameter from a command's plain words; None where they are not plain.

    Raises UsageError for a value that its parameter does not take.
    """
    given = _given(respell(words, kinds), kinds)
    if given is None:
        return None
    return {name: coerce(given.get(name, kind.default), kind) for name, kind in kinds.items()}


def respell(words: Sequence[str], kinds: Mapping[str, Kind]) -> list[str]:
    """Underscores become dashes, as vLLM allows, and `-q=fp8` becomes `-q fp8`."""
    valued = {flag for flag, (kind, _) in flags_of(kinds).items() if kind.base is not bool}
    respelled: list[str] = []
    for index, argument in enumerate(words):
        if argument == "--":
            return [*respelled, *words[index:]]
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            respelled.append(name.replace("_", "-") + equals + value)
        elif equals and len(name) == 2 and name in valued:
            respelled.extend((name, value))
        else:
            respelled.append(argument)
    return respelled


def flags_of(kinds: Mapping[str, Kind]) -> dict[str, tuple[Kind, bool]]:
    """Each spelling with its parameter, and what it says where that is yes or no."""
    flags: dict[str, tuple[Kind, bool]] = {}
    for kind in kinds.values():
        for declared in kind.flags:
            yes, _, no = declared.partition("/")
            flags[yes] = kind, True
            if no:
                flags[no] = kind, False
    return flags


def _given(words: Sequence[str], kinds: Mapping[str, Kind]) -> dict[str, Any] | None:
    """The texts of a plain line by parameter; None for one that is not plain."""
    flags = flags_of(kinds)
    arguments = [kind for kind in kinds.values() if not kind.flags]
    given: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        value: str | bool | None
        if not word.startswith("-"):
            if not arguments:
                return None
            kind, value = arguments[0], word
        else:
            name, equals, value = word.partition("=")
            if name not in flags:
                return None
            kind, says = flags[name]
            if kind.base is bool:
                if equals:
                    return None
                value = says
            elif not equals:
                value = next(rest, None)
                if value is None or (value.startswith("-") and value != "-"):
                    return None
        if kind.many:
            given.setdefault(kind.name, []).append(value)
        elif kind.name in given:
            return None
        else:
            given[kind.name] = value
    return given
