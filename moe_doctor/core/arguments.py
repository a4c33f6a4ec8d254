"""Types and limits of the Python API's keyword arguments, read off the fields that they fill.

The command line turns text into these types and knows the same limits; a Python caller hands over
values, and a wrong one is named here before anything is looked up.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from moe_doctor.core.errors import UsageError

LIMITS: Mapping[str, tuple[float, float]] = {
    "level": (1, 4),
    "timeout_s": (0.1, 86400),
    "max_lora_rank": (1, 65536),
    "max_num_batched_tokens": (1, 10**18),
    "tensor_parallel_size": (1, 65536),
    "data_parallel_size": (1, 65536),
    "prefill_context_parallel_size": (1, 65536),
    "pipeline_parallel_size": (1, 65536),
    "num_redundant_experts": (0, 65536),
}
"""Smallest and largest value of each number, both included, by the field's name."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "fail_on": ("error", "warning", "never"),
    "mm_encoder_tp_mode": ("weights", "data"),
    "platform": ("cuda", "rocm", "xpu", "cpu", "tpu", "oot"),
}
"""Values of each short list, by the field's name."""


def check_argument(name: str, value: Any, field: str, annotation: str) -> Any:
    """The value, with a path as text and one string as a tuple where several are taken.

    `name` is what the caller typed, `field` what it fills, `annotation` the field's type as it is
    written. Raises UsageError that names the argument, what was seen and what was expected.
    """
    if annotation.startswith("str") and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if annotation == "tuple[str, ...]" and isinstance(value, str):
        value = (value,)
    optional = annotation.endswith(" | None")
    if optional and value is None:
        return None
    known = _TYPES.get(annotation.removesuffix(" | None"))
    if known is not None and not known[0](value):
        raise _error(name, value, known[1] + (" or None" if optional else ""))
    limits = LIMITS.get(field)
    if limits is not None and not limits[0] <= value <= limits[1]:
        raise _error(name, value, f"{limits[0]:g}..{limits[1]:g}")
    choices = CHOICES.get(field)
    if choices is not None and value not in choices:
        raise _error(name, value, " or ".join(map(repr, choices)))
    return tuple(value) if annotation == "tuple[str, ...]" else value


# vLLM config/parallel.py, EPLBConfig, 0.16.0 to 0.33.0; it takes no others.
_EPLB_KEYS = (
    "num_redundant_experts",
    "window_size",
    "step_interval",
    "log_balancedness",
    "log_balancedness_interval",
    "use_async",
    "policy",
    "communicator",
    "enable_migration_batching",
)


def redundant_experts(config: Mapping[str, Any]) -> int:
    """`num_redundant_experts` of an `eplb_config`, whose other keys decide nothing here.

    Raises UsageError when it is no whole number, and for a key that no release's config has.
    """
    name = "num_redundant_experts"
    odd = next((str(key) for key in config if key not in _EPLB_KEYS), None)
    if odd is not None:
        known = ", ".join(_EPLB_KEYS)
        raise UsageError(f"eplb_config has no key {odd[:80]!r}", f"its keys: {known}")
    count = config.get(name, 0)
    if isinstance(count, bool) or not isinstance(count, int):
        raise _error(name, count, "a whole number")
    return int(check_argument(name, count, name, "int"))


def _error(name: str, value: object, expected: str) -> UsageError:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    hint = ""
    if isinstance(value, list | tuple) and "mapping" in expected:
        hint = f'for example: {name}={{"VLLM_USE_DEEP_GEMM": "1"}}'
    return UsageError(f"{name} is {shown}; expected {expected}", hint)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and not math.isnan(value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _is_text_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, (*value, *value.values())))


_TYPES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "str": (_is_text, "a string"),
    "int": (_is_whole, "a whole number"),
    "float": (_is_number, "a number"),
    "bool": (lambda value: isinstance(value, bool), "True or False"),
    "tuple[str, ...]": (_is_texts, "a string or several"),
    "Mapping[str, str]": (_is_text_mapping, "a mapping of strings to strings"),
    "Mapping[str, Any]": (lambda value: isinstance(value, Mapping), "a mapping"),
}
