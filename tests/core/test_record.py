"""Records behave as frozen dataclasses do."""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass
from typing import ClassVar

import pytest

from moe_doctor.core.record import field, record, replace


@record
class Point:
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x is negative")


@record
class Other:
    x: int
    y: int = 2


@pytest.mark.parametrize("made", [0, 250])
def test_values_come_by_place_by_name_and_by_default(made: int) -> None:
    for _ in range(made):
        Point(1)
    assert (Point(1).x, Point(1).y, Point(1).tags) == (1, 2, [])
    assert (Point(1, 3).y, Point(1, y=4).y, Point(x=5).x) == (3, 4, 5)


def test_defaults_made_by_a_factory_are_not_shared() -> None:
    assert Point(1).tags is not Point(1).tags


@pytest.mark.parametrize("made", [0, 250])
@pytest.mark.parametrize(
    ("args", "named", "message"),
    [
        ((), {}, "missing 1 required positional argument: 'x'"),
        ((1, 2, [], 4), {}, "takes from 2 to 4 positional arguments but 5 were given"),
        ((1,), {"z": 1}, "unexpected keyword argument 'z'"),
        ((1,), {"x": 1}, "multiple values for argument 'x'"),
    ],
)
def test_wrong_values_are_type_errors(
    made: int, args: tuple[int, ...], named: dict[str, int], message: str
) -> None:
    for _ in range(made):  # from some number on the constructor is a compiled one
        Point(1)
    with pytest.raises(TypeError, match=message):
        Point(*args, **named)  # type: ignore[arg-type]


def test_post_init_may_refuse() -> None:
    with pytest.raises(ValueError, match="negative"):
        Point(-1)


def test_nothing_can_be_changed() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del point.x


def test_equality_and_hash_follow_the_compared_fields_and_the_class() -> None:
    assert Point(1, tags=["a"]) == Point(1, tags=["b"])
    assert hash(Point(1, tags=["a"])) == hash(Point(1))
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)


def test_repr_pattern_and_replace() -> None:
    assert repr(Other(1)) == "Other(x=1, y=2)"
    match Other(1, 7):
        case Other(_, y):
            assert y == 7
    assert replace(Other(1), y=9) == Other(1, 9)
    with pytest.raises(ValueError, match="negative"):
        replace(Point(1), x=-1)
    with pytest.raises(TypeError, match="has no field 'z'"):
        replace(Other(1), z=1)


def test_dataclasses_takes_a_record_for_one_of_its_own() -> None:
    point = Point(1, tags=["a"])
    assert is_dataclass(point)
    assert [(one.name, one.type, one.compare) for one in fields(point)] == [
        ("x", "int", True),
        ("y", "int", True),
        ("tags", "list[str]", False),
    ]
    assert asdict(point) == {"x": 1, "y": 2, "tags": ["a"]}
    assert dataclasses.replace(point, y=5) == Point(1, 5)
    assert (Point.y, hasattr(Point, "x"), hasattr(Point, "tags")) == (2, False, False)


def test_a_class_variable_is_no_field_and_a_hidden_field_is_not_shown() -> None:
    @record
    class Mixed:
        stage: ClassVar[int] = 4
        shown: int
        hidden: int = field(default=0, repr=False)

    assert repr(Mixed(1)) == f"{Mixed.__qualname__}(shown=1)"
    assert (Mixed(1, 2).hidden, Mixed.stage, len(fields(Mixed))) == (2, 4, 2)


def test_a_field_without_a_default_cannot_follow_one_with_a_default() -> None:
    with pytest.raises(TypeError, match="without a default"):

        @record
        class Wrong:
            x: int = 1
            y: int  # type: ignore[misc]
