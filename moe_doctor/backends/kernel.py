"""A kernel (vLLM: experts class) as rows of constraints with release ranges."""

from __future__ import annotations

from collections.abc import Iterable

from moe_doctor.backends.constraints import Constraint, Question, settle
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.record import field, record
from moe_doctor.core.release import Release, Span, span
from moe_doctor.core.selection import Candidate


class Row(NamedTuple):
    """One constraint and the releases that it holds for."""

    constraint: Constraint
    """The condition."""
    span: Span
    """Releases."""


def row(constraint: Constraint, since: str = "", until: str = "") -> Row:
    """A `Row` from release strings; empty = open."""
    return Row(constraint, span(since, until))


@record
class Kernel:
    """One experts class over all releases that have it."""

    name: str
    """The engine's class name."""
    source: str
    """Where the engine states these conditions."""
    rows: tuple[Row, ...]
    """Conditions; those of one stage must not overlap in release ranges unless both hold."""
    key: str = ""
    """Its name in the tables where the engine has two classes of one name; empty = `name`."""


@record
class ResolvedKernel:
    """A kernel as one release has it: its conditions in the order in which they are asked."""

    name: str
    """Class name."""
    constraints: tuple[Constraint, ...]
    """Sorted by stage."""

    def judge(self, situation: Situation) -> Rejection | None:
        """The first reason against it, or None when it can take the situation."""
        for constraint in self.constraints:
            rejection = constraint.rejects(situation)
            if rejection is not None:
                return rejection
        return None

    def settle(self, situation: Situation) -> SettledKernel:
        """The kernel on the situation's machine: what its facts decide is decided once."""
        left: list[Question] = []
        for constraint in self.constraints:
            settled = settle(constraint, situation)
            if isinstance(settled, Rejection):
                if not left:
                    return SettledKernel(self.name, settled)
                left.append(constraint.rejects)
                break  # no later condition is ever asked here
            if settled is not None:
                left.append(settled)
        return SettledKernel(self.name, None, tuple(left))


@record
class SettledKernel:
    """A kernel as one release has it on one machine: what is left to ask of a question."""

    name: str
    """Class name."""
    rejection: Rejection | None
    """What the machine alone has against it, before anything else is asked."""
    conditions: tuple[Question, ...] = ()
    """The conditions that look at more than the machine, in the order in which they are asked."""
    _candidates: dict[tuple[str, bool], Candidate] = field(
        default_factory=dict, compare=False, repr=False
    )

    def judge(self, situation: Situation) -> Rejection | None:
        """As `ResolvedKernel.judge`, for a situation on this machine."""
        if self.rejection is not None:
            return self.rejection
        for rejects in self.conditions:
            rejection = rejects(situation)
            if rejection is not None:
                return rejection
        return None

    def unfit(self, backend: str, asked: bool) -> Candidate:
        """The trace's row of a backend whose class the machine alone rejects; made once."""
        known = self._candidates.get((backend, asked))
        if known is None:
            if self.rejection is None:
                raise ValueError(f"{self.name} is not rejected by the machine alone")
            known = rejected(backend, self.name, self.rejection, asked)
            self._candidates[backend, asked] = known
        return known


def rejected(backend: str, kernel: str, rejection: Rejection, asked: bool) -> Candidate:
    """The trace's row of a backend that a rejection rules out."""
    words = f"KeyError: {rejection.raises}" if rejection.raises else rejection.engine
    return Candidate(backend, kernel, False, rejection.doctor, asked, words)


def resolve(kernel: Kernel, release: Release) -> ResolvedKernel:
    """The kernel as `release` has it."""
    held = (row.constraint for row in kernel.rows if row.span.holds(release))
    return ResolvedKernel(kernel.name, tuple(sorted(held, key=_stage)))


def index(kernels: Iterable[Kernel]) -> dict[str, Kernel]:
    """Kernels by name; a name given twice is a defect of the tables and raises ValueError."""
    table: dict[str, Kernel] = {}
    for kernel in kernels:
        key = kernel.key or kernel.name
        if key in table:
            raise ValueError(f"kernel {key} is stated twice")
        table[key] = kernel
    return table


def _stage(constraint: Constraint) -> int:
    return constraint.stage
