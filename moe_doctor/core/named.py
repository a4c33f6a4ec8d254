"""Named tuples that are cheap to define.

`class Point(NamedTuple)` behaves as with `typing.NamedTuple`, and type checkers take it for that.
The standard one compiles every annotation and a constructor at once, 272 us per class (CPython
3.11, x86-64 virtual machine, 2026-11-30); a hundred classes were a tenth of a cold `select`. Here
annotations stay the text that they are, and a constructor is compiled when it is used a lot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from operator import itemgetter

    try:  # as CPython's `collections` reads a field; other Pythons lack it
        from _collections import _tuplegetter as _reader
    except ImportError:

        def _reader(index, doc):
            return property(itemgetter(index), doc=doc)

    _MADE = {}
    """How many instances a class has whose constructor is not compiled yet."""
    _MANY = 100
    """So many instances are worth a compiled constructor: it takes 130 us, and saves 4 us each."""

    class _Named(tuple):
        """What all named tuples share; tuple itself compares, hashes and unpacks them."""

        __slots__ = ()

        def __new__(cls, *args, **kwargs):
            _MADE[cls] = made = _MADE.get(cls, 0) + 1
            if made == _MANY:
                cls.__new__ = staticmethod(_compile(cls))
                return cls.__new__(cls, *args, **kwargs)
            given = {**dict(zip(cls._fields, args, strict=False)), **kwargs}
            values = cls._field_defaults | given
            if len(given) != len(args) + len(kwargs) or values.keys() != set(cls._fields):
                return _compile(cls)(cls, *args, **kwargs)  # Python's own words for what is wrong
            return tuple.__new__(cls, map(values.__getitem__, cls._fields))

        @classmethod
        def _make(cls, values):
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
            return made

        def _replace(self, /, **changes):
            made = self._make(map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"Got unexpected field names: {list(changes)!r}")
            return made

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            inside = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
            return f"{type(self).__name__}({inside})"

        def __getnewargs__(self):
            return tuple(self)

    def _compile(cls):
        """The constructor of a class, as `collections` makes it."""
        listed = "".join(f"{name}, " for name in cls._fields)
        made = eval(f"lambda _cls, {listed}: _new(_cls, ({listed}))", {"_new": tuple.__new__})
        made.__name__, made.__qualname__ = "__new__", f"{cls.__qualname__}.__new__"
        made.__defaults__ = tuple(cls._field_defaults.values())
        return made

    class _Maker(type):
        """Makes the class that a body with annotations describes."""

        def __new__(mcs, name, bases, body):
            names = tuple(body.get("__annotations__", ()))
            defaults = {each: body[each] for each in names if each in body}
            if any(each in defaults for each in names[: len(names) - len(defaults)]):
                raise TypeError(f"{name} has a field without a default after one with a default")
            body |= {each: _reader(index, None) for index, each in enumerate(names)}
            body |= {"__slots__": (), "__match_args__": names}
            body |= {"_fields": names, "_field_defaults": defaults}
            return type(name, (_Named,), body)

    NamedTuple = type.__new__(_Maker, "NamedTuple", (), {})

__all__ = ["NamedTuple"]
