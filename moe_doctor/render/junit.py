"""The report as JUnit XML: one case per selection, per proof and per finding."""

from __future__ import annotations

from xml.etree import ElementTree

from moe_doctor.core.findings import Finding, Severity
from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.report import Report
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.render.escape import one_line, visible
from moe_doctor.render.text_proofs import proof_remarks
from moe_doctor.render.words import (
    backend_phrase,
    engine_name,
    error_phrase,
    kernel_phrase,
    lora_label,
    model_title,
    proof_result,
    selection_label,
    verdict_phrase,
)

_LIMITS = {"error": Severity.ERROR.rank, "warning": Severity.WARNING.rank, "never": -1}


def render_junit(report: Report) -> str:
    """A document with one suite; what makes the exit code 1 is a failure."""
    suite = ElementTree.Element("testsuite", name=_suite_name(report))
    for selection in report.selections:
        _selection(suite, report, selection)
    for proof in report.proofs:
        _proof(suite, proof)
    for finding in report.findings:
        add_finding(suite, report.fail_on, finding)
    if report.inconclusive:
        case = add_case(suite, "verdict", "conclusive")
        add_child(case, "error", report.inconclusive, "inconclusive")
    return finish_suite(suite, verdict_phrase(report), report.elapsed_s)


def finish_suite(suite: ElementTree.Element, verdict: str, elapsed_s: float = 0.0) -> str:
    """The document of a suite whose cases are all there."""
    add_child(suite, "system-out", verdict)
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for tag, total in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(total, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{elapsed_s:.3f}")
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _suite_name(report: Report) -> str:
    subject = "" if report.model is None else f" {model_title(report.model)}"
    engine = "" if report.engine is None else f" on {engine_name(report.engine)}"
    return f"moe-doctor {report.command}{subject}{engine}"


def _selection(suite: ElementTree.Element, report: Report, selection: Selection) -> None:
    label = selection_label(report, selection)
    name = lora_label(selection.lora) + (f", {label}" if label else "")
    case = add_case(suite, "selection", name)
    if selection.outcome is Outcome.NOT_APPLICABLE:
        add_child(case, "skipped", selection.note or "not judged")
    # A refusal or a later crash counts by its finding; here it is only told.
    told = [f"{backend_phrase(selection)} {kernel_phrase(selection)}".strip()]
    told += [error_phrase(each) for each in (selection.error, selection.crash) if each is not None]
    add_child(case, "system-out", "\n".join(told))


def _proof(suite: ElementTree.Element, proof: Proof) -> None:
    name = f"{proof.backend_option}, {lora_label(proof.lora)}, layers {proof.moe_layers}"
    case = add_case(suite, "proof", name)
    case.set("time", f"{sum(each.elapsed_ms for each in proof.cases) / 1000:.3f}")
    text = "; ".join(proof_remarks(proof))
    match proof.outcome:
        case ProofOutcome.SKIPPED | ProofOutcome.NOT_RUN:
            add_child(case, "skipped", proof.reason or proof_result(proof))
        case ProofOutcome.FAILED:
            add_child(case, "failure", text, proof.reason or "failed")
        case ProofOutcome.CRASHED | ProofOutcome.TIMED_OUT:
            add_child(case, "error", text, proof.reason or proof_result(proof))
        case ProofOutcome.PASSED:
            add_child(case, "system-out", text)


def add_finding(suite: ElementTree.Element, fail_on: str, finding: Finding) -> None:
    """A case per finding, failed where it makes the exit code 1."""
    case = add_case(suite, "finding", f"{finding.code} {finding.name}")
    parts = [f"{finding.severity.value}: {finding.message}"]
    if finding.remediation is not None:
        parts += [finding.remediation.text, *finding.remediation.commands]
    text = "\n".join(part for part in parts if part)
    if finding.severity.rank <= _LIMITS[fail_on]:
        add_child(case, "failure", text, finding.message)
    else:
        add_child(case, "system-out", text)


def add_case(suite: ElementTree.Element, group: str, name: str) -> ElementTree.Element:
    """One more case of a group such as `finding`."""
    return ElementTree.SubElement(
        suite, "testcase", classname=f"moe-doctor.{group}", name=one_line(name)
    )


def add_child(parent: ElementTree.Element, tag: str, text: str, message: str = "") -> None:
    """`failure`, `error`, `skipped` or `system-out` with a text."""
    attributes = {"message": one_line(message)} if message else {}
    child = ElementTree.SubElement(parent, tag, attributes)
    child.text = "\n".join(visible(line) for line in text.splitlines())
