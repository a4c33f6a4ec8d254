"""The program as Typer reads its command line, each command imported when it is called."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from moe_doctor import __version__
from moe_doctor.cli.command import DoctorCommand, plain_help
from moe_doctor.cli.commands import COMMANDS, command_function
from moe_doctor.cli.console import write_stdout
from moe_doctor.cli.signature import bind
from moe_doctor.core.errors import UnknownNameError, UsageError, nearest_names

PLANNED = {
    "bench": "moe-doctor prove MODEL --backend all -v runs every backend once, with its time",
    "tune": "vLLM's own benchmarks/kernels/benchmark_moe.py --tune writes such files",
    "diagnose": "moe-doctor check MODEL shows what the engine refuses, and moe-doctor explain CODE "
    "what a finding means",
}
"""Commands that this release does not have yet, with what helps until then."""

EPILOG = (
    "Exit codes: 0 clean, 1 findings at or above --fail-on, 2 usage, 3 inconclusive, "
    "4 internal error, 130 interrupted, 143 terminated."
)
COMMAND_EPILOG = (
    "An option comes from its flag, then from MOE_DOCTOR_<FLAG> in the environment, then from "
    "[tool.moe-doctor] in pyproject.toml."
)
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class CommandGroup(TyperGroup):
    """A group that imports a command's module when the command is asked for."""

    def get_help_option(self, ctx: Any) -> Any:
        """The --help option, without what Typer would load for it."""
        return plain_help(super().get_help_option(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        """Every command's name."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None when there is none of that name."""
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Like click's, with our own words for an unknown name."""
        name = args[0]
        if name in PLANNED:
            raise UsageError(f"moe-doctor {__version__} has no {name} yet", PLANNED[name])
        if name not in COMMANDS and not name.startswith("-"):
            nearest = nearest_names(name, COMMANDS, n=3)
            hint = "" if nearest else f"commands: {', '.join(COMMANDS)}"
            if name == "help":
                hint = "moe-doctor --help, or moe-doctor COMMAND --help"
            elif name in ("vllm", "python", "python3", "docker"):
                nearest, hint = (), "paste a server's line: moe-doctor check -- vllm serve ..."
            raise UnknownNameError("command", name, nearest, hint)
        return super().resolve_command(ctx, args)


def load_command(name: str) -> Any:
    """The click command of one name, built from `moe_doctor.cli.commands.<name>`."""
    single = _plain_typer()
    single.command(
        name,
        cls=DoctorCommand,
        epilog=COMMAND_EPILOG,
        short_help=COMMANDS[name],
        context_settings=dict(SETTINGS),
    )(bind(command_function(name)))
    return typer.main.get_command(single)


def build_app() -> Any:
    """The whole program as a click command."""
    group = _plain_typer(
        cls=CommandGroup,
        invoke_without_command=True,
        epilog=EPILOG,
        context_settings=dict(SETTINGS),
    )
    group.callback()(_root)
    return typer.main.get_command(group)


def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    """Which Mixture-of-Experts kernel will your engine run, why, and does it work on this GPU."""
    if version:
        write_stdout(f"moe-doctor {__version__}\n")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        write_stdout(ctx.get_help() + "\n")
        raise typer.Exit


def _plain_typer(**settings: Any) -> typer.Typer:
    """A Typer without markup, pretty tracebacks and run-time completion: they cost start-up."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        **settings,
    )
