"""The report as workflow commands: an annotation per finding, and notices with the answer."""

from __future__ import annotations

from collections.abc import Sequence

from moe_doctor.core.findings import Finding, Severity
from moe_doctor.core.report import Report
from moe_doctor.render.escape import github_message, github_property
from moe_doctor.render.words import (
    backend_phrase,
    error_phrase,
    find_proof,
    kernel_phrase,
    lora_label,
    proof_numbers,
    proof_result,
    selection_label,
    verdict_phrase,
)

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render_github(report: Report) -> str:
    """One command per line; nothing else, so that no text of others can start a command."""
    lines = [command("notice", title, message) for title, message in _answers(report)]
    lines += finding_commands(report.findings)
    level = "error" if report.exit_code else "notice"
    lines.append(command(level, "moe-doctor", verdict_phrase(report)))
    return "\n".join(lines) + "\n"


def finding_commands(findings: Sequence[Finding]) -> list[str]:
    """An annotation per finding, worst first."""
    return [
        command(_LEVELS[each.severity], f"{each.code} {each.name}", _message(each))
        for each in sorted(findings, key=lambda finding: finding.severity.rank)
    ]


def _answers(report: Report) -> list[tuple[str, str]]:
    answers = []
    for selection in report.selections:
        label = selection_label(report, selection)
        title = lora_label(selection.lora) + (f", {label}" if label else "")
        message = backend_phrase(selection)
        kernel = kernel_phrase(selection)
        if kernel:
            message += f" ({kernel})"
        if selection.error is not None:
            message += f": {error_phrase(selection.error)}"
        if selection.crash is not None:
            message += f"; the server dies later: {error_phrase(selection.crash)}"
        if selection.hazard:
            message += f"; later: {selection.hazard}"
        proof = find_proof(report, selection)
        if proof is not None:
            numbers = proof_numbers(proof)
            message += f"; proof {proof_result(proof)}" + (f", {numbers}" if numbers else "")
        answers.append((title, message))
    return answers


def _message(finding: Finding) -> str:
    parts = [finding.message]
    if finding.remediation is not None:
        parts += [finding.remediation.text, *finding.remediation.commands]
    return "\n".join(part for part in parts if part)


def command(level: str, title: str, message: str) -> str:
    """One workflow command: `level` is `error`, `warning` or `notice`."""
    return f"::{level} title={github_property(title)}::{github_message(message)}"
