"""Findings, worst first: what was noticed, what to do, and commands that can be pasted."""

from __future__ import annotations

from collections.abc import Sequence

from moe_doctor.core.findings import Finding, Severity
from moe_doctor.core.units import count
from moe_doctor.render import Layout
from moe_doctor.render.escape import one_line, visible
from moe_doctor.render.grid import Cell, Line, pack, paragraph

_STYLES = {Severity.ERROR: "bad", Severity.WARNING: "warn", Severity.INFO: "dim"}
_INDENT = 8


def findings_lines(found: Sequence[Finding], layout: Layout) -> list[Line]:
    """A heading and every finding; empty when there is none."""
    findings = sorted(found, key=lambda finding: finding.severity.rank)
    if layout.quiet:
        findings = [each for each in findings if each.severity is not Severity.INFO]
    if not findings:
        return []
    lines: list[Line] = [(Cell(count(len(findings), "finding"), "strong"),)]
    for finding in findings:
        lines.extend(_finding(finding, layout))
    return lines


def _finding(finding: Finding, layout: Layout) -> list[Line]:
    severity = finding.severity
    preview = " (preview)" if finding.status == "preview" else ""
    head = (
        Cell(f"{severity.value:<{_INDENT - 1}}", _STYLES[severity]),
        Cell(one_line(finding.code), "strong"),
        Cell(f"{one_line(finding.name)}{preview}"),
    )
    indent = _INDENT if layout.width >= 60 else 2
    lines = pack(head, layout.width, gap=1)
    lines.extend(paragraph(one_line(finding.message), layout.width, indent))
    if finding.remediation is not None:
        if finding.remediation.text:
            lines.extend(paragraph(one_line(finding.remediation.text), layout.width, indent))
        # Commands are never wrapped: a broken line cannot be pasted.
        margin = Cell(" " * (indent + 2))
        commands = finding.remediation.commands
        lines.extend((margin, Cell(_command(each), "command")) for each in commands)
    if layout.verbose:
        margin = Cell(" " * indent)
        lines.extend((margin, Cell(one_line(link), "dim")) for link in finding.links)
    return lines


def _command(command: str) -> str:
    """A command on one line: what a newline joined in the source stays apart by a semicolon."""
    return "; ".join(visible(line.strip()) for line in command.splitlines() if line.strip())
