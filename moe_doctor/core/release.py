"""Engine releases as comparable numbers, and ranges of them."""

from __future__ import annotations

import re
from functools import lru_cache

from moe_doctor.core.named import NamedTuple

Release = tuple[int, int, int]

_RELEASE = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?$")


@lru_cache(maxsize=256)
def parse_release(text: str) -> Release | None:
    """`"0.20.0"` -> `(0, 20, 0)`; None for anything that is not a plain release.

    Two numbers mean the first of that series (`0.20` -> `0.20.0`). Candidates, nightlies and local
    builds are None on purpose: their rules are not the release's.
    """
    match = _RELEASE.match(text.strip())
    if match is None:
        return None
    return int(match[1]), int(match[2]), int(match[3] or 0)


def format_release(release: Release) -> str:
    """`(0, 20, 0)` -> `"0.20.0"`."""
    return ".".join(map(str, release))


class Span(NamedTuple):
    """A range of releases, both ends included; None = open."""

    since: Release | None = None
    """First release that it holds for."""
    until: Release | None = None
    """Last release that it holds for."""

    def holds(self, release: Release) -> bool:
        """Whether `release` lies in the range."""
        return (self.since is None or self.since <= release) and (
            self.until is None or release <= self.until
        )


def span(since: str = "", until: str = "") -> Span:
    """A `Span` from two release strings, either of which may be empty.

    Raises ValueError on a string that is no plain release: tables are checked at import.
    """
    return Span(_bound(since), _bound(until))


def _bound(text: str) -> Release | None:
    if not text:
        return None
    release = parse_release(text)
    if release is None:
        raise ValueError(f"{text!r} is not a release")
    return release
