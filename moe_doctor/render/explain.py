"""Pages of rules and backends as text, JSON or Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import zip_longest

from moe_doctor import __version__
from moe_doctor.core.findings import Severity
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.support import BackendPage, Condition, Held, KernelPage, Topic
from moe_doctor.render import Layout
from moe_doctor.render.escape import markdown_cell, markdown_code, one_line
from moe_doctor.render.grid import BLANK, Cell, Line, grid, paint, paragraph, wrap
from moe_doctor.rules.rule import Rule

EXPLAIN_SCHEMA = "moe-doctor.explain/1"
_STYLES = {Severity.ERROR: "bad", Severity.WARNING: "warn", Severity.INFO: "dim"}
_ASKED = ("oracles", "vLLM", "backend", "classes in order")
_NARROW = 80
_ORACLE_COLUMN = 20
_SILENT = {"parallel": "any", "LoRA": "not refused", "batch invariance": "not refused"}


class Explanation(NamedTuple):
    """What `explain` found: one page, or the index of all."""

    rules: tuple[Rule, ...] = ()
    """Rules of the catalogue."""
    backends: tuple[BackendPage, ...] = ()
    """Backends or classes."""
    names: tuple[str, ...] = ()
    """In an index: the backends that have a page."""

    def to_dict(self) -> dict[str, object]:
        """JSON form; keys are only ever added within one schema number."""
        return {
            "schema": EXPLAIN_SCHEMA,
            "moe_doctor": __version__,
            "command": "explain",
            "rules": [rule.to_dict() for rule in self.rules],
            "backends": [page.to_dict() for page in self.backends],
            "names": list(self.names),
        }


def render_explanation(found: Explanation, format: str, layout: Layout | None = None) -> str:
    """The whole answer, ending in a newline. Raises `ValueError` for an unknown format."""
    match format:
        case "text":
            return _text(found, layout or Layout())
        case "json":
            return json.dumps(found.to_dict(), indent=2, allow_nan=False) + "\n"
        case "markdown":
            return _markdown(found)
    raise ValueError(f"unknown format {format!r}")


def _text(found: Explanation, layout: Layout) -> str:
    if len(found.rules) == 1 and not found.names:
        return paint(_rule_lines(found.rules[0], layout), color=layout.color)
    lines: list[Line] = []
    if found.rules:
        rows = [
            (
                Cell(rule.code, "strong"),
                Cell(rule.severity.value, _STYLES[rule.severity]),
                Cell(rule.name),
                Cell(rule.summary),
            )
            for rule in found.rules
        ]
        lines += grid(rows, layout.width)
    if found.names:
        backends = (Cell("backends", "strong"), Cell(", ".join(found.names)))
        lines += [BLANK, *grid([backends], layout.width)]
    for page in found.backends:
        lines += _page_lines(page, layout)
    return paint(lines, color=layout.color)


def _rule_lines(rule: Rule, layout: Layout) -> list[Line]:
    """The rule's page, its paragraphs wrapped; a link stays whole, to be clicked."""
    lines: list[Line] = []
    for text in rule.page().splitlines():
        if not text:
            lines.append(BLANK)
        elif text.startswith("- "):
            lines.append((Cell(text),))
        else:
            style = "strong" if text.startswith("#") else ""
            lines += paragraph(text, layout.width, style=style)
    return lines


def _page_lines(page: BackendPage, layout: Layout) -> list[Line]:
    lines = paragraph(f"{one_line(page.name)}: {_accepted(page)}", layout.width, style="strong")
    if page.asked_by:
        heads = [Cell(head, "dim") for head in _ASKED]
        lines += [BLANK, *grid(_asked_cells(page, layout), layout.width, head=heads)]
    else:
        lines += paragraph(_unasked(page), layout.width)
    for kernel in page.kernels:
        title = (Cell(one_line(kernel.name), "strong"), Cell(one_line(kernel.source), "dim"))
        lines += [BLANK, *grid([title], layout.width, gap=3)]
        lines += grid(_kernel_rows(kernel, layout), layout.width, indent=2)
    return lines


def _kernel_rows(kernel: KernelPage, layout: Layout) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for topic in kernel.topics:
        name = topic.topic
        for releases, text in topic_rows(topic, whole=layout.verbose):
            rows.append((Cell(name), Cell(releases), Cell(text)))
            # Packed rows have no columns: each names its topic.
            name = topic.topic if layout.width < _NARROW else ""
    return rows


def topic_rows(topic: Topic, *, whole: bool) -> list[tuple[str, str]]:
    """(releases, what holds): later ranges by what changed, unless all are wanted `whole`."""
    rows: list[tuple[str, str]] = []
    before: Held | None = None
    for held in topic.ranges:
        delta = "" if before is None or whole else _delta(before, held)
        rows.append((_span(held.since, held.until), delta or held_phrase(topic.topic, held)))
        before = held
    return rows


