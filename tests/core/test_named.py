"""Named tuples behave as typing's do, before and after their constructor is compiled."""

from __future__ import annotations

import copy
import pickle
import typing

import pytest

from moe_doctor.core.named import NamedTuple


class Point(NamedTuple):
    x: int
    y: int = 2
    z: int = 3

    @property
    def length(self) -> int:
        return self.x + self.y


class Standard(typing.NamedTuple):
    x: int
    y: int = 2
    z: int = 3


@pytest.mark.parametrize("made", [0, 150])
def test_values_come_by_place_by_name_and_by_default(made: int) -> None:
    for _ in range(made):
        Point(0)
    assert (Point(1), Point(1, 5), Point(1, z=7), Point(z=1, y=2, x=3)) == (
        (1, 2, 3),
        (1, 5, 3),
        (1, 2, 7),
        (3, 2, 1),
    )
    assert (Point(4, 5).x, Point(4, 5).y, Point(4, 5).length) == (4, 5, 9)


@pytest.mark.parametrize("made", [0, 150])
@pytest.mark.parametrize(
    ("args", "named"),
    [((), {}), ((1, 2, 3, 4), {}), ((1,), {"w": 1}), ((1,), {"x": 1}), ((), {"y": 1})],
)
def test_wrong_values_are_type_errors(
    made: int, args: tuple[int, ...], named: dict[str, int]
) -> None:
    class Fresh(NamedTuple):
        x: int
        y: int = 2
        z: int = 3

    for _ in range(made):
        Fresh(0)
    with pytest.raises(TypeError) as ours:
        Fresh(*args, **named)
    with pytest.raises(TypeError) as standard:
        Standard(*args, **named)
    assert str(ours.value).split(".")[-1] == str(standard.value).split(".")[-1]


def test_what_reads_a_class_finds_the_same_as_with_typing() -> None:
    for name in ("_fields", "_field_defaults", "__match_args__", "__slots__"):
        assert getattr(Point, name) == getattr(Standard, name)
    assert repr(Point(1)) == "Point(x=1, y=2, z=3)"
    assert typing.get_type_hints(Point) == {"x": int, "y": int, "z": int}
    assert not hasattr(Point(1), "__dict__")
    with pytest.raises(AttributeError):
        Point(1).x = 2  # type: ignore[misc]
    match Point(1, 9):
        case Point(_, y, _):
            assert y == 9


def test_copies_and_changes() -> None:
    point = Point(1)
    assert point._replace(y=5) == (1, 5, 3)
    assert type(point._replace(y=5)) is Point
    assert point._asdict() == {"x": 1, "y": 2, "z": 3}
    assert Point._make([7, 8, 9]) == Point(7, 8, 9)
    assert copy.deepcopy(point) == point
    back = pickle.loads(pickle.dumps(point))
    assert (back, type(back)) == (point, Point)
    with pytest.raises(ValueError, match="'w'"):
        point._replace(w=1)
    with pytest.raises(TypeError, match="Expected 3 arguments, got 2"):
        Point._make([1, 2])


def test_a_field_without_a_default_cannot_follow_one_with_a_default() -> None:
    with pytest.raises(TypeError, match="without a default"):

        class Wrong(NamedTuple):
            x: int = 1
            y: int  # type: ignore[misc]
