"""The report as Markdown: for a pull request, an issue, or a job summary."""

from __future__ import annotations

from collections.abc import Sequence

from moe_doctor.core.findings import Finding
from moe_doctor.core.report import Report
from moe_doctor.core.units import count
from moe_doctor.render.escape import markdown_cell, markdown_code, visible
from moe_doctor.render.text_env import env_rows
from moe_doctor.render.text_proofs import proof_remarks
from moe_doctor.render.words import (
    backend_phrase,
    deployment_facts,
    engine_title,
    error_phrase,
    kernel_phrase,
    layers_phrase,
    lora_label,
    machine_facts,
    machine_title,
    model_title,
    proof_result,
    selection_label,
    source_phrase,
    verdict_phrase,
)


def render_markdown(report: Report) -> str:
    """Headings, tables and fenced commands; every foreign string is escaped."""
    title = report.command if report.model is None else model_title(report.model)
    parts = [
        f"## moe-doctor: {markdown_cell(title)}",
        f"**{markdown_cell(verdict_phrase(report))}**",
    ]
    parts += [
        _facts(report),
        _answer(report),
        _why(report),
        _proofs(report),
        *finding_parts(report.findings),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(report: Report) -> str:
    model = report.model
    rows: list[tuple[str, str]] = []
    if model is not None:
        rows += [("model", layers_phrase(each, model.dtype)) for each in model.moe_layers]
        rows.append(("source", source_phrase(model)))
    rows.append((machine_title(report.machine), machine_facts(report.machine)))
    if report.engine is not None:
        rows.append((engine_title(report.engine), deployment_facts(report.deployment)))
    if report.command == "env":
        rows += env_rows(report.machine)
    lines = [f"- {markdown_cell(name)}: {markdown_cell(value)}" for name, value in rows]
    return "\n".join(lines)


def _answer(report: Report) -> str:
    rows = []
    for selection in report.selections:
        ends = [each for each in (selection.error, selection.crash) if each is not None]
        rows.append(
            (
                lora_label(selection.lora),
                markdown_cell(selection_label(report, selection)),
                markdown_cell(backend_phrase(selection)),
                markdown_code(kernel_phrase(selection)),
                markdown_cell(
                    "; ".join(map(error_phrase, ends)) or selection.hazard or selection.note
                ),
            )
        )
    return table(("", "layers", "backend", "kernel", "remark"), rows)


def _why(report: Report) -> str:
    rows = []
    for selection in report.selections:
        label = selection_label(report, selection)
        for candidate in selection.trace:
            mark = ("yes" if candidate.accepted else "no") if candidate.asked else "not asked"
            rows.append(
                (
                    lora_label(selection.lora),
                    markdown_cell(label),
                    markdown_cell(candidate.backend),
                    mark,
                    markdown_cell(candidate.reason),
                )
            )
    rendered = table(("", "layers", "candidate", "accepted", "reason"), rows)
    if not rendered:
        return ""
    return f"<details><summary>Why</summary>\n\n{rendered}\n\n</details>"


def _proofs(report: Report) -> str:
    rows = [
        (
            markdown_code(proof.backend_option),
            lora_label(proof.lora),
            proof_result(proof),
            markdown_cell("; ".join(proof_remarks(proof))),
        )
        for proof in report.proofs
    ]
    return table(("proof", "", "outcome", "remark"), rows)


def finding_parts(findings: Sequence[Finding]) -> list[str]:
    """A heading and every finding, worst first; empty without findings."""
    if not findings:
        return []
    parts = [f"### {count(len(findings), 'finding')}"]
    for finding in sorted(findings, key=lambda each: each.severity.rank):
        head = f"**{finding.severity.value} {markdown_cell(f'{finding.code} {finding.name}')}**"
        parts.append(f"{head}: {markdown_cell(finding.message)}")
        remedy = finding.remediation
        if remedy is not None:
            parts.append(markdown_cell(remedy.text))
            if remedy.commands:
                parts.append(_fenced(remedy.commands))
    return parts


def _fenced(commands: Sequence[str]) -> str:
    lines = [visible(line) for command in commands for line in command.splitlines()]
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return "\n".join((f"{fence}sh", *lines, fence))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without the columns that are empty in every row; empty without rows."""
    if not rows:
        return ""
    used = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(row[index] for index in used) + " |" for row in lines)