def held_phrase(topic: str, held: Held) -> str:
    """All conditions of a range; what an empty one means for its topic."""
    if not held.conditions:
        return _SILENT.get(topic, "not asked")
    return "; ".join(_condition(one) for one in held.conditions)


def _condition(one: Condition) -> str:
    parts = [part for part in (", ".join(one.items), one.text) if part]
    return one_line(" ".join(f"({part})" if place else part for place, part in enumerate(parts)))


def _delta(before: Held, after: Held) -> str:
    """`the same, +gelu_tanh`; empty where the whole list says it better."""
    if len(before.conditions) != 1 or len(after.conditions) != 1:
        return ""
    old, new = before.conditions[0], after.conditions[0]
    if old.text != new.text or not old.items or not new.items:
        return ""
    changes = [f"-{item}" for item in old.items if item not in new.items]
    changes += [f"+{item}" for item in new.items if item not in old.items]
    if len(changes) >= len(new.items):
        return ""
    return one_line(f"the same, {', '.join(changes)}")


def _asked_rows(page: BackendPage) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """(oracles, releases, backend, classes): oracles that have it alike share a row."""
    rows: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for asked in page.asked_by:
        backend = asked.backend
        if asked.option != page.name:
            backend += f" (--moe-backend {asked.option})" if asked.option else " (no option)"
        row = (_span(asked.since, asked.until), backend, asked.kernels or ("none",))
        rows.setdefault(row, []).append(asked.oracle)
    return [(", ".join(oracles), *row) for row, oracles in rows.items()]


def _asked_cells(page: BackendPage, layout: Layout) -> list[tuple[Cell, ...]]:
    """Rows for a grid: a class on each line, and the oracles beside them."""
    rows: list[tuple[Cell, ...]] = []
    above = ""
    for oracles, releases, backend, kernels in _asked_rows(page):
        if layout.width < _NARROW:
            rows.append(tuple(map(Cell, (oracles, releases, backend, ", ".join(kernels)))))
            continue
        names = [] if oracles == above else wrap(oracles, _ORACLE_COLUMN)
        above = oracles
        facts = [(one_line(releases), one_line(backend))]
        for name, fact, kernel in zip_longest(names, facts, kernels):
            rows.append(tuple(map(Cell, (name or "", *(fact or ("", "")), kernel or ""))))
    return rows


def _accepted(page: BackendPage) -> str:
    if page.accepted is not None:
        return f"a value of --moe-backend in vLLM {_span(*page.accepted)}"
    options = dict.fromkeys(one.option for one in page.asked_by if one.option)
    if any(kernel.name == page.name for kernel in page.kernels):
        return "a kernel's class, no value of --moe-backend"
    if options:
        return f"the engine's name of a backend; --moe-backend {' or '.join(options)} asks for it"
    return "no value of --moe-backend in any release"


def _unasked(page: BackendPage) -> str:
    if page.kernels:
        return "in no oracle's list: a step of its own asks it, and says since when"
    return "no oracle has it: a method or a model class uses it, or a release refuses it"


def _span(since: str, until: str) -> str:
    return since if since == until else f"{since} - {until}"


def _markdown(found: Explanation) -> str:
    from moe_doctor.render.markdown import table

    if len(found.rules) == 1 and not found.names:
        return found.rules[0].page()
    parts: list[str] = []
    if found.rules:
        rows = [
            (rule.code, rule.severity.value, rule.name, markdown_cell(rule.summary))
            for rule in found.rules
        ]
        parts.append(table(("code", "severity", "name", "meaning"), rows))
    if found.names:
        parts.append(f"Backends: {', '.join(map(markdown_code, found.names))}")
    for page in found.backends:
        parts += _page_parts(page)
    return "\n\n".join(part for part in parts if part) + "\n"


def _page_parts(page: BackendPage) -> list[str]:
    from moe_doctor.render.markdown import table

    parts = [f"## {markdown_cell(page.name)}", markdown_cell(_accepted(page))]
    if page.asked_by:
        parts.append(
            table(
                _ASKED,
                _escaped([(*row, ", ".join(kernels)) for *row, kernels in _asked_rows(page)]),
            )
        )
    else:
        parts.append(markdown_cell(_unasked(page)))
    for kernel in page.kernels:
        rows = [
            (topic.topic, *row) for topic in kernel.topics for row in topic_rows(topic, whole=True)
        ]
        parts.append(f"### {markdown_cell(kernel.name)}")
        parts.append(markdown_code(kernel.source))
        parts.append(table(("topic", "vLLM", "what holds"), _escaped(rows)))
    return parts


def _escaped(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[markdown_cell(text) for text in row] for row in rows]
