"""What was made from a frozen value that cannot be hashed, found again by the value's identity.

A machine's snapshot and a checkpoint's declaration hold mappings, so they are no keys; but they
never change, so the same object stands for the same content.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Kept(Generic[V]):
    """Results by identity of a value and whatever else they depend on; forgets all when full."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._made: dict[int, tuple[object, dict[Hashable, V]]] = {}

    def find(self, value: object, rest: Hashable) -> V | None:
        """What was kept for `value` and `rest`, or None."""
        known = self._made.get(id(value))
        return known[1].get(rest) if known is not None and known[0] is value else None

    def keep(self, value: object, rest: Hashable, made: V) -> V:
        """Keep `made`, and `value` with it, so that its identity is not given to another."""
        if self._held >= self._most:
            self._made.clear()
            self._held = 0
        self._made.setdefault(id(value), (value, {}))[1][rest] = made
        self._held += 1
        return made

    def __len__(self) -> int:
        return self._held


class Interned(Generic[V]):
    """One object for all equal values, which then need not be compared or hashed again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[int, tuple[V, V]] = {}
        self._first: dict[V, V] = {}

    def one(self, value: V) -> V:
        """The first of the values equal to this one; forgets all when there are too many."""
        known = self._seen.get(id(value))
        if known is not None and known[0] is value:
            return known[1]
        if len(self._seen) >= self._most:
            self._seen.clear()
            self._first.clear()
        first = self._first.setdefault(value, value)
        self._seen[id(value)] = value, first
        return first

    def first(self, value: V) -> V:
        """The same for a value that was only just made and will not be asked about again."""
        if len(self._first) >= self._most:
            self._seen.clear()
            self._first.clear()
        return self._first.setdefault(value, value)
