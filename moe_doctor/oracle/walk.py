"""The engine-neutral part of a selection: ordered candidates, judged once each, reasons kept.

An engine's program is a sequence of steps over a `Walk`; each step either answers or passes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moe_doctor.backends.kernel import SettledKernel, rejected
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release
from moe_doctor.core.selection import Candidate, EngineError, Outcome, Selection


class Backend(NamedTuple):
    """One entry of an engine's backend enum, as one release has it."""

    member: str
    """Name of the enum member."""
    value: str
    """What the engine logs."""
    kernels: tuple[str, ...] = ()
    """Experts classes in the order in which they are asked."""
    option: str | None = None
    """What `--moe-backend` calls it; None where no value does."""


class Refused(Exception):  # noqa: N818 - the engine refuses, nothing failed here
    """The engine raises here: ends the program."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.error = EngineError(type_, message)


_UNKNOWN = Rejection("", "")
"""Stands for a verdict that was not found yet."""
_NOTHING: Mapping[str, Any] = {}
"""Where a walk has nothing to say: most have no exception of any kind."""


class Walk:
    """One selection in progress: the situation, the candidates left, and every judgement.

    What most walks do not need is shared, so lists and mappings are replaced, not changed.
    """

    __slots__ = (
        "_asked",
        "_judged",
        "aside",
        "backends",
        "earlier",
        "environment",
        "kernels",
        "left_out",
        "notes",
        "order",
        "overruled",
        "release",
        "shown",
        "situation",
        "variants",
    )

    def __init__(
        self,
        situation: Situation,
        release: Release,
        kernels: Mapping[str, SettledKernel],
        backends: Mapping[str, Backend],
        environment: Mapping[str, str],
        order: list[str],
    ) -> None:
        self.situation = situation
        """The question and the machine."""
        self.release = release
        """Whose rules hold."""
        self.kernels = kernels
        """The release's kernels by class name, as the machine leaves them."""
        self.backends = backends
        """The release's backends by member name."""
        self.environment = environment
        """Variables that the engine would see."""
        self.order = order
        """Members still to be tried, in order; steps may `drop` some."""
        self.shown = order
        """Members for the trace, in the engine's first order."""
        self.notes: list[str] = []
        """Why the walk was cut short or turned."""
        self.variants: Mapping[str, Situation] = _NOTHING
        """Members that are asked about another situation (their own activation format)."""
        self.left_out: Mapping[str, str] = _NOTHING
        """Members that a step took off the list: why."""
        self.aside: Mapping[str, str] = _NOTHING
        """Classes asked by a step alone -> the member that they belong to."""
        self.overruled: Mapping[str, str] = _NOTHING
        """Classes that fit and were passed over by a step's own condition: why."""
        self.earlier: tuple[tuple[str, str, Rejection], ...] = ()
        """(member, class, why not) of what is asked once more about another situation."""
        self._asked: list[tuple[str, str]] = []
        self._judged: dict[str | tuple[str, str], Rejection | None] = {}

    def judge(self, kernel: str, member: str = "") -> Rejection | None:
        """Whether a class can take the situation (a member's own, where it has one)."""
        here = self.kernels[kernel]
        if here.rejection is not None:
            return here.rejection
        own = self.variants.get(member)
        key = kernel if own is None else (kernel, member)
        known = self._judged.get(key, _UNKNOWN)
        if known is _UNKNOWN:
            known = here.judge(self.situation if own is None else own)
            self._judged[key] = known
        return known

    def ask(self, member: str) -> tuple[str | None, Rejection | None]:
        """Ask a backend's classes in order as the engine does: (class, None) or (None, why)."""
        if member not in self.shown:
            self.shown = [member, *self.shown]
        rejection: Rejection | None = None
        for kernel in self.backends[member].kernels:
            # As ask_kernel: most classes fall at the machine, and most time goes by here.
            self._asked.append((kernel, member))
            rejection = self.kernels[kernel].rejection or self.judge(kernel, member)
            if rejection is None:
                return kernel, None
            if rejection.raises:
                raise Refused("KeyError", rejection.raises)
        return None, rejection

    def ask_kernel(self, kernel: str, member: str = "") -> Rejection | None:
        """Ask one class as the engine does, for a member or by itself."""
        self._asked.append((kernel, member))
        rejection = self.judge(kernel, member)
        if rejection is not None and rejection.raises:
            raise Refused("KeyError", rejection.raises)
        return rejection

    def begin_again(self, member: str) -> None:
        """Put what a member was turned down for aside: it is asked about another situation next."""
        for kernel in self.backends[member].kernels:
            rejection = self.judge(kernel, member)
            if (kernel, member) in self._asked and rejection is not None:
                self.earlier += ((member, kernel, rejection),)
            self._judged.pop((kernel, member), None)

    def drop(self, members: Iterable[str], why: str) -> None:
        """Take members off the list."""
        dropped = [member for member in members if member in self.order]
        if dropped:
            self.order = [member for member in self.order if member not in dropped]
            self.left_out = {**self.left_out, **dict.fromkeys(dropped, why)}

    def trace(self, chosen: str | None, kernel: str | None) -> tuple[Candidate, ...]:
        """Every candidate at the end, those that the engine never asked marked as such."""
        ending = chosen, kernel
        out = [self._candidate(self.aside[name], name, ending) for name in self.aside]
        members = self.shown if chosen is None or chosen in self.shown else [chosen, *self.shown]
        for member in members:
            backend = self.backends[member]
            out += [
                rejected(backend.value, self.kernels[name].name, rejection, True)
                for one, name, rejection in self.earlier
                if one == member
            ]
            if not backend.kernels:
                out.append(Candidate(backend.value, None, True, _without_class(backend)))
            out += [self._candidate(member, name, ending) for name in backend.kernels]
        return tuple(out)

    def _candidate(
        self, member: str, name: str, ending: tuple[str | None, str | None]
    ) -> Candidate:
        value, here = self.backends[member].value, self.kernels[name]
        if (member, name) == ending:
            reason = self.notes[0] if self.notes else "first that fits"
            return Candidate(value, here.name, True, reason)
        asked = (name, member) in self._asked or (name, "") in self._asked
        if here.rejection is not None:
            return here.unfit(value, asked)
        rejection = self.judge(name, member)
        if rejection is not None:
            return rejected(value, here.name, rejection, asked)
        if member in self.left_out:
            return Candidate(value, here.name, False, self.left_out[member], False)
        if name in self.overruled:
            return Candidate(value, here.name, False, self.overruled[name], asked)
        return Candidate(value, here.name, True, "fits too; comes later", asked)


