"""A command's groups of options as the flat signature that Typer reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import typer

from moe_doctor.cli.binding import Kind, call_with, groups_of, kinds_in

KINDS = "__moe_doctor_kinds__"


def bind(function: Callable[..., None]) -> Callable[..., None]:
    """A function with one keyword per option; calling it calls `function` with its groups."""
    groups = groups_of(function)
    kinds = kinds_in(groups)

    def call(**values: Any) -> None:
        call_with(function, groups, values)

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    call.__annotations__ = {}
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [_parameter(kind) for kind in kinds.values()]
    )
    setattr(call, KINDS, kinds)
    return call


def kinds_of(callback: object) -> Mapping[str, Kind]:
    """The kinds of a bound function's parameters, by parameter name."""
    kinds: Mapping[str, Kind] = getattr(callback, KINDS, {})
    return kinds


def _parameter(kind: Kind) -> inspect.Parameter:
    """For Typer: everything but a flag is text, because `moe_doctor.cli.coercion` converts it."""
    annotation: Any = list[str] if kind.many else (bool if kind.base is bool else str)
    default: Any
    if kind.flags:
        default = typer.Option(
            kind.default,
            *kind.flags,
            metavar=kind.metavar,
            help=kind.help,
            envvar=list(kind.variables),
            show_envvar=False,
            show_default=kind.base is not bool,
        )
    else:
        default = typer.Argument(None, metavar=kind.metavar, help=kind.help, show_default=False)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(kind.name, keyword, default=default, annotation=annotation)
