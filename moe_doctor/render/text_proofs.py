"""What was run here: which kernel, where, how it ended, and every case when asked."""

from __future__ import annotations

from collections.abc import Sequence

from moe_doctor.core.proof import CaseResult, Proof, ProofOutcome
from moe_doctor.core.report import Report
from moe_doctor.core.units import count
from moe_doctor.render import Layout
from moe_doctor.render.escape import one_line
from moe_doctor.render.grid import Cell, Line, grid
from moe_doctor.render.words import (
    find_proof,
    lora_label,
    number,
    proof_numbers,
    proof_place,
    proof_result,
)

OUTCOME_STYLES = {
    ProofOutcome.PASSED: "good",
    ProofOutcome.FAILED: "bad",
    ProofOutcome.CRASHED: "bad",
    ProofOutcome.TIMED_OUT: "bad",
    ProofOutcome.SKIPPED: "dim",
    ProofOutcome.NOT_RUN: "dim",
}


def proof_lines(report: Report, layout: Layout) -> list[Line]:
    """A row per proof; with `verbose` also a row per case."""
    # The answer already gives the numbers of what the engine chose.
    shown = [find_proof(report, selection) for selection in report.selections]
    rows: list[tuple[Cell, ...]] = []
    for proof in report.proofs:
        title = Cell("" if rows else "Proof", "strong")
        remarks = proof_remarks(proof, numbers=proof not in shown)
        if report.selections and proof not in shown:
            remarks.append("not the engine's choice: run for what cannot be proved here")
        rows.append(
            (
                title,
                Cell(one_line(proof.backend_option)),
                Cell(lora_label(proof.lora)),
                Cell(proof_result(proof), OUTCOME_STYLES[proof.outcome]),
                Cell("; ".join(remarks)),
            )
        )
    lines = grid(rows, layout.width)
    if layout.verbose:
        lines += grid(_case_rows(report.proofs), layout.width, indent=7)
    return lines


def proof_remarks(proof: Proof, *, numbers: bool = True) -> list[str]:
    """The implementation and its place, the numbers, and the reason with what was shrunk."""
    remarks: list[str] = []
    if proof.outcome not in (ProofOutcome.SKIPPED, ProofOutcome.NOT_RUN):
        remarks.append(f"{one_line(proof.implementation)} {proof_place(proof)}")
        told = proof_numbers(proof) if numbers else ""
        remarks.extend([told] if told else [])
    if proof.reason:
        remarks.append(one_line(proof.reason))
    return remarks


def _case_result(case: CaseResult) -> Cell:
    ended = case.ended
    words = {ProofOutcome.PASSED: "ok", ProofOutcome.FAILED: "wrong"}
    return Cell(words.get(ended, ended.value.replace("_", " ")), OUTCOME_STYLES[ended])


def _case_rows(proofs: Sequence[Proof]) -> list[tuple[Cell, ...]]:
    return [
        (
            Cell(one_line(proof.backend_option)),
            Cell(lora_label(proof.lora)),
            Cell(count(case.num_tokens, "token")),
            _case_result(case),
            Cell("no output" if case.relative_error is None else number(case.relative_error)),
            Cell(f"limit {number(case.tolerance)}"),
            Cell(f"{case.elapsed_ms:.1f} ms"),
            Cell(one_line(case.name)),
        )
        for proof in proofs
        for case in proof.cases
    ]
