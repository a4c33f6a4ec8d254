"""Engines by name, and the release that a request means."""

from __future__ import annotations

import difflib
import sys

from moe_doctor.core.errors import UnknownNameError, UsageError
from moe_doctor.core.release import format_release, parse_release
from moe_doctor.core.report import Engine
from moe_doctor.oracle.engines.vllm.releases import BY_VERSION, NEWEST

ENGINES = ("vllm",)
INSTALLED = "installed"
"""`--engine installed`: the vLLM of this environment, or none."""


def resolve_engine(text: str | None, installed: str | None) -> Engine:
    """The engine of `--engine NAME[@VERSION]`; None = the installed vLLM, else the newest known.

    `installed` is vLLM's version in this environment, if any. Raises UnknownNameError with the
    nearest names or releases for what no table holds.
    """
    name, separator, version = (text or "vllm").partition("@")
    name = name.strip().lower()
    if name == INSTALLED and not separator:
        if installed is None:
            raise nothing_installed()
        name = ENGINES[0]
    if name not in ENGINES:
        near = tuple(difflib.get_close_matches(name, ENGINES, 3, 0.3))
        if parse_release(name) is not None and not separator:
            raise UnknownNameError(
                "engine", name, near, f"a release needs its engine: {ENGINES[0]}@{name}"
            )
        raise UnknownNameError(
            "engine",
            name,
            near,
            f"known engines: {', '.join(ENGINES)} (NAME or NAME@VERSION) and {INSTALLED}",
        )
    if separator and not version.strip():
        raise UsageError(
            f"--engine {text!r} names no release", f"example: --engine {name}@{NEWEST.version}"
        )
    if version:
        return Engine(name, _known(version.strip()))
    if installed is not None:
        return Engine(name, _installed(installed))
    return Engine(name, NEWEST.version)


def nothing_installed() -> UsageError:
    """What to say where the installed vLLM is asked for and there is none."""
    return UsageError(
        f"--engine {INSTALLED} asks the vLLM of this environment, and it has none "
        f"(looked for metadata of vllm on the path of {sys.executable})",
        "name the Python that has it, --python /path/to/venv/bin/python, or ask the tables: "
        f"--engine vllm@{NEWEST.version}",
    )


def _known(version: str) -> str:
    release = parse_release(version)
    plain = format_release(release) if release is not None else version
    if plain in BY_VERSION:
        return plain
    raise UnknownNameError("vLLM release", version, nearest_releases(version), _hint(version))


def _installed(version: str) -> str:
    public = version.partition("+")[0]
    if public in BY_VERSION:
        return public
    raise UnknownNameError(
        "vLLM release",
        version,
        nearest_releases(public),
        f"the vLLM installed here is not in the tables ({_range()}); name one that is: "
        f"--engine vllm@{nearest_releases(public)[0]}",
    )


def nearest_releases(version: str) -> tuple[str, ...]:
    """Up to three known releases, nearest in number first."""
    wanted = parse_release(version)
    if wanted is None:
        near = difflib.get_close_matches(version, BY_VERSION, 3, 0.4)
        return tuple(near) or (NEWEST.version,)
    numbers = {name: parse_release(name) or (0, 0, 0) for name in BY_VERSION}

    def distance(name: str) -> tuple[int, int, int]:
        one = numbers[name]
        return abs(one[0] - wanted[0]), abs(one[1] - wanted[1]), abs(one[2] - wanted[2])

    return tuple(sorted(numbers, key=distance)[:3])


def _hint(version: str) -> str:
    near = ", ".join(nearest_releases(version))
    return (
        f"nearest: {near}; the tables hold {_range()}; "
        f"where the release is installed, --engine {INSTALLED} asks it"
    )


def _range() -> str:
    return f"{next(iter(BY_VERSION))} to {NEWEST.version}"
