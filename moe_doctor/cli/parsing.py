"""What Typer finds wrong with a command line, in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from moe_doctor.cli.binding import Kind
from moe_doctor.cli.commands import COMMANDS
from moe_doctor.cli.plain import flags_of
from moe_doctor.cli.vllm_flags import FLAGS
from moe_doctor.core.errors import DoctorError, UnknownNameError, UsageError, nearest_names

# Recent Typer vendors click, older ones depend on it: its own public exception is the one
# name that leads to the base class of every parsing error in both.
ParsingError: Any = typer.BadParameter.__mro__[2]


def refuse_odd_words(words: Sequence[str], kinds: Mapping[str, Kind]) -> None:
    """Raise UsageError for what click would misread: a value that is left out, or one too many.

    It takes the next option for the value of `--output`, and `-tp8` for the letters t, p and 8.
    """
    flags = flags_of(kinds)
    words = words[: words.index("--")] if "--" in words else words
    follows = iter(words[1:])
    for word in words:
        following = next(follows, "")
        name, equals, _ = word.partition("=")
        kind = flags[name][0] if name in flags else None
        if kind is None:
            short = re.fullmatch(r"(-[a-z]+)(\d+)", word)
            if short is not None and short[1] in flags and len(short[1]) > 2:
                hint = f"write {short[1]} {short[2]}"
                raise UsageError(f"unknown option {word!r}", hint)
        elif kind.base is bool:
            if equals:
                both = " or ".join(flag for flag, (one, _) in flags.items() if one is kind)
                raise UsageError(f"{name} takes no value, got {word!r}", f"write {both}")
        elif not equals and following.partition("=")[0] in flags:
            hint = f"write {word}={following} if that is the value"
            raise UsageError(f"{word} has no value: {following} is an option", hint)


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


def _unknown_option(name: str, context: Any, path: str, help_hint: str) -> DoctorError:
    known = _flags(context)
    short = "-" + name.lstrip("-").lower()
    if context is not None and short != name and short in _short_flags(context):
        return UnknownNameError("option", name, (short,))
    nearest = nearest_names(name, known, n=3, cutoff=0.6)
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
            f"{path} does not take it; {', '.join(takers)} {'does' if len(takers) == 1 else 'do'}"
            + ("" if " " in path else ": options come after the command"),
        )
    return UnknownNameError("option", name, nearest, "" if nearest else help_hint)


def _commands_with(flag: str) -> list[str]:
    """The commands that take an option which another one was given."""
    from moe_doctor.cli.app import load_command

    return [
        name
        for name in COMMANDS
        if any(flag in (*each.opts, *each.secondary_opts) for each in load_command(name).params)
    ]


def _short_flags(context: Any) -> set[str]:
    params = context.command.get_params(context)
    return {flag for each in params for flag in each.opts if not flag.startswith("--")}


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
