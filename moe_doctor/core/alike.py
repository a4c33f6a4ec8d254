"""A function's results, shared by all values that look the same to it.

A rule reads little of what it is given: which kernel takes a layer depends on the layer's width in
a few places and not at all in most. So the function is shown a stand-in that notes what is read
(`core.noted`), and its result hangs at the end of a path of readings: a decision tree that grows as
questions are asked. The next value walks down, and where it gives the same readings the result is
there.

    known: Alike[Situation, Verdict] = Alike()
    verdict = known.ask(situation, judge)  # judge(situation), or what it said of one that is alike

It is exact as long as the function is pure and sees the value through the stand-in alone: two
values that give the same readings take the same turns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

from moe_doctor.core.noted import FIELDS, Noted, Notes, Parts, Reading

S = TypeVar("S")
V = TypeVar("V")
_NO_PARTS: Parts = MappingProxyType({})


class _Fork:
    """A place in the tree where one reading decides.

    Most have one way for long, which is quicker to take, and smaller, than a mapping of ways.
    """

    __slots__ = ("read", "reading", "seen", "then", "ways")

    def __init__(self, reading: Reading, seen: Hashable, then: Any) -> None:
        self.reading = reading
        self.read = reading.plain
        self.seen = seen
        """What was seen first."""
        self.then = then
        """Where that leads."""
        self.ways: dict[Hashable, Any] | None = None
        """Where everything else leads."""

    def follow(self, seen: Hashable) -> Any:
        """Where a reading leads."""
        if seen == self.seen:
            return self.then
        return NOT_KNOWN if self.ways is None else self.ways.get(seen, NOT_KNOWN)

    def lead(self, seen: Hashable, node: Any) -> None:
        """Let a reading that led nowhere lead somewhere."""
        if self.ways is None:
            self.ways = {seen: node}
        else:
            self.ways[seen] = node


class _NotKnown:
    """Stands where no question has led yet."""


NOT_KNOWN: Any = _NotKnown()
"""What `Alike.find` returns where nothing is kept."""


def watch(value: S, make: Callable[[S], V], parts: Parts) -> tuple[V, Notes]:
    """`make` of a stand-in for the value, and what was read of it."""
    notes: Notes = {}
    return make(cast(S, Noted(value, notes, FIELDS, parts))), notes


class Alike(Generic[S, V]):
    """Results by what was read of a value; forgets all when it holds `most`.

    `parts` are the fields whose values have fields of their own.
    """

    __slots__ = ("_held", "_most", "_parts", "_top")

    def __init__(self, parts: Parts = _NO_PARTS, most: int = 4096) -> None:
        self._parts = parts
        self._most = most
        self._held = 0
        # The first fork, or the only result where nothing is ever read.
        self._top: Any = NOT_KNOWN

    def ask(self, value: S, make: Callable[[S], V]) -> V:
        """`make(value)`, or what `make` returned for a value that looked the same to it."""
        known = self.find(value)
        if known is not NOT_KNOWN:
            return known
        made, notes = watch(value, make, self._parts)
        self.keep(notes, made)
        return made

    def find(self, value: S) -> V:
        """What is kept for values that look like this one, or NOT_KNOWN."""
        node: Any = self._top
        if value.__class__ is Noted:
            while node.__class__ is _Fork:
                node = node.follow(node.reading.again(value))
        else:
            while node.__class__ is _Fork:
                seen = node.read(value)
                node = node.then if seen == node.seen else node.follow(seen)
        known: V = node
        return known

    def keep(self, notes: Notes, made: V) -> None:
        """Keep what was made of a value that gave these readings."""
        if self._held >= self._most:
            self._top, self._held = NOT_KNOWN, 0
        node, last, way = self._top, None, cast(Hashable, None)
        left = iter(notes.items())
        chain: list[tuple[Reading, Hashable]] = []
        for reading, seen in left:
            if node is NOT_KNOWN:
                chain = [(reading, seen), *left]
                break
            if node.__class__ is not _Fork or node.reading is not reading:
                return  # read in another order than before: what is kept stays right without it
            last, way = node, seen
            node = node.then if seen == node.seen else node.follow(seen)
        new: Any = made
        for reading, seen in reversed(chain):
            new = _Fork(reading, seen, new)
        if last is None:
            self._top = new
        else:
            last.lead(way, new)
        self._held += 1

    def __len__(self) -> int:
        return self._held