def _without_class(backend: Backend) -> str:
    """Why a backend that has no class is taken."""
    if backend.member == "NONE":
        return "no kernel fits; the engine goes on without one"
    return "the only path on this platform"


class Choice(NamedTuple):
    """What a step decided."""

    member: str
    """Backend member."""
    kernel: str | None
    """Experts class, None where the oracle names none."""
    log: str = ""
    """The engine's INFO line."""
    runs: str | None = None
    """The class that ends up running, when it is not `kernel`."""


def selected(walk: Walk, choice: Choice, oracle: str) -> Selection:
    """The `Selection` of a choice, without its trace and for the model's first kind of layer."""
    backend = walk.backends[choice.member]
    kernel = None if choice.kernel is None else walk.kernels[choice.kernel].name
    return Selection(
        moe_layers=0,
        lora=walk.situation.query.lora,
        oracle=oracle,
        outcome=Outcome.SELECTED,
        backend=backend.value,
        backend_option=backend.option,
        kernel=kernel,
        runs=choice.runs or kernel,
        engine_log=choice.log or None,
        note="; ".join(walk.notes),
        activation_format=walk.situation.activation_format,
    )


def refused(walk: Walk, error: EngineError, oracle: str) -> Selection:
    """The `Selection` of an exception, as `selected`."""
    return Selection(
        moe_layers=0,
        lora=False,
        oracle=oracle,
        outcome=Outcome.ERROR,
        error=error,
        note="; ".join(walk.notes),
        activation_format=walk.situation.activation_format,
    )
