"""Groups of options as dataclasses, unfolded into the flat signature that Typer reads.

Every flag is spelled once, on a dataclass field in `moe_doctor.cli.options`. A command takes whole
groups; `bind` gives Typer a function with one parameter per field and fills the groups again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from typer.models import OptionInfo, ParameterInfo

ENVIRONMENT_PREFIX = "MOE_DOCTOR_"
KINDS = "__moe_doctor_kinds__"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A value out of a short list."""

    values: tuple[str, ...]
    """What is accepted, as typed."""


@dataclass(frozen=True, slots=True)
class Within:
    """A number within limits, both included."""

    low: float
    """Smallest accepted value."""
    high: float
    """Largest accepted value."""


@dataclass(frozen=True, slots=True)
class Suffixed:
    """A whole number that may end in k, m, g (1000s) or K, M, G (1024s), as vLLM reads it."""


Limit = OneOf | Within | Suffixed | None


@dataclass(frozen=True, slots=True)
class Kind:
    """What a parameter's text is turned into."""

    name: str
    """The parameter's name in Python."""
    flag: str
    """How a message calls it: its first long flag, or its metavar."""
    base: type
    """`str`, `int`, `float` or `bool`."""
    many: bool = False
    """Whether it may be given several times."""
    limit: Limit = None
    """What values are accepted."""
    section: str = ""
    """Heading that the help lists it under."""

    @property
    def variable(self) -> str:
        """The environment variable that stands in for the flag."""
        return ENVIRONMENT_PREFIX + self.flag.lstrip("-").replace("-", "_").upper()


def bind(function: Callable[..., None]) -> Callable[..., None]:
    """A function with one keyword per option; calling it calls `function` with its groups."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    kinds: dict[str, Kind] = {}
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if not is_dataclass(hint):
            kind = read_kind(parameter.name, hint)
            kinds[kind.name] = kind
            parameters.append(_parameter(kind, hint, parameter.default))
            continue
        assert isinstance(hint, type)
        groups[parameter.name] = hint
        for kind, annotation, default in _unfold(hint):
            kinds[kind.name] = kind
            parameters.append(_parameter(kind, annotation, default))

    def call(**values: Any) -> None:
        arguments: dict[str, Any] = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        function(**arguments, **values)

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    setattr(call, KINDS, kinds)
    return call


def kinds_of(callback: object) -> Mapping[str, Kind]:
    """The kinds of a bound function's parameters, by parameter name."""
    kinds: Mapping[str, Kind] = getattr(callback, KINDS, {})
    return kinds


def group_kinds(group: type) -> tuple[Kind, ...]:
    """The kinds of one option group, in the order of its fields."""
    return tuple(kind for kind, _, _ in _unfold(group))


def read_kind(name: str, annotation: Any, section: str = "") -> Kind:
    """What `Annotated[type, typer.Option(...), limit]` says about one parameter."""
    base, *metadata = get_args(annotation)
    if get_origin(base) in (Union, UnionType):
        base = next(each for each in get_args(base) if each is not type(None))
    many = get_origin(base) is list
    info = next(each for each in metadata if isinstance(each, ParameterInfo))
    limit = next((each for each in metadata if isinstance(each, OneOf | Within | Suffixed)), None)
    return Kind(
        name=name,
        flag=_flag(info) or name.upper(),
        base=get_args(base)[0] if many else base,
        many=many,
        limit=limit,
        section=section,
    )


def _unfold(group: type) -> list[tuple[Kind, Any, Any]]:
    hints = get_type_hints(group, include_extras=True)
    section = inspect.getdoc(group) or ""
    unfolded = []
    for field in fields(group):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        annotation = hints[field.name]
        unfolded.append((read_kind(field.name, annotation, section), annotation, default))
    return unfolded


def _parameter(kind: Kind, annotation: Any, default: Any) -> inspect.Parameter:
    base, *metadata = get_args(annotation)
    info = copy(next(each for each in metadata if isinstance(each, ParameterInfo)))
    if isinstance(info, OptionInfo):
        info.envvar = kind.variable
        info.show_envvar = False
    return inspect.Parameter(
        kind.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[base, info],
    )


def _flag(info: ParameterInfo) -> str:
    """First long flag: Typer keeps the first declaration in `default` until it reads it."""
    first = [info.default] if isinstance(info.default, str) else []
    for declaration in (*first, *(info.param_decls or ())):
        if declaration.startswith("--"):
            return declaration.split("/", maxsplit=1)[0]
    return ""
