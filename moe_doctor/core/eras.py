"""What rules say of a release, shared by all releases that they do not tell apart.

A rule compares the release with the ones in which something changed, and most changes are none of
its business. So it is shown a release that notes what it is compared with (`NotedRelease`): between
the nearest bounds on either side every comparison comes out the same, and so does the rule's
result. Whatever else is asked of it (equality, a hash, its numbers) leaves that one release alone.

It is exact as long as the function is pure, sees the release through the stand-in alone and keeps
it out of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Generic, SupportsIndex, TypeVar, cast

from moe_doctor.core.alike import NOT_KNOWN, Alike, watch
from moe_doctor.core.noted import Parts
from moe_doctor.core.release import Release

S = TypeVar("S")
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])
_FIRST: Release = (0, 0, 0)
_NEVER: Release = (1 << 30, 0, 0)
_reaches = tuple.__ge__


class NotedRelease(tuple[int, int, int]):
    """Stands for a release; `since` and `until` bound those that would have looked the same."""

    since: Release
    until: Release
    plain: Release

    @classmethod
    def of(cls, release: Release) -> NotedRelease:
        """A fresh stand-in of a plain release."""
        noted = cls(release)
        noted.plain, noted.since, noted.until = release, _FIRST, _NEVER
        return noted

    def narrow(self, since: Release, until: Release) -> None:
        """Note that a result was used which holds from a release on, up to another."""
        if since > self.since:
            self.since = since
        if until < self.until:
            self.until = until

    def _only(self) -> Release:
        self.since, self.until = self.plain, _after(self.plain)
        return self.plain

    def __ge__(self, other: Any) -> bool:
        if _reaches(self, other):
            if other > self.since:
                self.since = other
            return True
        if other < self.until:
            self.until = other
        return False

    def __lt__(self, other: Any) -> bool:
        return not self >= other

    def __gt__(self, other: Any) -> bool:
        return self >= _after(other)

    def __le__(self, other: Any) -> bool:
        return not self >= _after(other)

    def __eq__(self, other: object) -> bool:
        return self._only() == other

    def __ne__(self, other: object) -> bool:
        return self._only() != other

    def __hash__(self) -> int:
        return hash(self._only())

    def __iter__(self) -> Iterator[int]:
        return iter(self._only())

    def __getitem__(self, index: Any) -> Any:
        return self._only()[index]

    def __contains__(self, number: object) -> bool:
        return number in self._only()

    def __add__(self, other: Any) -> Any:
        return self._only() + other

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return tuple, (self._only(),)

    def __repr__(self) -> str:
        return repr(self._only())


class ByEra(Generic[V]):
    """One function's results by release."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: list[tuple[Release, Release, V]] = []

    def ask(self, release: Release, make: Callable[..., V], *given: Any) -> V:
        """`make(*given, release)`, or what it returned for a release that looked the same to it.

        What is given is the same each time.
        """
        outer = release if isinstance(release, NotedRelease) else None
        plain = release if outer is None else outer.plain
        for since, until, known in self._known:
            if since <= plain < until:
                if outer is not None:
                    outer.narrow(since, until)
                return known
        own = NotedRelease.of(plain)
        try:
            made = make(*given, own)
        finally:  # an exception is a result too, though it is not kept
            if outer is not None:
                outer.narrow(own.since, own.until)
        self._known.append((own.since, own.until, made))
        return made


def by_era(function: F) -> F:
    """Like `lru_cache`, for a function that is called by place and has a parameter `release`."""
    place = function.__code__.co_varnames.index("release")
    known: dict[tuple[Any, ...], ByEra[Any]] = {}

    @wraps(function)
    def ask(*asked: Any) -> Any:
        before, after = asked[:place], asked[place + 1 :]
        eras = known.get((before, after))
        if eras is None:
            if len(known) >= 4096:
                known.clear()
            eras = known[before, after] = ByEra()
        return eras.ask(asked[place], lambda release: function(*before, release, *after))

    return cast(F, ask)


class AlikeByEra(Generic[S, V]):
    """Results by what was read of a value (`core.alike`) and of a release.

    The same readings of a value may lead elsewhere in another era, so each era has its own tree.
    """

    __slots__ = ("_parts", "_trees")

    def __init__(self, parts: Parts | None = None) -> None:
        self._parts: Parts = parts or {}
        self._trees: list[tuple[Release, Release, Alike[S, V]]] = []

    def ask(self, value: S, release: Release, make: Callable[[S, Release], V]) -> V:
        """`make(value, release)`, or what it returned for two that looked the same to it."""
        outer = release if isinstance(release, NotedRelease) else None
        plain = release if outer is None else outer.plain
        for since, until, tree in self._trees:
            if since <= plain < until:
                known = tree.find(value)
                if known is not NOT_KNOWN:
                    if outer is not None:
                        outer.narrow(since, until)
                    return known
        own = NotedRelease.of(plain)
        try:
            made, notes = watch(value, lambda one: make(one, own), self._parts)
        finally:
            if outer is not None:
                outer.narrow(own.since, own.until)
        self._tree(own.since, own.until).keep(notes, made)
        return made

    def find(self, value: S, release: Release) -> V:
        """What is kept for those that look like these, or NOT_KNOWN; for a plain release."""
        for since, until, tree in self._trees:
            if since <= release < until:
                known = tree.find(value)
                if known is not NOT_KNOWN:
                    return known
        return cast(V, NOT_KNOWN)

    def _tree(self, since: Release, until: Release) -> Alike[S, V]:
        for first, last, tree in self._trees:
            if first == since and last == until:
                return tree
        made: Alike[S, V] = Alike(self._parts)
        self._trees.append((since, until, made))
        return made

    def __len__(self) -> int:
        return sum(len(tree) for _, _, tree in self._trees)


def _after(release: Release) -> Release:
    """The smallest release above one."""
    major, minor, patch = release
    return major, minor, patch + 1
