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
        self._made: dict[tuple[int, Hashable], tuple[object, V]] = {}

    def find(self, value: object, rest: Hashable) -> V | None:
        """What was kept for `value` and `rest`, or None."""
        known = self._made.get((id(value), rest))
        return known[1] if known is not None and known[0] is value else None

    def keep(self, value: object, rest: Hashable, made: V) -> V:
        """Keep `made`, and `value` with it, so that its identity is not given to another."""
        if len(self._made) >= self._most:
            self._made.clear()
        self._made[id(value), rest] = value, made
        return made

    def __len__(self) -> int:
        return len(self._made)
