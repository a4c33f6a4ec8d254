"""Cells in columns that wrap, and never lose a character, at any width.

Plain text needs no more than this module; rich is imported only to colour, because its console
costs about 45 ms of a command that answers in 200 ms.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from moe_doctor.core.named import NamedTuple

STYLES = {
    "good": "green",
    "bad": "bold red",
    "warn": "yellow",
    "dim": "dim",
    "strong": "bold",
    "command": "cyan",
}
"""Our styles in rich's words; sixteen colours, so that every terminal shows them."""

_NARROWEST_COLUMN = 20


class Cell(NamedTuple):
    """A piece of one-line text with one style."""

    text: str = ""
    """What is shown; already escaped."""
    style: str = ""
    """A key of `STYLES`, or empty."""


Line = tuple[Cell, ...]
Row = Sequence[Cell]
BLANK: Line = ()


def grid(
    rows: Sequence[Row], width: int, indent: int = 0, gap: int = 2, head: Row = ()
) -> list[Line]:
    """Rows in aligned columns, the last one wrapped; packed when there is no room for it.

    `head` names the columns, and is left out where there are none.
    """
    if not rows:
        return []
    whole = _filled((*([head] if head else []), *rows))
    sizes = _sizes(whole)
    room = width - indent - sum(sizes[:-1]) - gap * (len(sizes) - 1)
    if room < min(sizes[-1], _NARROWEST_COLUMN):
        return [line for row in rows for line in pack(row, width, indent)]
    lines: list[Line] = []
    for row in whole:
        margin: Line = (Cell(" " * indent),)
        for size, cell in zip(sizes, row[:-1], strict=False):
            margin += (cell, Cell(" " * (size - len(cell.text) + gap)))
        for piece in wrap(row[-1].text, room):
            lines.append((*margin, Cell(piece, row[-1].style)))
            margin = (Cell(" " * (width - room)),)
    return lines


def has_room(rows: Sequence[Row], width: int, gap: int = 2) -> bool:
    """Whether `grid` can put the rows in columns."""
    sizes = _sizes(_filled(rows))
    room = width - sum(sizes[:-1]) - gap * (len(sizes) - 1)
    return room >= min(sizes[-1], _NARROWEST_COLUMN)


def _filled(rows: Sequence[Row]) -> list[Line]:
    columns = max(len(row) for row in rows)
    return [tuple(row) + (Cell(),) * (columns - len(row)) for row in rows]


def _sizes(rows: Sequence[Line]) -> list[int]:
    return [max(len(row[column].text) for row in rows) for column in range(len(rows[0]))]


def pack(row: Row, width: int, indent: int = 0, gap: int = 2) -> list[Line]:
    """One row without columns: as many cells on a line as fit, later lines indented more."""
    lines: list[Line] = []
    current: Line = ()
    used = 0
    # A row that goes on from the one above has an empty first cell.
    inner = indent + (0 if row and row[0].text else 2)
    for cell in (each for each in row if each.text):
        if current and used + gap + len(cell.text) <= width:
            current += (Cell(" " * gap), cell)
            used += gap + len(cell.text)
            continue
        if current:
            lines.append(current)
        fits = inner + len(cell.text) <= width
        pieces = (
            [(Cell(" " * inner), cell)] if fits else paragraph(cell.text, width, inner, cell.style)
        )
        lines.extend(pieces[:-1])
        current = pieces[-1]
        used = sum(len(each.text) for each in current)
        inner = indent + 2
    return [*lines, current] if current else lines


def paragraph(text: str, width: int, indent: int = 0, style: str = "") -> list[Line]:
    """Text wrapped at a width, every line indented."""
    room = max(10, width - indent)
    return [(Cell(" " * indent), Cell(piece, style)) for piece in wrap(text, room)]


def wrap(text: str, width: int) -> list[str]:
    """Pieces of at most `width` characters; words longer than that are cut, none is dropped."""
    return textwrap.wrap(text, max(1, width), break_on_hyphens=False) or [""]


def paint(lines: Iterable[Line], *, color: bool) -> str:
    """Lines as one text, each ending in a newline."""
    plain = [_join(line) for line in lines]
    if not color:
        return "".join(f"{_no_command(''.join(cell.text for cell in line))}\n" for line in plain)
    from io import StringIO

    from rich.console import Console
    from rich.text import Text

    buffer = StringIO()
    console = Console(
        file=buffer,
        force_terminal=True,
        color_system="standard",
        no_color=False,
        legacy_windows=False,
        width=100_000,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for line in plain:
        console.print(Text.assemble(*((cell.text, STYLES.get(cell.style, "")) for cell in line)))
    return buffer.getvalue()


def _join(line: Line) -> Line:
    """The line without trailing blanks."""
    cells = list(line)
    while cells and not cells[-1].text.strip():
        cells.pop()
    if cells:
        cells[-1] = Cell(cells[-1].text.rstrip(), cells[-1].style)
    return tuple(cells)


def _no_command(text: str) -> str:
    """A line that a CI runner would take for one of its commands (`::x`, `##[x`), defused."""
    start = text.lstrip()
    if start.startswith(("::", "##[")):
        return text.replace(start[0], f"\\x{ord(start[0]):02x}", 1)
    return text
