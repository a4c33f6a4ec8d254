"""A record's field that is worked out when it is first read.

`why` wants every candidate judged, most other readers the choice alone. Whoever builds the record
gives `later(make, ...)` for the value; to every reader the field holds the value itself, in
equality, hash, repr, `replace` and pickles too. `make` has to be a pure function of values that
nobody changes any more, so that it does not matter when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

T = TypeVar("T")


class _Later(partial[T]):
    """Stands in a record's `__dict__` for a value that nobody has read yet."""

    def read(self) -> T:
        """The value, made once."""
        try:
            return self._value
        except AttributeError:
            self._value: T = self()
            return self._value

    def __eq__(self, other: object) -> bool:
        return bool(self.read() == (other.read() if isinstance(other, _Later) else other))

    def __hash__(self) -> int:
        return hash(self.read())

    def __repr__(self) -> str:
        return repr(self.read())

    def __reduce__(self) -> tuple[Callable[[T], T], tuple[T]]:
        return _given, (self.read(),)


class _LateField(Generic[T]):
    """Reads a `_Later` where one stands; everything else is a plain field of a record."""

    def __init__(self, default: T) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> T:
        if instance is None:
            return self._default
        values = instance.__dict__
        value = values[self._name]
        if value.__class__ is _Later:
            value = values[self._name] = value.read()
        found: T = value
        return found

    def __set__(self, instance: Any, value: T) -> NoReturn:
        raise AttributeError(f"cannot assign to field {self._name!r}")


if TYPE_CHECKING:

    def later(make: Callable[..., T], *asked: Any) -> T:
        """For a `late` field: what `make(*asked)` returns, called when the field is first read."""

else:
    later = _Later


def late(default: T) -> T:
    """The default of a record's field that may be given `later`."""
    return cast(T, _LateField(default))


def _given(value: T) -> T:
    return value
