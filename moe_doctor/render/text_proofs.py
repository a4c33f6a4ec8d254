"""What was run here: which kernel, where, how it ended, and every case when asked."""

from __future__ import annotations

from collections.abc import Sequence

from moe_doctor.core.proof import Proof, ProofOutcome
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
        rows.append(
            (
                title,
                Cell(one_line(proof.backend_option)),
                Cell(lora_label(proof.lora)),
                Cell(proof_result(proof), OUTCOME_STYLES[proof.outcome]),
                Cell("; ".join(proof_remarks(report, proof, numbers=proof not in shown))),
            )
        )
    lines = grid(rows, layout.width)
    if layout.verbose:
        lines += grid(_case_rows(report.proofs), layout.width, indent=7)
    return lines


def proof_remarks(report: Report, proof: Proof, *, numbers: bool = True) -> list[str]:
    """The implementation and its place, what was shrunk, the numbers, and the reason."""
    remarks: list[str] = []
    if proof.outcome not in (ProofOutcome.SKIPPED, ProofOutcome.NOT_RUN):
        remarks.append(f"{one_line(proof.implementation)} {proof_place(proof)}")
        told = (proof_numbers(proof) if numbers else "", _shrunk(report, proof))
        remarks.extend(part for part in told if part)
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


def _case_rows(proofs: Sequence[Proof]) -> list[tuple[Cell, ...]]:
    return [
        (
            Cell(one_line(proof.backend_option)),
            Cell(lora_label(proof.lora)),
            Cell(count(case.num_tokens, "token")),
            Cell("ok" if case.passed else "wrong", "good" if case.passed else "bad"),
            Cell("no output" if case.relative_error is None else number(case.relative_error)),
            Cell(f"limit {number(case.tolerance)}"),
            Cell(f"{case.elapsed_ms:.1f} ms"),
            Cell(one_line(case.name)),
        )
        for proof in proofs
        for case in proof.cases
    ]
