"""The command class: pasted lines, vLLM's spellings, config defaults, and grouped help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from moe_doctor.cli.binding import Kind
from moe_doctor.cli.coercion import coerce
from moe_doctor.cli.config import read_defaults, warn_of_unread
from moe_doctor.cli.console import note, write_stdout
from moe_doctor.cli.exits import Origin, naming_origins
from moe_doctor.cli.parsing import refuse_odd_words
from moe_doctor.cli.plain import respell
from moe_doctor.cli.signature import kinds_of


class DoctorCommand(TyperCommand):
    """A command whose values are coerced without pydantic and whose flags are vLLM's."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.kinds = kinds_of(self.callback)
        """What each parameter's text becomes."""
        for parameter in self.params:
            kind = self.kinds.get(parameter.name or "")
            if kind is not None:
                _coerce_with(parameter, kind)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Bring the line into our own spelling, then let click parse it."""
        ours = args[: args.index("--")] if "--" in args else args
        if not ctx.resilient_parsing and not {"--help", "-h"}.intersection(ours):
            # Path.cwd() fails in a deleted folder.
            ctx.default_map = read_defaults(Path(), self.kinds)
            warn_of_unread(args, os.environ)
        if "--" in args:
            from moe_doctor.cli.pasted import is_pasted, parse_pasted

            split = args.index("--")
            ours, pasted = args[:split], args[split + 1 :]
            if is_pasted(pasted):
                line = parse_pasted(pasted)
                if line.ignored and "--quiet" not in ours:
                    note(f"not judged in the pasted line: {', '.join(line.ignored)}")
                # Our own options come last, so that they win over what was pasted.
                args = [*line.arguments, *ours]
        args = respell(args, self.kinds)
        refuse_odd_words(args, self.kinds)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; its errors name the values that nobody typed."""
        origins = tuple(
            Origin(kind.flag, ctx.params.get(kind.name), source)
            for kind in self.kinds.values()
            if (source := _source(ctx, kind))
        )
        with naming_origins(origins):
            return super().invoke(ctx)

    def get_help_option(self, ctx: Any) -> Any:
        """The --help option, kept away from pydantic as well."""
        return plain_help(super().get_help_option(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options under the heading of their group."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            kind = self.kinds.get(parameter.name or "")
            record = parameter.get_help_record(ctx)
            if record is not None:
                if kind is not None and not kind.flags:
                    record = (kind.metavar or record[0], record[1])  # Typer's names its type
                heading = kind.section if kind is not None else "Other"
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def plain_help(option: Any) -> Any:
    """A help option that needs no pydantic and fails on a full disk as every report does."""
    if option is not None:

        def process_value(ctx: Any, value: Any) -> None:
            if value is True and not ctx.resilient_parsing:
                write_stdout(ctx.get_help() + "\n")
                raise typer.Exit

        option.process_value = process_value
    return option


def _coerce_with(parameter: Any, kind: Kind) -> None:
    """Replace click's per-parameter conversion, which Typer does through pydantic."""

    def process_value(ctx: Any, value: Any) -> Any:
        return coerce(value, kind, _source(ctx, kind))

    parameter.process_value = process_value


def _source(ctx: Any, kind: Kind) -> str:
    """Where a value came from, when that was not the command line."""
    source = getattr(ctx.get_parameter_source(kind.name), "name", "")
    if source == "ENVIRONMENT":
        given = next((each for each in kind.variables if each in os.environ), kind.variables[0])
        return f"the environment variable {given}"
    if source == "DEFAULT_MAP":
        return "[tool.moe-doctor] in pyproject.toml"
    return ""
