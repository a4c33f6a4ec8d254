"""A pasted `vllm serve` line, turned into our own options.

Understood: `[NAME=VALUE ...] vllm serve MODEL ...`, `python -m vllm.entrypoints.openai.api_server
--model MODEL ...` and `docker run ... -e NAME=VALUE ... vllm/vllm-openai:vX.Y.Z --model MODEL ...`,
behind any wrapper (env, nohup, uv run) and after other commands (export NAME=VALUE; cd X &&), as
words or as one quoted string. A dotted option (`--eplb-config.num_redundant_experts 32`) is a key
of its JSON, as vLLM's parser has it (utils/argparse_utils.py, FlexibleArgumentParser.parse_args).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from moe_doctor.cli.vllm_flags import CARRIED, FLAGS, JSON_OPTIONS, KERNEL_CONFIG, LISTS, SHORT
from moe_doctor.core.errors import UnknownNameError, UsageError, nearest_names
from moe_doctor.core.named import NamedTuple

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_IMAGE = re.compile(r"(?:.*/)?vllm/vllm-openai(?:-[a-z0-9-]+)?(?::(?P<tag>[^@]*))?(?:@.*)?")
_RELEASE = re.compile(r"v?(\d+\.\d+\.\d+(?:\.post\d+|rc\d+)?)")
_SERVER_MODULE = re.compile(r"vllm\.entrypoints\..*api_server")
# A shell would have acted on these; only a quoted line still holds them.
_SHELL_END = re.compile(r"(?:\d?>{1,2}.*|[|;&]{1,2}|\d>&\d|<.*)")


class PastedLine(NamedTuple):
    """What a pasted line says, in our spelling."""

    arguments: tuple[str, ...]
    """Our arguments: MODEL and options."""
    ignored: tuple[str, ...]
    """Options of the line that do not steer the choice of a kernel here."""


def is_pasted(words: Sequence[str]) -> bool:
    """Whether words look like a server's command line and not like a plain MODEL."""
    words = _split(words)
    return len(words) > 1 or (len(words) == 1 and words[0] == "vllm")


def parse_pasted(words: Sequence[str]) -> PastedLine:
    """The line in our own options. Raises `UsageError` when no server command is in it."""
    words = _split(words)
    start, arguments = _find_server(words)
    for index, word in enumerate(words[start:], start):
        if _SHELL_END.fullmatch(word):
            words = words[:index]
            break
        if word.endswith(";"):
            words = [*words[:index], word[:-1]]
            break
    model, options, ignored = _read_options(words[start:])
    if model is not None:
        arguments.append(model)
    return PastedLine((*arguments, *options), tuple(dict.fromkeys(ignored)))


def _split(words: Sequence[str]) -> list[str]:
    """Words as a shell would have split them; one quoted line becomes many words."""
    if len(words) != 1 or not any(each.isspace() for each in words[0]):
        return list(words)
    try:
        return shlex.split(words[0], comments=True)
    except ValueError as error:
        raise UsageError(
            f"the pasted line cannot be split into words: {error}",
            "close the quote, or paste it unquoted after --",
        ) from error


def _find_server(words: list[str]) -> tuple[int, list[str]]:
    """Where the server's own options begin, and our options for what stands before them."""
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        if word.rpartition("/")[2] == "vllm" and following == "serve":
            return index + 2, _environment(words[:index])
        if word == "-m" and _SERVER_MODULE.fullmatch(following):
            return index + 2, _environment(words[:index])
        image = _IMAGE.fullmatch(word)
        if image is not None and "run" in words[:index]:
            engine = _RELEASE.match(image["tag"] or "")
            found = [] if engine is None else ["--engine", f"vllm@{engine[1]}"]
            skip = 2 if words[index + 1 : index + 3] == ["vllm", "serve"] else 0
            skip = skip or (1 if following == "serve" else 0)
            return index + 1 + skip, [*_environment(words[:index]), *found]
    raise UsageError(
        f"no server command in the pasted line {' '.join(words)[:80]!r}",
        "expected: moe-doctor check -- vllm serve MODEL [OPTIONS]",
    )


def _environment(words: list[str]) -> list[str]:
    """`--env NAME=VALUE` for every assignment that the server sees: those of its own command, as
    a shell, env or docker would make them, and what a command before it exports."""
    found: list[str] = []
    command: list[str] = []
    for word in [*words, ""]:
        ends = word.endswith(";") or _SHELL_END.fullmatch(word) is not None
        command.append(word.removesuffix(";"))
        if word and not ends:
            continue
        if not word or command[0] == "export":
            for each in command:
                assignment = each.removeprefix("--env=")
                if _ASSIGNMENT.match(assignment):
                    found.extend(("--env", assignment))
        command = []
    return found


