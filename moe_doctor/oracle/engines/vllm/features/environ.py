"""How vLLM reads its variables."""

from __future__ import annotations

from collections.abc import Mapping


def is_true(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    """VLLM_ROCM_*: `true` and `1` in any case are on, all else is off."""
    value = environment.get(name)
    return default if value is None else value.lower() in ("true", "1")


def is_nonzero(environment: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """0/1 variables: an integer, on when not zero; unreadable counts as the default.

    vLLM raises ValueError on a value that is no integer; the checks report that one.
    """
    value = environment.get(name)
    if value is None:
        return default
    try:
        return bool(int(value))
    except ValueError:
        return default
