"""The trace: every candidate in the engine's order, with yes or no and the reason."""

from __future__ import annotations

from collections.abc import Iterable

from moe_doctor.core.report import Report
from moe_doctor.core.selection import Candidate, Outcome, Selection
from moe_doctor.render import Layout
from moe_doctor.render.escape import one_line
from moe_doctor.render.grid import Cell, Line, grid, has_room
from moe_doctor.render.words import lora_label, selection_label

_LIST_ONE_BY_ONE = 2


def why_lines(report: Report, layout: Layout) -> list[Line]:
    """One block of rows per distinct trace; empty when nothing was selected."""
    told = list(_merged(report))
    if report.model is None and not layout.verbose:
        # One row per scheme: nine traces would bury the answer.
        told = [(label, one) for label, one in told if one.oracle == "unquantized"]
    blocks = [(label, _trace_rows(selection, layout)) for label, selection in told]
    rows: list[tuple[Cell, ...]] = []
    for label, cells in blocks:
        for number, each in enumerate(cells):
            title = Cell("" if rows else "Why", "strong")
            rows.append((title, Cell("" if number else label), *each))
    if not rows or has_room(rows, layout.width):
        return grid(rows, layout.width)
    # No room for the labels beside the candidates: above them.
    lines: list[Line] = []
    for label, cells in blocks:
        start = "     " if lines else "Why  "
        lines.append((Cell(start, "strong"), Cell(label)))
        lines += grid(cells, layout.width, indent=2)
    return lines


def _merged(report: Report) -> Iterable[tuple[str, Selection]]:
    """Selections with equal traces told once, labelled with all the layers that they cover."""
    merged: dict[tuple[object, ...], tuple[Selection, list[str]]] = {}
    per_lora: dict[bool, int] = {}
    for selection in report.selections:
        if selection.outcome is Outcome.NOT_APPLICABLE and not selection.trace:
            continue
        per_lora[selection.lora] = per_lora.get(selection.lora, 0) + 1
        key = (selection.lora, selection.trace, selection.note, selection.backend)
        merged.setdefault(key, (selection, []))[1].append(selection_label(report, selection))
    for selection, labels in merged.values():
        label = lora_label(selection.lora)
        if len(labels) < per_lora[selection.lora] and any(labels):
            label += f", {'; '.join(labels)}"
        yield label, selection


def _trace_rows(selection: Selection, layout: Layout) -> list[tuple[Cell, ...]]:
    """Rows of (backend, yes/no/-, reason), with the engine's shortcut on the chosen one."""
    rows: list[tuple[Cell, ...]] = []
    waiting: list[Candidate] = []
    noted = not selection.note
    before: tuple[str, bool, str] | None = None
    alike = _alike(selection)
    for candidate in selection.trace:
        if not candidate.asked and not layout.verbose:
            waiting.append(candidate)
            continue
        rows.extend(_not_asked(waiting))
        waiting = []
        reason = one_line(candidate.reason)
        if not candidate.asked:
            judged = "would be accepted" if candidate.accepted else "would be rejected"
            reason = f"not asked; {judged}" + (f": {reason}" if reason else "")
            rows.append((Cell(_name(candidate, layout)), Cell("-", "dim"), Cell(reason, "dim")))
            continue
        said = (candidate.backend, candidate.accepted, reason)
        if said == before and not layout.verbose:
            continue  # another kernel of the same backend, turned down with the same words
        before = said
        chosen = candidate.accepted and candidate.backend == selection.backend
        if chosen and not noted:
            note = one_line(selection.note)
            reason = note if reason in note else f"{reason}; {note}"
            noted = True
        mark = Cell("yes", "good") if candidate.accepted else Cell("no", "bad")
        rows.append(
            (Cell(_name(candidate, layout, alike), "strong" if chosen else ""), mark, Cell(reason))
        )
    rows.extend(_not_asked(waiting))
    if not noted:
        rows.append((Cell(), Cell(), Cell(one_line(selection.note))))
    return rows


def _alike(selection: Selection) -> frozenset[str]:
    """Backends of whose kernels different things are said: their rows name the kernel."""
    said: dict[str, set[tuple[bool, bool, str]]] = {}
    for one in selection.trace:
        words = (True, one.accepted, one.reason) if one.asked else (False, False, "")
        said.setdefault(one.backend, set()).add(words)
    return frozenset(backend for backend, words in said.items() if len(words) > 1)


def _not_asked(waiting: list[Candidate]) -> list[tuple[Cell, ...]]:
    """Candidates that the engine never looked at: one row each, or one for many."""
    # Some backends stand in the engine's list twice, once per kernel.
    names = tuple(dict.fromkeys(one_line(each.backend) for each in waiting))
    mark = Cell("-", "dim")
    if len(names) <= _LIST_ONE_BY_ONE:
        return [(Cell(name), mark, Cell("not asked", "dim")) for name in names]
    first = Cell(f"{len(names)} others", "dim")
    return [(first, mark, Cell(f"not asked: {', '.join(names)}", "dim"))]


def _name(candidate: Candidate, layout: Layout, alike: frozenset[str] = frozenset()) -> str:
    """The backend; its kernel's class too with --verbose, and where the backend is not enough."""
    if candidate.kernel and (layout.verbose or candidate.backend in alike):
        return f"{one_line(candidate.backend)} ({one_line(candidate.kernel)})"
    return one_line(candidate.backend)
