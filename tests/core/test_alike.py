"""Results are shared by values that give the same readings, and by no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from moe_doctor.core.alike import Alike
from moe_doctor.core.noted import FIELDS, Noted, Notes, look


class Engine(NamedTuple):
    """A part."""

    power: int
    fuel: str = "diesel"


class Car(NamedTuple):
    """A value with every kind of field."""

    colour: str
    engine: Engine | None = None
    papers: Mapping[str, str] = {}
    wheels: int = 4

    def is_heavier_than(self, tons: int) -> bool:
        """A method with an argument."""
        return self.wheels > tons


PARTS = {"engine": True}


def test_what_is_not_read_does_not_keep_results_apart() -> None:
    known: Alike[Car, str] = Alike()
    asked = []

    def judge(car: Car) -> str:
        asked.append(car.colour)
        return f"{car.colour} car"

    assert known.ask(Car("red"), judge) == "red car"
    assert known.ask(Car("red", wheels=6), judge) == "red car"
    assert known.ask(Car("blue"), judge) == "blue car"
    assert asked == ["red", "blue"]
    assert len(known) == 2


def test_later_readings_are_made_where_they_were_made_before() -> None:
    known: Alike[Car, int] = Alike(PARTS)

    def judge(car: Car) -> int:
        if car.colour == "red":
            return car.wheels
        return 0 if car.engine is None else car.engine.power

    cars = [Car("red", wheels=3), Car("red"), Car("blue"), Car("blue", Engine(90), wheels=3)]
    cars += [Car("blue", Engine(70, "petrol")), Car("green", Engine(70))]
    for _ in range(2):
        assert [known.ask(car, judge) for car in cars] == [3, 4, 0, 90, 70, 70]
    # 70 comes from two colours: what was seen first tells them apart
    assert len(known) == 6


def test_a_comparison_is_a_smaller_reading_than_a_number() -> None:
    known: Alike[Car, bool] = Alike()
    for wheels in (4, 6, 8, 3):
        assert known.ask(Car("red", wheels=wheels), lambda car: car.is_heavier_than(3)) == (
            wheels > 3
        )
    assert len(known) == 2


def test_each_key_of_a_mapping_is_a_reading() -> None:
    known: Alike[Car, str] = Alike()

    def judge(car: Car) -> str:
        return car.papers.get("owner", "nobody") if "key" not in car.papers else "driver"

    assert known.ask(Car("red"), judge) == "nobody"
    assert known.ask(Car("red", papers={"paint": "new"}), judge) == "nobody"
    assert known.ask(Car("red", papers={"owner": "Ada"}), judge) == "Ada"
    assert known.ask(Car("red", papers={"owner": "Ada", "key": "1"}), judge) == "driver"
    assert len(known) == 3


@pytest.mark.parametrize("read", [repr, tuple, len, lambda car: car == Car("red")])
def test_what_no_field_answers_reads_the_whole_value(read: object) -> None:
    known: Alike[Car, object] = Alike()
    for car in (Car("red", papers={}), Car("blue", wheels=6)):
        assert known.ask(car, read) == read(car)  # type: ignore[arg-type, operator]


def test_a_changed_copy_notes_only_what_the_value_itself_still_says() -> None:
    notes: Notes = {}
    car = Noted(Car("red", Engine(90)), notes, FIELDS, PARTS)
    other = car._replace(colour="blue", engine=car.engine._replace(power=1))
    assert (other.colour, other.engine.power, other.engine.fuel) == ("blue", 1, "diesel")
    assert [reading.field for reading in notes] == ["engine", "engine.fuel"]


def test_a_tree_within_a_tree_reads_through_it() -> None:
    outer: Alike[Car, str] = Alike(PARTS)
    inner: Alike[Car, str] = Alike(PARTS)

    def judge(car: Car) -> str:
        return inner.ask(car, lambda one: f"{one.colour} {one.papers.get('owner')}")

    cars = [Car("red"), Car("red", papers={"owner": "Ada"}), Car("blue")]
    for car in (*cars, *cars):
        assert outer.ask(car, judge) == f"{car.colour} {car.papers.get('owner')}"
    assert len(outer) == len(inner) == 3


def test_a_full_tree_forgets() -> None:
    known: Alike[Car, int] = Alike(most=10)
    for wheels in range(25):
        assert known.ask(Car("red", wheels=wheels), lambda car: car.wheels) == wheels
    assert len(known) <= 10


def test_an_exception_is_not_kept() -> None:
    known: Alike[Car, int] = Alike()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            known.ask(Car("red", wheels=0), lambda car: 1 // car.wheels)
    assert len(known) == 0


def _is_strong(car: Car) -> bool:
    return car.engine is not None and car.engine.power > 50


def test_a_rule_may_be_one_reading() -> None:
    known: Alike[Car, str] = Alike(PARTS)

    def judge(car: Car) -> str:
        return "strong" if look(car, _is_strong) else "weak"

    powers = (90, 70, 10, 51)
    for _ in range(2):
        assert [known.ask(Car("red", Engine(power)), judge) for power in powers] == [
            "strong" if power > 50 else "weak" for power in powers
        ]
    assert len(known) == 2
    assert look(Car("red"), _is_strong) is False


def test_a_rule_looks_at_a_changed_copy_field_by_field() -> None:
    notes: Notes = {}
    car = Noted(Car("red", Engine(90)), notes, FIELDS, PARTS)
    assert look(car._replace(engine=None), _is_strong) is False
    assert not notes
    assert look(car, _is_strong)
    assert [reading.kind for reading in notes] == ["look"]


def test_a_rule_is_one_reading_of_a_tree_within_a_tree() -> None:
    outer: Alike[Car, bool] = Alike(PARTS)
    inner: Alike[Car, bool] = Alike(PARTS)
    for car in (Car("red", Engine(90)), Car("red", Engine(60)), Car("red"), Car("blue")):
        found = outer.ask(car, lambda one: inner.ask(one, lambda two: look(two, _is_strong)))
        assert found == _is_strong(car)
    assert len(outer) == len(inner) == 2


def test_a_part_is_true_without_being_read() -> None:
    known: Alike[Car, int] = Alike(PARTS)
    for power in (90, 70):
        engine = Engine(power)
        assert known.ask(Car("red", engine), lambda car: 1 if car.engine or None else 0) == 1
    assert len(known) == 1
