"""A comparison as text, JSON, GitHub annotations, JUnit or Markdown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from moe_doctor.render import Layout
from moe_doctor.render.diff_words import (
    answer_title,
    choice_phrase,
    details,
    machine_phrase,
    releases_phrase,
    surrounding_groups,
    verdict_words,
)
from moe_doctor.render.escape import markdown_cell
from moe_doctor.render.grid import BLANK, Cell, Line, grid, paint, paragraph
from moe_doctor.render.words import (
    deployment_facts,
    engine_name,
    layers_label,
    layers_phrase,
    machine_title,
    model_title,
    source_phrase,
)

if TYPE_CHECKING:
    from moe_doctor.core.comparison import Comparison

_NARROW = 80
_STYLES = {"pass": "good", "warn": "warn", "fail": "bad"}


def render_diff(comparison: Comparison, format: str, layout: Layout | None = None) -> str:
    """The whole comparison, ending in a newline. Raises `ValueError` for an unknown format."""
    match format:
        case "text":
            return _text(comparison, layout or Layout())
        case "json":
            return json.dumps(comparison.to_dict(), indent=2, allow_nan=False) + "\n"
        case "github":
            return _github(comparison)
        case "junit":
            return _junit(comparison)
        case "markdown":
            return _markdown(comparison)
    raise ValueError(f"unknown format {format!r}")


def _text(comparison: Comparison, layout: Layout) -> str:
    from moe_doctor.render.text_findings import findings_lines

    blocks = [] if layout.quiet else [_header(comparison, layout)]
    blocks.append(_choices(comparison, layout))
    if not layout.quiet:
        blocks += [_details(comparison, layout), _surroundings(comparison, layout)]
    blocks.append(findings_lines(comparison.findings, layout))
    verdict = verdict_words(comparison)
    blocks.append(paragraph(verdict, layout.width, style=_STYLES[comparison.verdict]))
    lines: list[Line] = []
    for block in blocks:
        if block and lines:
            lines.append(BLANK)
        lines.extend(block)
    return paint(lines, color=layout.color)


def _header(comparison: Comparison, layout: Layout) -> list[Line]:
    model = comparison.model
    several = len(model.moe_layers) > 1
    rows: list[tuple[Cell, Cell]] = []
    title = model_title(model)
    for layers in model.moe_layers:
        label = f"{layers_label(layers)}: " if several else ""
        rows.append((Cell(title, "strong"), Cell(label + layers_phrase(layers, model.dtype))))
        title = ""
    rows += [
        (Cell(title, "strong"), Cell(source_phrase(model), "dim")),
        (Cell(machine_title(comparison.machine), "strong"), Cell(machine_phrase(comparison))),
        (
            Cell(releases_phrase(comparison), "strong"),
            Cell(deployment_facts(comparison.deployment)),
        ),
    ]
    return grid(rows, layout.width, gap=3)


def _choices(comparison: Comparison, layout: Layout) -> list[Line]:
    # Rows that are packed have no columns, so their heads go with them.
    narrow = layout.width < _NARROW
    heads = [engine_name(comparison.before), engine_name(comparison.after)]
    labels = [f"{head}: " if narrow else "" for head in heads]
    rows = []
    for answer in comparison.answers:
        before, after = choice_phrase(answer.before), choice_phrase(answer.after)
        rows.append(
            (
                Cell(answer_title(comparison, answer)),
                Cell(labels[0] + before),
                Cell(labels[1] + after, "dim" if before == after else "strong"),
            )
        )
    head = [] if narrow else [Cell(text, "dim") for text in ("", *heads)]
    return grid(rows, layout.width, head=head)


def _details(comparison: Comparison, layout: Layout) -> list[Line]:
    """What led to the choices: one row per change."""
    rows: list[tuple[Cell, ...]] = []
    for answer in comparison.answers:
        start = answer_title(comparison, answer)
        for name, text in details(answer):
            title = Cell("" if rows else "Why", "strong")
            rows.append((title, Cell(start), Cell(name), Cell(text)))
            start = ""
    return grid(rows, layout.width)


def _surroundings(comparison: Comparison, layout: Layout) -> list[Line]:
    """Options, variables and packages of the release, whatever the model."""
    rows: list[tuple[Cell, ...]] = []
    for heading, entries in surrounding_groups(comparison.surroundings):
        title = Cell("" if rows else "Also", "strong")
        rows.append((title, Cell(heading), Cell(", ".join(entries))))
    return grid(rows, layout.width)


def _github(comparison: Comparison) -> str:
    from moe_doctor.render.github import command, finding_commands

    lines = [
        command(
            "notice",
            answer_title(comparison, answer),
            f"{engine_name(comparison.before)} {choice_phrase(answer.before)}; "
            f"{engine_name(comparison.after)} {choice_phrase(answer.after)}",
        )
        for answer in comparison.answers
    ]
    lines += finding_commands(comparison.findings)
    level = "error" if comparison.exit_code else "notice"
    lines.append(command(level, "moe-doctor", verdict_words(comparison)))
    return "\n".join(lines) + "\n"


def _junit(comparison: Comparison) -> str:
    from moe_doctor.render.junit import add_case, add_child, add_finding, finish_suite

    name = f"moe-doctor diff {model_title(comparison.model)} {releases_phrase(comparison)}"
    suite = ElementTree.Element("testsuite", name=name)
    for answer in comparison.answers:
        case = add_case(suite, "answer", answer_title(comparison, answer))
        told = [f"{choice_phrase(answer.before)} -> {choice_phrase(answer.after)}"]
        told += [f"{subject}: {text}" for subject, text in details(answer)]
        add_child(case, "system-out", "\n".join(told))
    for finding in comparison.findings:
        add_finding(suite, comparison.fail_on, finding)
    return finish_suite(suite, verdict_words(comparison))


def _markdown(comparison: Comparison) -> str:
    from moe_doctor.render.markdown import finding_parts, table

    model = comparison.model
    facts = [("model", layers_phrase(each, model.dtype)) for each in model.moe_layers]
    facts += [
        ("source", source_phrase(model)),
        (machine_title(comparison.machine), machine_phrase(comparison)),
        (releases_phrase(comparison), deployment_facts(comparison.deployment)),
    ]
    choices = [
        tuple(
            markdown_cell(text)
            for text in (
                answer_title(comparison, answer),
                choice_phrase(answer.before),
                choice_phrase(answer.after),
            )
        )
        for answer in comparison.answers
    ]
    reasons = [
        tuple(markdown_cell(text) for text in (answer_title(comparison, answer), *detail))
        for answer in comparison.answers
        for detail in details(answer)
    ]
    around = [
        (markdown_cell(heading), markdown_cell(", ".join(entries)))
        for heading, entries in surrounding_groups(comparison.surroundings)
    ]
    heads = ("", engine_name(comparison.before), engine_name(comparison.after))
    parts = [
        f"## moe-doctor diff: {markdown_cell(model_title(model))}",
        f"**{markdown_cell(verdict_words(comparison))}**",
        "\n".join(f"- {markdown_cell(name)}: {markdown_cell(text)}" for name, text in facts),
        table(heads, choices),
        table(("", "what", "change"), reasons),
        table(("of the release", "change"), around),
        *finding_parts(comparison.findings),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
