"""What all of vLLM's MoE oracles have in common, and how each is stated.

One package per oracle beside this file (`unquantized/`, ...): its backends, its order of
preference, the names that `--moe-backend` may have, and its program, each with release ranges.
Source: fused_moe/oracle/*.py.
"""

from __future__ import annotations

from collections.abc import Callable

from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.kept import Kept
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.record import field, record
from moe_doctor.core.release import Release, Span, span
from moe_doctor.oracle.engines.vllm.layer_options import takes_moe_backend
from moe_doctor.oracle.walk import Backend, Choice, Refused, Walk

# A release's backends of one oracle are one object.
_LINES: Kept[str] = Kept(4096)
Step = Callable[[Walk], Choice | None]


class BackendRow(NamedTuple):
    """A backend and its classes over a range of releases."""

    backend: Backend
    """Member, value, classes, option."""
    span: Span
    """Releases."""


def backend_row(
    member: str,
    value: str,
    kernels: tuple[str, ...],
    option: str | None,
    since: str = "",
    until: str = "",
) -> BackendRow:
    """A `BackendRow` from literals; empty releases = open."""
    return BackendRow(Backend(member, value, kernels, option), span(since, until))


class ExplicitName(NamedTuple):
    """A value of `--moe-backend` that an oracle maps."""

    option: str
    """What the user types."""
    member: str
    """Backend that it stands for."""
    span: Span
    """Releases."""


class ProgramStep(NamedTuple):
    """A step and the releases that have it."""

    step: Step
    """What is done."""
    span: Span
    """Releases."""


class Wording(NamedTuple):
    """How an oracle spells its messages."""

    title: str
    """In errors: `FP8` in `FP8 MoE backend TRITON does not support ...`."""
    log_title: str
    """In the INFO line: `Fp8` in `Using TRITON Fp8 MoE backend out of ...`."""
    option_title: str
    """In the refusal of an option: `FP8` in `moe_backend='x' is not supported for FP8 MoE.`"""
    quotes: bool = False
    """Whether the backend's value is quoted also where a reason follows."""
    log_quotes: bool = False
    """Whether the INFO line quotes the backend's value."""


@record
class MoEOracle:
    """One of vLLM's oracles over all releases that have it."""

    name: str
    """As the recorded answers call it: `unquantized`, `fp8`, ..."""
    wording: Wording
    """Its messages."""
    backend_rows: tuple[BackendRow, ...]
    """Its enum."""
    explicit_names: tuple[ExplicitName, ...]
    """In the order of the error message."""
    program: tuple[ProgramStep, ...]
    """Its select function, step by step; a step that always answers ends it."""
    order: Callable[[Situation, Release], list[str]]
    """Candidates in order of preference: its _get_priority_backends()."""
    _resolved: dict[Release, tuple[dict[str, Backend], tuple[Step, ...]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def at(self, release: Release) -> tuple[dict[str, Backend], tuple[Step, ...]]:
        """A release's backends by member name, and its steps in order; resolved once."""
        found = self._resolved.get(release)
        if found is None:
            held = (row.backend for row in self.backend_rows if row.span.holds(release))
            rows = (_as_asked_for(backend, release) for backend in held)
            steps = (one.step for one in self.program if one.span.holds(release))
            found = self._resolved[release] = {row.member: row for row in rows}, tuple(steps)
        return found


def _as_asked_for(backend: Backend, release: Release) -> Backend:
    """Without its option where the release's parser does not take it."""
    taken = backend.option is None or takes_moe_backend(backend.option, release)
    return backend if taken else backend._replace(option=None)


def map_explicit_name(
    names: tuple[ExplicitName, ...], wording: Wording, option: str, release: Release
) -> str:
    """Member of a `--moe-backend` value; raises `Refused` for one that the oracle lacks."""
    known = {one.option: one.member for one in names if one.span.holds(release)}
    if option not in known:
        raise Refused(
            "ValueError",
            f"moe_backend='{option}' is not supported for {wording.option_title} MoE. "
            f"Expected one of {list(known)}.",
        )
    return known[option]


def return_or_raise(walk: Walk, wording: Wording, member: str) -> Choice:
    """The backend or an error, never another one: _return_or_raise()."""
    kernel, rejection = walk.ask(member)
    if kernel is not None:
        return Choice(member, kernel, log_line(walk, wording, member))
    raise Refused("ValueError", unsupported(walk, wording, member, rejection))


def first_that_fits(walk: Walk, wording: Wording) -> Choice | None:
    """The candidates in order."""
    for member in walk.order:
        kernel, _ = walk.ask(member)
        if kernel is not None:
            return Choice(member, kernel, log_line(walk, wording, member))
    return None


def unsupported(walk: Walk, wording: Wording, member: str, rejection: Rejection | None) -> str:
    """The engine's sentence about a backend that cannot take the deployment."""
    value = walk.backends[member].value
    if rejection is None:
        return (
            f"{wording.title} MoE backend '{value}' does not support the deployment configuration."
        )
    quoted = f"'{value}'" if wording.quotes else value
    return (
        f"{wording.title} MoE backend {quoted} does not support the deployment configuration "
        f"since {rejection.engine}."
    )


def log_line(walk: Walk, wording: Wording, member: str) -> str:
    """The engine's INFO line about a choice."""
    backends, asked = walk.backends, (member, *walk.order)
    line = _LINES.find(backends, asked)
    if line is None:
        value, values = backends[member].value, [backends[one].value for one in walk.order]
        shown = f"'{value}'" if wording.log_quotes else value
        line = f"Using {shown} {wording.log_title} MoE backend out of potential backends: {values}."
        _LINES.keep(backends, asked, line)
    return line


def parse_flag(text: str) -> bool:
    """A 0/1 variable as vLLM reads it; raises `Refused` where int() would raise."""
    try:
        return bool(int(text))
    except ValueError as error:
        raise Refused("ValueError", str(error)) from None
