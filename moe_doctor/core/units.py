"""Numbers for people, spelled in one place."""

from __future__ import annotations

GIB = 1 << 30


def format_bytes(size: int) -> str:
    """`85899345920` -> `80.0 GiB`; below one GiB in MiB."""
    if size >= GIB:
        return f"{size / GIB:.1f} GiB"
    return f"{size / (1 << 20):.0f} MiB"


def format_capability(capability: tuple[int, int]) -> str:
    """`(9, 0)` -> `9.0`."""
    return f"{capability[0]}.{capability[1]}"


def count(number: int, noun: str) -> str:
    """`count(1, "finding")` -> `1 finding`; `count(2, "finding")` -> `2 findings`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
