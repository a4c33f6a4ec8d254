"""Engines by name, and the release that a request means."""

from __future__ import annotations

import re
import sys

from moe_doctor.core.errors import UnknownNameError, UsageError, nearest_names
from moe_doctor.core.release import format_release, parse_release
from moe_doctor.core.report import Engine
from moe_doctor.oracle.engines.vllm.releases import BY_VERSION, NEWEST

ENGINES = ("vllm",)
INSTALLED = "installed"
"""`--engine installed`: the vLLM of this environment, or none."""

# A release alone, or after the engine's name as pip would have it: 0.20.0, v0.20, vllm==0.20.0.
_BARE_RELEASE = re.compile(r"(?:vllm)?[\s=:_-]*v?(?P<release>\d+\.\d\S*)")
# A build of the release for one CUDA, ROCm or for the CPU: the same Python, other kernels.
_BUILD = re.compile(r"\+(?:cu\d+|cpu|rocm\d*)$")


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
        near = nearest_names(name, ENGINES, 3, 0.3)
        bare = _BARE_RELEASE.fullmatch(name)
        if bare is not None and not separator:
            known = _plain(bare["release"])
            raise UnknownNameError(
                "engine",
                name,
                near,
                f"a release needs its engine: {ENGINES[0]}@{known}"
                if known
                else f"a release is spelled {ENGINES[0]}@VERSION; {_hint(bare['release'])}",
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
    plain = _plain(version)
    if plain:
        return plain
    raise UnknownNameError("vLLM release", version, nearest_releases(version), _hint(version))


def _plain(version: str) -> str:
    """The release of the tables that a version means, or empty."""
    release = parse_release(_BUILD.sub("", version))
    plain = "" if release is None else format_release(release)
    return plain if plain in BY_VERSION else ""


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
        # A candidate or a local build: the release that its numbers name comes first.
        numbers = re.match(r"v?\d+\.\d+(?:\.\d+)?", version)
        if numbers is not None:
            return nearest_releases(numbers[0])
        near = nearest_names(version, BY_VERSION, 3, 0.4)
        return tuple(near) or (NEWEST.version,)
    known = {name: parse_release(name) or (0, 0, 0) for name in BY_VERSION}

    def distance(name: str) -> tuple[int, int, int]:
        one = known[name]
        return abs(one[0] - wanted[0]), abs(one[1] - wanted[1]), abs(one[2] - wanted[2])

    return tuple(sorted(known, key=distance)[:3])


def _hint(version: str) -> str:
    near = ", ".join(nearest_releases(version))
    return (
        f"nearest: {near}; the tables hold {_range()}; "
        f"where the release is installed, --engine {INSTALLED} asks it"
    )


def _range() -> str:
    return f"{next(iter(BY_VERSION))} to {NEWEST.version}"