def _read_options(words: list[str]) -> tuple[str | None, list[str], list[str]]:
    """MODEL, the options that we share with vLLM, and the names of those that we do not."""
    model: str | None = None
    kept: list[str] = []
    ignored: list[str] = []
    dotted: dict[str, dict[str, Any]] = {}
    kernel = ""
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if not word.startswith("-") or word == "-":
            # Values of unknown options were taken with them: the first word left is MODEL.
            if model is None:
                model = word
            elif word != model:
                ignored.append(f"the word {word!r}")
            continue
        _refuse_misspelt_short(word)
        name, equals, value = word.partition("=")
        name, dot, keys = name.partition(".")
        name = SHORT.get(name, name.replace("_", "-"))
        if dot and name in JSON_OPTIONS:
            if not equals and index < len(words):
                value = words[index]
                index += 1
            _set(dotted.setdefault(name, {}), keys, value)
            continue
        name += dot + keys
        if not equals and not _is_flag(name):
            taken = _values(words[index:], name)
            index += len(taken)
            value = taken[0] if taken else ""
            equals = "=" if taken else ""
        if name == "--model":
            model = value
        elif name == "--config":
            ignored.append(f"--config (the options in {value} are not read: paste them as well)")
        elif name == KERNEL_CONFIG:
            kernel = value
        elif name in CARRIED:
            if not equals and not _is_flag(name):
                raise UsageError(
                    f"{word} has no value in the pasted line",
                    f"write {word} VALUE, or leave it out",
                )
            kept.extend((name, value) if equals else (name,))
        else:
            _refuse_misspelt(name)
            ignored.append(name)
    kernel = json.dumps(dotted.pop(KERNEL_CONFIG)) if KERNEL_CONFIG in dotted else kernel
    for name, tree in dotted.items():
        # Added last by vLLM too: the same option's JSON is forgotten then.
        kept.extend((name, json.dumps(tree)))
    named, others = _kernel_config(kernel)
    # vLLM's own --moe-backend wins where it names a backend (EngineArgs.create_engine_config).
    return model, [*kept, *named] if _says_auto(kept) else [*named, *kept], [*ignored, *others]


def _refuse_misspelt(name: str) -> None:
    """Raise UnknownNameError for an option one or two letters off one that steers the choice.

    vLLM refuses it; without it the answer would be about another deployment.
    """
    near = () if name in FLAGS else nearest_names(name, CARRIED, 1, 0.92)
    if near:
        raise UnknownNameError("option of vllm serve in the pasted line", name, tuple(near))


def _refuse_misspelt_short(word: str) -> None:
    """Raise UnknownNameError for `-tp8`, `-TP` and `--tp`, which vLLM does not take either."""
    name = word.partition("=")[0]
    letters = "-" + name.lstrip("-").lower()
    meant = letters.rstrip("0123456789")
    if name in SHORT or meant not in SHORT:
        return
    value = letters.removeprefix(meant)
    known = f"{meant} {value}" if value else meant
    raise UnknownNameError("option of vllm serve in the pasted line", word, (known,))


def _says_auto(kept: list[str]) -> bool:
    if "--moe-backend" not in kept:
        return True
    last = len(kept) - 1 - kept[::-1].index("--moe-backend")
    return kept[last + 1 : last + 2] == ["auto"]


def _set(tree: dict[str, Any], keys: str, text: str) -> None:
    """The value of a dotted option at its keys: JSON, else the text; `key+` is a list."""
    *parents, last = keys.split(".")
    for key in parents:
        found = tree.setdefault(key, {})
        if not isinstance(found, dict):
            found = tree[key] = {}
        tree = found
    if last.endswith("+"):
        tree[last[:-1]] = text.split(",")
        return
    try:
        tree[last] = json.loads(text)
    except ValueError:
        tree[last] = text


def _kernel_config(text: str) -> tuple[list[str], list[str]]:
    """`--moe-backend NAME` where --kernel-config names one, and what else it holds."""
    if not text:
        return [], []
    try:
        config = json.loads(text)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        return [], [KERNEL_CONFIG]
    backend = config.pop("moe_backend", None)
    named = ["--moe-backend", backend] if isinstance(backend, str) else []
    return named, [f"{KERNEL_CONFIG}.{key}" for key in config]


def _is_flag(name: str) -> bool:
    return name in FLAGS or name.startswith("--no-")


def _values(rest: list[str], name: str) -> list[str]:
    """The words that belong to a valued option: one, or all up to the next for lists."""
    taken: list[str] = []
    for word in rest:
        if word.startswith("-") and not word[1:2].isdecimal():
            break
        taken.append(word)
        if name not in LISTS:
            break
    return taken
