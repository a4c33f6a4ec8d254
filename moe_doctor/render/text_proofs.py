"""What was run here: which kernel, where, how it ended, and every case when asked."""

from __future__ import annotations

from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.report import Report
from moe_doctor.render import Layout
from moe_doctor.render.escape import one_line
from moe_doctor.render.grid import Cell, Line, grid
from moe_doctor.render.words import (
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
    rows: list[tuple[Cell, ...]] = []
    for proof in report.proofs:
        title = Cell("" if rows else "Proof", "strong")
        rows.append(
            (
                title,
                Cell(one_line(proof.backend_option)),
                Cell(lora_label(proof.lora)),
                Cell(proof_result(proof), OUTCOME_STYLES[proof.outcome]),
                Cell("; ".join(proof_remarks(report, proof))),
            )
        )
    lines = grid(rows, layout.width)
    if layout.verbose:
        for proof in report.proofs:
            lines.extend(_case_lines(proof, layout))
    return lines


def proof_remarks(report: Report, proof: Proof) -> list[str]:
    """The implementation and its place, what was shrunk, the numbers, and the reason."""
    remarks: list[str] = []
    if proof.outcome not in (ProofOutcome.SKIPPED, ProofOutcome.NOT_RUN):
        remarks.append(f"{one_line(proof.implementation)} {proof_place(proof)}")
        remarks.extend(part for part in (proof_numbers(proof), _shrunk(report, proof)) if part)
    if proof.reason:
        remarks.append(one_line(proof.reason))
    return remarks


def _shrunk(report: Report, proof: Proof) -> str:
    """`8 of the model's 128 experts`, when the proof ran with fewer."""
    experts = proof.geometry.get("num_experts")
    model = report.model
    if model is None or not isinstance(experts, int) or proof.moe_layers >= len(model.moe_layers):
        return ""
    whole = model.moe_layers[proof.moe_layers].spec.num_experts
    return f"{experts} of the model's {whole} experts" if experts < whole else ""


def _case_lines(proof: Proof, layout: Layout) -> list[Line]:
    rows = [
        (
            Cell(f"{proof.backend_option}, {lora_label(proof.lora)}"),
            Cell(f"{case.num_tokens} tokens"),
            Cell("ok" if case.passed else "wrong", "good" if case.passed else "bad"),
            Cell("no output" if case.relative_error is None else number(case.relative_error)),
            Cell(f"limit {number(case.tolerance)}"),
            Cell(f"{case.elapsed_ms:.1f} ms"),
            Cell(one_line(case.name)),
        )
        for case in proof.cases
    ]
    return grid(rows, layout.width, indent=2)
