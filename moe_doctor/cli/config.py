"""Defaults from `[tool.moe-doctor]` in the pyproject.toml of the current directory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from moe_doctor.cli.binding import ENVIRONMENT_PREFIX, Kind, OptionGroup
from moe_doctor.cli.console import complain
from moe_doctor.core.errors import UnknownNameError, UsageError, nearest_names

DEBUG_VARIABLE = "MOE_DOCTOR_DEBUG"
"""Shows the traceback of an internal error; the one variable that stands for no option."""

_SECTION = b"moe-doctor"
_SIZE_LIMIT = 1 << 20


def read_defaults(directory: Path, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """Values for a command's parameters, by parameter name; empty without a section.

    A key that is an option of another command is left alone, and a file that cannot be read is
    warned of. Raises `UsageError` for TOML that does not parse and for values of a wrong shape,
    `UnknownNameError` for a key of no command.
    """
    path = directory / "pyproject.toml"
    try:
        section = _read_section(path)
    except OSError as error:
        complain(f"warning: {path.name} cannot be read: {error.strerror or error}")
        return {}
    if not section:
        return {}
    known, own = _flags_of_all(), _by_flag(kinds.values())
    defaults: dict[str, Any] = {}
    for key, value in section.items():
        name = "--" + key.replace("_", "-")
        if name not in known:
            nearest = nearest_names(name, known, n=3)
            raise UnknownNameError(
                f"key in [tool.moe-doctor] of {path.name}",
                key,
                tuple(each.removeprefix("--") for each in nearest),
            )
        if name in own:
            defaults[own[name].name] = _plain(value, own[name])
    return defaults


def default_format(directory: Path) -> str:
    """What the config file says of --format, of a file that may be wrong in every other way."""
    try:
        section = _read_section(directory / "pyproject.toml")
    except (OSError, UsageError):
        return ""
    return str(section.get("format", ""))


def warn_of_unread(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Say on stderr which MOE_DOCTOR_ variables no option reads, unless the line is --quiet."""
    if "--quiet" not in words:
        for remark in _unread_variables(environment):
            complain(f"warning: {remark}")


def _unread_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """One remark per MOE_DOCTOR_ variable that no option reads, with the nearest that one does."""
    given = [name for name in environment if name.startswith(ENVIRONMENT_PREFIX)]
    if not given:
        return
    groups = OptionGroup.__subclasses__()
    kinds = (kind for group in groups for kind in group.kinds if kind.flags)
    known = {variable for kind in kinds for variable in kind.variables}
    known.add(DEBUG_VARIABLE)
    for name in sorted(set(given) - known):
        # Without the prefix, which all share, the rest decides.
        rests = [each.removeprefix(ENVIRONMENT_PREFIX) for each in sorted(known)]
        near = nearest_names(name.removeprefix(ENVIRONMENT_PREFIX)[:64], rests, n=1)
        nearest = f"; nearest: {ENVIRONMENT_PREFIX}{near[0]}" if near else ""
        yield f"{name[:80]} is not read by any option{nearest}"


def _read_section(path: Path) -> dict[str, Any]:
    # Opening a pipe of that name would wait for a writer for ever.
    content = path.read_bytes() if path.is_file() else b""
    # Most projects have no such section: they must not pay for a TOML parser.
    if _SECTION not in content or len(content) > _SIZE_LIMIT:
        return {}
    return _parse(path, content)


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path.name} in the current directory is not valid TOML: {error}",
            "[tool.moe-doctor] is read from it; correct it, or run in another directory",
        ) from error
    tool = document.get("tool")
    section = tool.get("moe-doctor", {}) if isinstance(tool, dict) else {}
    if not isinstance(section, dict):
        raise UsageError(f"[tool.moe-doctor] in {path.name} is not a table")
    return section


def _flags_of_all() -> dict[str, Kind]:
    import moe_doctor.cli.options  # noqa: F401 - states all groups

    return _by_flag(kind for group in OptionGroup.__subclasses__() for kind in group.kinds)


def _by_flag(kinds: Iterable[Kind]) -> dict[str, Kind]:
    return {flag: kind for kind in kinds if kind.flags for flag in kind.spellings or (kind.flag,)}


def _plain(value: Any, kind: Kind) -> Any:
    """TOML value to what a command line would have held."""
    if isinstance(value, dict):
        if kind.name in ("eplb_config", "hf_overrides", "speculative_config"):
            return json.dumps(value)
        if kind.many:
            return [f"{name}={each}" for name, each in value.items()]
    if isinstance(value, list) and kind.many:
        return [str(each) for each in value]
    if isinstance(value, str) and kind.many:
        return [value]
    if isinstance(value, str | int | float):
        return value
    raise UsageError(
        f"{kind.flag.removeprefix('--')} in [tool.moe-doctor] is a {type(value).__name__}; "
        f"expected {'a list of strings' if kind.many else 'a string, a number or a boolean'}"
    )
