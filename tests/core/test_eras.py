"""Results shared by releases: between the bounds that were looked at, and no further."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_doctor.core.eras import AlikeByEra, ByEra, NotedRelease, by_era
from moe_doctor.core.release import Release, format_release, span

RELEASES: tuple[Release, ...] = tuple(
    (0, minor, patch) for minor in range(16, 34) for patch in (0, 1)
)
BOUNDS = st.sampled_from(RELEASES)


class Car(NamedTuple):
    """A value with plain fields."""

    colour: str = "red"
    wheels: int = 4


@pytest.mark.parametrize(
    ("look", "since", "until"),
    [
        (lambda release: release >= (0, 18, 0), (0, 18, 0), (1 << 30, 0, 0)),
        (lambda release: release < (0, 22, 1), (0, 0, 0), (0, 22, 1)),
        (lambda release: release > (0, 19, 1), (0, 19, 2), (1 << 30, 0, 0)),
        (lambda release: release <= (0, 20, 0), (0, 0, 0), (0, 20, 1)),
        (lambda release: (0, 18, 0) <= release < (0, 22, 0), (0, 18, 0), (0, 22, 0)),
        (lambda release: release > (0, 25, 0), (0, 0, 0), (0, 25, 1)),
        (lambda release: span("0.19.0", "0.23.0").holds(release), (0, 19, 0), (0, 23, 1)),
        (lambda release: max(release, (0, 24, 0)), (0, 0, 0), (0, 24, 0)),
        (lambda release: release == (0, 24, 0), (0, 20, 0), (0, 20, 1)),
        (lambda release: release in ((0, 24, 0),), (0, 20, 0), (0, 20, 1)),
        (lambda release: {(0, 20, 0): "hit"}[release], (0, 20, 0), (0, 20, 1)),
        (lambda release: release[:2], (0, 20, 0), (0, 20, 1)),
        (lambda release: [*release], (0, 20, 0), (0, 20, 1)),
        (lambda release: 20 in release, (0, 20, 0), (0, 20, 1)),
        (lambda release: f"{release}", (0, 20, 0), (0, 20, 1)),
        (lambda release: (*release, 1), (0, 20, 0), (0, 20, 1)),
        (format_release, (0, 20, 0), (0, 20, 1)),
        (pickle.dumps, (0, 20, 0), (0, 20, 1)),
    ],
)
def test_each_way_of_looking_at_a_release_bounds_it(
    look: object, since: Release, until: Release
) -> None:
    noted = NotedRelease.of((0, 20, 0))
    plain = look((0, 20, 0))  # type: ignore[operator]
    seen = look(noted)  # type: ignore[operator]
    if not isinstance(plain, bytes):
        assert seen == plain
    assert (noted.since, noted.until) == (since, until)


@given(st.lists(BOUNDS, max_size=6), st.lists(BOUNDS, min_size=1, max_size=20))
def test_a_shared_result_is_the_one_that_the_release_would_have_had(
    bounds: list[Release], asked: list[Release]
) -> None:
    made: list[Release] = []

    def make(release: Release) -> list[bool]:
        made.append(tuple(release) if not isinstance(release, NotedRelease) else release.plain)
        found = []
        for bound in bounds:  # a later bound is looked at where the earlier one was reached
            found.append(release >= bound)
            if not found[-1]:
                break
        return found

    known: ByEra[list[bool]] = ByEra()
    for release in asked:
        got, count = known.ask(release, make), len(made)
        assert got == make(release)
        del made[count:]
    assert len(made) <= len({tuple(make(release)) for release in set(asked)})


@given(
    st.lists(BOUNDS, max_size=4),
    st.lists(st.tuples(BOUNDS, st.sampled_from("rgb"), st.integers(2, 5)), min_size=1, max_size=30),
)
def test_values_and_releases_together_are_told_apart_where_a_rule_does(
    bounds: list[Release], asked: list[tuple[Release, str, int]]
) -> None:
    def judge(car: Car, release: Release) -> str:
        if car.colour == "r" and bounds and release >= bounds[0]:
            return "red"
        reached = sum(release >= bound for bound in bounds[1:])
        return f"{reached} {car.wheels}" if reached else car.colour

    known: AlikeByEra[Car, str] = AlikeByEra()
    outer: AlikeByEra[Car, str] = AlikeByEra()
    for release, colour, wheels in asked:
        car = Car(colour, wheels)
        assert known.ask(car, release, judge) == judge(car, release)
        # A tree within a tree narrows the outer one as well.
        nested = outer.ask(car, release, lambda one, when: known.ask(one, when, judge))
        assert nested == judge(car, release)


def test_a_release_in_an_era_is_answered_without_asking_again() -> None:
    asked: list[Release] = []

    def judge(car: Car, release: Release) -> bool:
        asked.append((0, 0, 0))
        return car.wheels > 2 and release >= (0, 20, 0)

    known: AlikeByEra[Car, bool] = AlikeByEra()
    assert [known.ask(Car(), release, judge) for release in RELEASES] == [False] * 8 + [True] * 28
    assert len(asked) == len(known) == 2


def test_an_exception_narrows_what_it_is_raised_in_and_is_not_kept() -> None:
    inner: ByEra[str] = ByEra()

    def make(release: Release) -> str:
        if release < (0, 20, 0):
            raise ValueError("too old")
        return "there"

    def ask(release: Release) -> str:
        try:
            return inner.ask(release, make)
        except ValueError as error:
            return str(error)

    outer: ByEra[str] = ByEra()
    assert [outer.ask((0, minor, 0), ask) for minor in (18, 19, 20, 30)] == [
        *["too old"] * 2,
        *["there"] * 2,
    ]


def test_a_function_by_era_is_called_once_for_each() -> None:
    calls: list[str] = []

    @by_era
    def listed(name: str, release: Release, ending: str = "") -> str:
        calls.append(name)
        return f"{name}{'+' if release >= (0, 24, 0) else '-'}{ending}"

    assert [listed("a", (0, minor, 0)) for minor in (20, 23, 24, 30)] == ["a-", "a-", "a+", "a+"]
    assert listed("b", (0, 20, 0), "!") == "b-!"
    assert calls == ["a", "a", "b"]
    assert listed.__name__ == "listed"
