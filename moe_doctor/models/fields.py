"""Typed reading of one config section: every wrong type is a `ModelError` that names the key.

Nothing here knows a family; it knows what an integer, a flag and a list look like in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.errors import ModelError

MAX_COUNT = 10_000_000
"""Largest count or width that is believed; beyond it the file is broken or hostile."""

MAX_LAYERS = 10_000
"""Largest number of layers that is believed."""


class Fields:
    """Read-only view of a config section, with the defaults of its config class underneath."""

    __slots__ = ("assumed", "defaults", "values")

    def __init__(self, values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None):
        self.values = values
        self.defaults: Mapping[str, Any] = defaults or {}
        self.assumed: set[str] = set()
        """Keys that were absent and came from `defaults`."""

    def find(self, *names: str) -> tuple[str, Any] | None:
        """First of `names` that is present and not null, with its value."""
        for name in names:
            value = self.values.get(name)
            if value is not None:
                return name, value
        for name in names:
            value = self.defaults.get(name)
            if value is not None and name not in self.values:
                self.assumed.add(name)
                return name, value
        return None

    def has(self, *names: str) -> bool:
        """Whether the file itself gives any of `names` a value."""
        return any(self.values.get(name) is not None for name in names)

    def integer(self, *names: str, minimum: int = 0, maximum: int = MAX_COUNT) -> int | None:
        """An integer within bounds, or None when absent."""
        found = self.find(*names)
        return None if found is None else as_integer(*found, minimum=minimum, maximum=maximum)

    def integer_or(self, default: int, *names: str, minimum: int = 0) -> int:
        """An integer, or `default` when absent."""
        value = self.integer(*names, minimum=minimum)
        return default if value is None else value

    def required(self, what: str, *names: str) -> int:
        """A positive integer that the model cannot be understood without."""
        value = self.integer(*names, minimum=1)
        if value is None:
            raise ModelError(
                f"no {what}: none of {', '.join(names)} is set; {describe_keys(self.values)}",
                "give it with --hf-overrides, or name another model",
            )
        return value

    def number(self, default: float, *names: str) -> float:
        """A finite number, or `default` when absent."""
        found = self.find(*names)
        if found is None:
            return default
        name, value = found
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ModelError(f"{name} is {show(value)}; expected a number")
        if isinstance(value, int) and value.bit_length() > 64:
            raise ModelError(f"{name} is {show(value)}; expected a number below 2**64")
        result = float(value)
        if result - result != 0.0:  # NaN or infinite
            raise ModelError(f"{name} is {show(value)}; expected a finite number")
        return result

    def flag(self, default: bool, *names: str) -> bool:
        """A boolean (0 and 1 count), or `default` when absent."""
        found = self.find(*names)
        if found is None:
            return default
        name, value = found
        if isinstance(value, bool):
            return value
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        raise ModelError(f"{name} is {show(value)}; expected true or false")

    def text(self, *names: str) -> str | None:
        """A short string, or None when absent."""
        found = self.find(*names)
        if found is None:
            return None
        name, value = found
        if not isinstance(value, str) or len(value) > 4096:
            raise ModelError(f"{name} is {show(value)}; expected a short string")
        return value

    def items(self, *names: str) -> tuple[str, list[Any]] | None:
        """A list with its key, or None when absent."""
        found = self.find(*names)
        if found is None:
            return None
        name, value = found
        if not isinstance(value, (list, tuple)):
            raise ModelError(f"{name} is {show(value)}; expected a list")
        return name, list(value)

    def integers(self, name: str, *, maximum: int = MAX_COUNT) -> list[int] | None:
        """A list of non-negative integers, or None when absent."""
        found = self.items(name)
        if found is None:
            return None
        return [as_integer(name, item, minimum=0, maximum=maximum) for item in found[1]]

    def section(self, name: str) -> Mapping[str, Any]:
        """A nested object, empty when absent."""
        value = self.values.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise ModelError(f"{name} is {show(value)}; expected an object")
        return value

    def overlay(self, extra: Mapping[str, Any]) -> Fields:
        """The same section with some keys replaced, as one layer of it may have them."""
        return Fields({**self.values, **extra}, self.defaults)


def read_size(section: Mapping[str, Any], *names: str) -> int | None:
    """First of `names` that is a positive number; anything else is not said."""
    for name in names:
        value = section.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_COUNT:
            return value
    return None


def as_integer(name: str, value: object, *, minimum: int, maximum: int) -> int:
    """`value` if it is an integer within bounds; booleans and floats are not integers."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ModelError(f"{name} is {show(value)}; expected an integer")
    if not minimum <= value <= maximum:
        raise ModelError(f"{name} is {show(value)}; expected {minimum}..{maximum}")
    return value


def show(value: object) -> str:
    """A value in a message: short whatever it is."""
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def describe_keys(values: Mapping[str, Any]) -> str:
    """`keys seen: a, b, c`, cut to a readable length."""
    names = [show(name).strip("'") for name in sorted(map(str, values))]
    if not names:
        return "keys seen: none"
    more = "" if len(names) <= 40 else f", and {len(names) - 40} more"
    return f"keys seen: {', '.join(names[:40])}{more}"
