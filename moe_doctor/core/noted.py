"""A stand-in for a value that notes what is read of it, and how the same is read again.

Rules that are handed one do not know it from the value itself: a NamedTuple with plain fields,
parts that are NamedTuples, mappings and methods.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, cast

H = TypeVar("H", bound=Hashable)


class Reading(NamedTuple):
    """One look at a value."""

    kind: str
    """A key of `_AGAIN`."""
    field: str
    """Which field, with dots into parts; empty for the value itself."""
    asked: tuple[Any, ...] = ()
    """The key of a mapping, what a method was called with, or a rule and what it was asked."""


# The same looks are taken all the time: each is one object.
_reading = lru_cache(maxsize=4096)(Reading)
Notes = dict[Reading, Hashable]
"""What was seen at each reading, in the order in which they were first made."""
Parts = Mapping[str, bool]
"""Fields whose values have fields of their own, read one by one -> whether they may be None."""
_PLAIN = frozenset({str, int, bool, float, tuple, type(None)})


class Noted:
    """Stands for `value`; what is read of it is in `notes` afterwards.

    What was read once is an attribute from then on, so that reading it again costs nothing.
    """

    _value: Any
    _notes: Notes
    _field: str
    _parts: Parts
    _changes: Mapping[str, Any]

    def __init__(self, value: Any, notes: Notes, field: str, parts: Parts, **changes: Any) -> None:
        self.__dict__.update(
            changes, _value=value, _notes=notes, _field=field, _parts=parts, _changes=changes
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            return getattr(self._whole(), name)
        value = getattr(self._value, name)
        field = f"{self._field}.{name}" if self._field else name
        if name in self._parts:
            value = self._part(name, field, value)
        elif value.__class__ in _PLAIN:
            self._notes[_reading("field", field)] = value
        else:
            value = self._other(field, value)
        self.__dict__[name] = value
        return value

    def _part(self, name: str, field: str, value: Any) -> Any:
        there = value is not None
        if self._parts[name]:
            self._notes[_reading("there", field)] = there
        return Noted(value, self._notes, field, self._parts) if there else None

    def _other(self, field: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return _NotedMapping(value, self._notes, field)
        if callable(value):
            return partial(self._call, field, value)
        self._notes[_reading("field", field)] = value
        return value

    def _call(self, field: str, method: Callable[..., Hashable], *asked: Hashable) -> Hashable:
        said = self._notes[_reading("call", field, asked)] = method(*asked)
        return said

    def _look(self, rule: Callable[..., Hashable], *asked: Hashable) -> Hashable:
        if self._changes:
            return rule(self, *asked)  # a copy is read field by field
        said = look(self._value, rule, *asked)
        self._notes[_reading("look", self._field, (rule, *asked))] = said
        return said

    def _replace(self, **changes: Any) -> Noted:
        """As a NamedTuple has it; what the caller put in is no reading."""
        both = {**self._changes, **changes}
        return Noted(self._value, self._notes, self._field, self._parts, **both)

    def _whole(self) -> Any:
        """The value, for what cannot be asked of one field: all of it is read.

        As text, because not all of it need have a hash.
        """
        value = _plain(self._value)
        self._notes[_reading("whole", self._field)] = repr(value)
        if not self._changes:
            return value
        return value._replace(**{name: _plain(one) for name, one in self._changes.items()})

    def __bool__(self) -> bool:
        return True  # as a NamedTuple with fields is, whatever they hold

    def __eq__(self, other: object) -> bool:
        return bool(self._whole() == _plain(other))

    def __hash__(self) -> int:
        return hash(self._whole())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._whole())

    def __getitem__(self, index: Any) -> Any:
        return self._whole()[index]

    def __len__(self) -> int:
        return len(self._whole())

    def __repr__(self) -> str:
        return repr(self._whole())


class _NotedMapping(Mapping[Any, Any]):
    """Stands for a mapping without None among its values: each key is a reading of its own."""

    def __init__(self, mapping: Mapping[Any, Any], notes: Notes, field: str) -> None:
        self._mapping = mapping
        self._notes = notes
        self._field = field

    def __getitem__(self, key: Hashable) -> Any:
        value = self._mapping.get(key)
        self._notes[_reading("item", self._field, (key,))] = value
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[Any]:
        items = _items(self._mapping)
        self._notes[_reading("items", self._field)] = items
        return iter(dict(items))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def look(value: Any, rule: Callable[..., H], *asked: Hashable) -> H:
    """`rule(value, *asked)` as one reading: a smaller one than the fields that the rule reads.

    More values then look the same: most layers have fewer experts than a limit, few have 128.
    """
    if value.__class__ is Noted:
        return cast(H, value._look(rule, *asked))
    return rule(value, *asked)


@lru_cache(maxsize=4096)
def read_again(reading: Reading) -> Callable[[Any], Hashable]:
    """A function that makes the same reading of another value."""
    return _AGAIN[reading.kind](reading.field, *reading.asked)


def _plain(value: Any) -> Any:
    return value._whole() if isinstance(value, Noted) else value


def _items(mapping: Mapping[Any, Any]) -> tuple[tuple[Any, Any], ...]:
    return tuple(sorted(mapping.items()))


def _value_of(field: str) -> Callable[[Any], Any]:
    return attrgetter(field) if field else lambda value: value


def _again_there(field: str) -> Callable[[Any], Hashable]:
    read = attrgetter(field)
    return lambda value: read(value) is not None


def _again_whole(field: str) -> Callable[[Any], Hashable]:
    read = _value_of(field)
    return lambda value: repr(read(value))


def _again_item(field: str, key: Hashable) -> Callable[[Any], Hashable]:
    read = attrgetter(field)
    return lambda value: read(value).get(key)


def _again_items(field: str) -> Callable[[Any], Hashable]:
    read = attrgetter(field)
    return lambda value: _items(read(value))


def _again_look(
    field: str, rule: Callable[..., Hashable], *asked: Hashable
) -> Callable[[Any], Hashable]:
    read = _value_of(field)
    return lambda value: look(read(value), rule, *asked)


def _again_call(field: str, *asked: Hashable) -> Callable[[Any], Hashable]:
    read = attrgetter(field)
    return lambda value: read(value)(*asked)


_AGAIN: dict[str, Callable[..., Callable[[Any], Hashable]]] = {
    "field": attrgetter,
    "there": _again_there,
    "whole": _again_whole,
    "item": _again_item,
    "items": _again_items,
    "call": _again_call,
    "look": _again_look,
}
