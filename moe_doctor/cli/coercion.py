"""Text to values, with one-line errors that name the flag, the text and what was expected.

Typer would do this through pydantic, whose import alone costs about 0.1 s of a command that
answers in 0.2 s (typer 0.29.2, x86-64 virtual machine, 2 cores).
"""

from __future__ import annotations

import math
from typing import Any

from moe_doctor.cli.binding import Kind, OneOf, Suffixed, Within
from moe_doctor.core.errors import UsageError, nearest_names

_TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})
_FALSE = frozenset({"0", "false", "no", "off", "f", "n"})
# vLLM 0.33 utils/argparse: small letters count in thousands, capitals in 1024s.
_SUFFIXES = {
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "K": 1 << 10,
    "M": 1 << 20,
    "G": 1 << 30,
}


def coerce(value: Any, kind: Kind, source: str = "") -> Any:
    """The value of one parameter, or None when it was not given.

    `source` names where the text came from when it was not the command line. Raises `UsageError`.
    """
    if kind.many:
        if value is None:
            return ()
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_one(item, kind, source) for item in items)
    if not isinstance(value, str | int | float):
        # None, or the placeholder that some releases of click use for "not given".
        return None
    return _one(value, kind, source)


def _one(value: Any, kind: Kind, source: str) -> Any:
    if kind.base is bool:
        return _boolean(value, kind, source)
    if kind.base is int:
        return _integer(value, kind, source)
    if kind.base is float:
        return _number(value, kind, source)
    text = str(value)
    if isinstance(kind.limit, OneOf) and text not in kind.limit.values:
        raise _error(kind, text, _either(kind.limit.values), source)
    return text


def _boolean(value: Any, kind: Kind, source: str) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise _error(kind, value, "true or false", source)


def _integer(value: Any, kind: Kind, source: str) -> int:
    text = str(value).strip()
    factor = 1
    if isinstance(kind.limit, Suffixed) and text[-1:] in _SUFFIXES:
        factor = _SUFFIXES[text[-1]]
        text = text[:-1]
    # int() also takes "1_000" and other scripts' digits, and is slow on thousands of them.
    if not (text.removeprefix("-").isdecimal() and text.isascii() and len(text) <= 18):
        raise _error(kind, value, "a whole number", source)
    number = int(text) * factor
    if isinstance(kind.limit, Suffixed) and number < kind.limit.low:
        raise _error(kind, value, f"at least {kind.limit.low}", source)
    if isinstance(kind.limit, Within) and not kind.limit.low <= number <= kind.limit.high:
        raise _error(kind, value, f"{kind.limit.low:g}..{kind.limit.high:g}", source)
    return number


def _number(value: Any, kind: Kind, source: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise _error(kind, value, "a number", source)
    if isinstance(kind.limit, Within) and not kind.limit.low <= number <= kind.limit.high:
        raise _error(kind, value, f"{kind.limit.low:g}..{kind.limit.high:g}", source)
    return number


def _error(kind: Kind, value: Any, expected: str, source: str) -> UsageError:
    message = f"{kind.flag} is {str(value)[:80]!r}; expected {expected}"
    near: tuple[str, ...] = ()
    if isinstance(kind.limit, OneOf):
        near = nearest_names(str(value)[:64].lower(), kind.limit.values, 1)
    hints = [f"nearest: {near[0]}"] if near else []
    if source:
        hints.append(f"the value came from {source}")
    return UsageError(message, "; ".join(hints))


def _either(values: tuple[str, ...]) -> str:
    return ", ".join(values[:-1]) + f" or {values[-1]}"
