"""`--hf-overrides`: keys laid over config.json, objects merged into objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.errors import ModelError


def merge_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A new config; where both sides hold an object the override goes inside it."""
    return _merge(config, overrides, depth=0)


def _merge(base: Mapping[str, Any], extra: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > 32:
        raise ModelError("hf_overrides is nested more than 32 deep; expected a few keys")
    merged = dict(base)
    for key, value in extra.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(old, value, depth + 1)
        else:
            merged[key] = value
    return merged
