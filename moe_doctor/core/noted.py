"""A stand-in for a value that notes what is read of it, and how the same is read again.

Rules that are handed one do not know it from the value itself: a NamedTuple with plain fields,
parts that are NamedTuples, mappings and methods.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache, partial
from operator import attrgetter, methodcaller
from typing import Any, TypeVar, cast

H = TypeVar("H", bound=Hashable)


class Reading:
    """One look at a value; equal looks are one object, so identity compares them."""

    __slots__ = ("again", "field", "kind", "plain")

    def __init__(self, kind: str, field: str, *asked: Hashable) -> None:
        self.kind = kind
        """A key of `_AGAIN`."""
        self.field = field
        """Which field, with dots into parts; empty for the value itself."""
        self.again: Callable[[Any], Hashable] = _AGAIN[kind](field, *asked)
        """Makes the same reading of another value; `asked` is the key of a mapping, what a method
        was called with, or a rule and what it was asked."""
        self.plain = _plain_look(field, *asked) if kind == "look" else self.again
        """The same, quicker, of a value that is no stand-in itself."""

    def __repr__(self) -> str:
        return f"Reading({self.kind} {self.field})"


# The same looks are taken all the time, and rules ask for few different ones.
_reading = lru_cache(maxsize=None)(Reading)
Notes = dict[Reading, Hashable]
"""What was seen at each reading, in the order in which they were first made."""
Parts = Mapping[str, bool]
"""Fields whose values have fields of their own, read one by one -> whether they may be None."""
_PLAIN = frozenset({str, int, bool, float, tuple, type(None)})


class _Fields(dict[str, Reading]):
    """The readings of a value's plain fields, by name."""

    def __init__(self, within: str) -> None:
        super().__init__()
        self.within = within
        """The field itself, with dots; empty for the value."""
        self.parts: dict[str, tuple[Reading, _Fields]] = {}
        """Of its own parts: whether there is one, and its fields."""

    def __missing__(self, name: str) -> Reading:
        found = self[name] = _reading("field", self.full(name))
        return found

    def full(self, name: str) -> str:
        """A field with dots."""
        return f"{self.within}.{name}" if self.within else name

    def part(self, name: str) -> tuple[Reading, _Fields]:
        """A part by name: the reading whether it is there, and its fields."""
        found = self.parts.get(name)
        if found is None:
            full = self.full(name)
            found = self.parts[name] = _reading("there", full), _Fields(full)
        return found


FIELDS = _Fields("")
"""Of a value itself."""


class Noted:
    """Stands for `value`; what is read of it is in `notes` afterwards.

    What was read once is an attribute from then on, so that reading it again costs nothing.
    """

    _at: tuple[Any, Notes, _Fields, Parts, Mapping[str, Any]]

    def __init__(
        self, value: Any, notes: Notes, fields: _Fields, parts: Parts, **changes: Any
    ) -> None:
        inside = self.__dict__
        if changes:
            inside.update(changes)
        inside["_at"] = value, notes, fields, parts, changes

    def __getattr__(self, name: str) -> Any:
        if name[0] == "_":
            return getattr(self._whole(), name)
        whole, notes, fields, parts, _ = self._at
        value = getattr(whole, name)
        if name in parts:
            value = self._part(name, value)
        elif value.__class__ in _PLAIN:
            notes[fields[name]] = value
        else:
            value = self._other(fields.full(name), value)
        self.__dict__[name] = value
        return value

    def _part(self, name: str, value: Any) -> Any:
        _, notes, fields, parts, _ = self._at
        reading, inner = fields.part(name)
        there = value is not None
        if parts[name]:
            notes[reading] = there
        return Noted(value, notes, inner, parts) if there else None

    def _other(self, field: str, value: Any) -> Any:
        notes = self._at[1]
        if isinstance(value, Mapping):
            return _NotedMapping(value, notes, field)
        if callable(value):
            return partial(_call, notes, field, value)
        notes[_reading("field", field)] = value
        return value

    def _look(self, rule: Callable[..., Hashable], *asked: Hashable) -> Hashable:
        value, notes, fields, _, changes = self._at
        if changes:
            return rule(self, *asked)  # a copy is read field by field
        said = notes[_reading("look", fields.within, rule, *asked)] = look(value, rule, *asked)
        return said

    def _replace(self, **changes: Any) -> Noted:
        """As a NamedTuple has it; what the caller put in is no reading."""
        value, notes, fields, parts, before = self._at
        return Noted(value, notes, fields, parts, **{**before, **changes})

    def _whole(self) -> Any:
        """The value, for what cannot be asked of one field: all of it is read.

        As text, because not all of it need have a hash.
        """
        whole, notes, fields, _, changes = self._at
        value = _plain(whole)
        notes[_reading("whole", fields.within)] = repr(value)
        if not changes:
            return value
        return value._replace(**{name: _plain(one) for name, one in changes.items()})

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
        self._notes[_reading("item", self._field, key)] = value
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


def _call(notes: Notes, field: str, method: Callable[..., Hashable], *asked: Hashable) -> Hashable:
    said = notes[_reading("call", field, *asked)] = method(*asked)
    return said


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


def _plain_look(field: str, rule: Any, *asked: Hashable) -> Callable[[Any], Hashable]:
    if not field:
        return (lambda value: rule(value, *asked)) if asked else rule
    read = attrgetter(field)
    if not asked:
        return lambda value: rule(read(value))
    return lambda value: rule(read(value), *asked)


def _again_call(field: str, *asked: Hashable) -> Callable[[Any], Hashable]:
    if "." not in field:
        return methodcaller(field, *asked)
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
