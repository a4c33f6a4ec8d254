"""A field that is worked out when it is first read behaves as its value everywhere."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from moe_doctor.core.later import later
from moe_doctor.core.record import replace
from moe_doctor.core.selection import Candidate, Outcome, Selection

TRACE = (Candidate("TRITON", "TritonExperts", True, "first that fits"),)
PLAIN = Selection(0, False, "fp8", Outcome.SELECTED, backend="TRITON", trace=TRACE)


class Maker:
    """Makes the trace and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> tuple[Candidate, ...]:
        self.calls += 1
        return TRACE


def late(make: Any) -> Selection:
    return Selection(0, False, "fp8", Outcome.SELECTED, backend="TRITON", trace=later(make))


def test_the_value_is_made_when_it_is_first_read_and_only_then() -> None:
    make = Maker()
    selection = late(make)
    assert (selection.backend, make.calls) == ("TRITON", 0)
    assert selection.trace is TRACE
    assert selection.trace is TRACE
    assert make.calls == 1


def test_equality_hash_and_repr_are_those_of_the_value() -> None:
    assert late(Maker()) == PLAIN
    assert late(Maker()) == late(Maker())
    plain, unread = PLAIN, late(Maker())
    assert plain == unread
    assert late(tuple) != PLAIN
    assert hash(late(Maker())) == hash(PLAIN)
    assert repr(late(Maker())) == repr(PLAIN)
    assert late(Maker()).to_dict() == PLAIN.to_dict()


def test_a_copy_with_changes_shares_what_was_made() -> None:
    make = Maker()
    selection = late(make)
    changed = replace(selection, note="cut short")
    assert make.calls == 0
    assert changed.trace == selection.trace == TRACE
    assert make.calls == 1
    assert replace(selection, trace=()).trace == ()


def test_pickles_and_deep_copies_hold_the_value() -> None:
    assert pickle.loads(pickle.dumps(late(Maker()))) == PLAIN
    assert copy.deepcopy(late(Maker())) == PLAIN
    assert copy.copy(late(Maker())) == PLAIN


def test_the_field_keeps_its_default_and_stays_frozen() -> None:
    assert Selection(0, False, None, Outcome.ERROR).trace == ()
    assert {one.name: one.default for one in fields(Selection)}["trace"] == ()
    with pytest.raises(FrozenInstanceError):
        PLAIN.trace = ()  # type: ignore[misc]


def test_what_raises_while_it_is_made_raises_again() -> None:
    def fail() -> tuple[Candidate, ...]:
        raise LookupError("no such kernel")

    selection = late(fail)
    for _ in range(2):
        with pytest.raises(LookupError, match="no such kernel"):
            assert selection.trace
