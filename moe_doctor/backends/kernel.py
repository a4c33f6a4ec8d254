"""A kernel (vLLM: experts class) as rows of constraints with release ranges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from moe_doctor.backends.constraints import Constraint
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.record import record
from moe_doctor.core.release import Release, Span, span


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
