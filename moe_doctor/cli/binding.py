"""Groups of options as small classes, of which a command takes whole ones.

Every flag is spelled once, on a group in `moe_doctor.cli.options`. From there `plain` reads a usual
command line, and `signature` makes what Typer reads; both fill the groups with `call_with`.

Groups are not dataclasses and annotations are never evaluated: both would cost 20 ms at every
start (CPython 3.11, x86-64 virtual machine).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moe_doctor.core.named import NamedTuple

ENVIRONMENT_PREFIX = "MOE_DOCTOR_"


class OneOf(NamedTuple):
    """A value out of a short list."""

    values: tuple[str, ...]
    """What is accepted, as typed."""


class Within(NamedTuple):
    """A number within limits, both included."""

    low: float
    """Smallest accepted value."""
    high: float
    """Largest accepted value."""


class Suffixed(NamedTuple):
    """A whole number that may end in k, m, g (1000s) or K, M, G (1024s), as vLLM reads it."""

    low: int
    """Smallest accepted value."""


class Kind(NamedTuple):
    """One parameter: how it is spelled, and what its text is turned into."""

    name: str
    """The parameter's name in Python."""
    base: type
    """`str`, `int`, `float` or `bool`."""
    default: Any
    """Its value when nobody gives one; None for none."""
    flags: tuple[str, ...]
    """Click's declarations; empty for an argument."""
    metavar: str | None
    """How the help calls its value."""
    help: str
    """What the help says."""
    many: bool
    """Whether it may be given several times."""
    limit: OneOf | Within | Suffixed | None
    """What values are accepted."""
    section: str
    """Heading that the help lists it under."""

    @property
    def flag(self) -> str:
        """How a message calls it: its first long flag, or its metavar."""
        long = (each for each in self.flags if each.startswith("--"))
        return next(long, self.metavar or self.name).split("/", maxsplit=1)[0]

    @property
    def spellings(self) -> tuple[str, ...]:
        """Its long flags, those that say no left out: `--lora` and `--enable-lora`."""
        return tuple(each.split("/", maxsplit=1)[0] for each in self.flags if each.startswith("--"))

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that stand in for the flag, one for each spelling."""
        return tuple(map(_variable, self.spellings or (self.flag,)))


class Declaration(NamedTuple):
    """What a group's body says about one of its options."""

    flags: tuple[str, ...]
    default: Any
    metavar: str | None
    help: str
    limit: OneOf | Within | Suffixed | None


def option(
    *flags: str,
    help: str,
    default: Any = None,
    metavar: str | None = None,
    limit: OneOf | Within | Suffixed | None = None,
) -> Any:
    """One option of a group: `name: int = option("--name", help=...)`."""
    return Declaration(flags, default, metavar, help, limit)


def argument(metavar: str, *, help: str) -> Any:
    """One optional positional argument of a group."""
    return Declaration((), None, metavar, help, None)


class OptionGroup:
    """Base of the groups: keeps the declarations, and holds the values of one command line."""

    kinds: tuple[Kind, ...] = ()
    """The group's options in order; filled in per subclass."""

    def __init_subclass__(cls) -> None:
        kinds = []
        for name, annotation in cls.__annotations__.items():
            base, many = _TYPES[annotation]
            declared: Declaration = cls.__dict__[name]
            kinds.append(
                Kind(
                    name=name,
                    base=base,
                    default=declared.default,
                    flags=declared.flags,
                    metavar=declared.metavar,
                    help=declared.help,
                    many=many,
                    limit=declared.limit,
                    section=(cls.__doc__ or "").splitlines()[0],
                )
            )
        cls.kinds = tuple(kinds)

    def __init__(self, **values: Any) -> None:
        for kind in self.kinds:
            value = values.pop(kind.name, kind.default)
            # Typer hands over a list, or None for an empty one.
            setattr(self, kind.name, tuple(value or ()) if kind.many else value)
        if values:
            raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")


_TYPES: dict[str, tuple[type, bool]] = {
    "str": (str, False),
    "str | None": (str, False),
    "int": (int, False),
    "int | None": (int, False),
    "float": (float, False),
    "bool": (bool, False),
    "bool | None": (bool, False),
    "tuple[str, ...]": (str, True),
}
"""Every annotation that a group may use: its type, and whether it repeats."""


Groups = Mapping[str, type[OptionGroup]]
"""A command's groups by the name of its function's parameter."""


def groups_of(function: Callable[..., None]) -> Groups:
    """The groups that a command takes."""
    return {
        name: getattr(function, "__globals__")[annotation]  # noqa: B009
        for name, annotation in function.__annotations__.items()
        if name != "return"
    }


def kinds_in(groups: Groups) -> dict[str, Kind]:
    """The parameters of all groups, by name."""
    return {kind.name: kind for group in groups.values() for kind in group.kinds}


def call_with(function: Callable[..., None], groups: Groups, values: Mapping[str, Any]) -> None:
    """Call a command with its groups, filled from one value per parameter."""
    function(
        **{
            name: group(**{kind.name: values[kind.name] for kind in group.kinds})
            for name, group in groups.items()
        }
    )


def _variable(flag: str) -> str:
    return ENVIRONMENT_PREFIX + flag.lstrip("-").replace("-", "_").upper()
