"""The report as text: the answer first, then why, the proof, the findings, and the verdict."""

from __future__ import annotations

from moe_doctor.core.report import Report
from moe_doctor.core.schemes import PLAIN_LAYER
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.render import Layout
from moe_doctor.render.escape import one_line
from moe_doctor.render.grid import BLANK, Cell, Line, grid, paint, paragraph
from moe_doctor.render.text_env import env_lines
from moe_doctor.render.text_findings import findings_lines
from moe_doctor.render.text_proofs import OUTCOME_STYLES, proof_lines
from moe_doctor.render.text_why import why_lines
from moe_doctor.render.words import (
    backend_phrase,
    deployment_facts,
    engine_name,
    engine_title,
    error_phrase,
    find_proof,
    kernel_phrase,
    layers_label,
    layers_phrase,
    lora_label,
    machine_facts,
    machine_title,
    model_title,
    proof_heading,
    proof_numbers,
    proof_result,
    selection_label,
    source_phrase,
    verdict_phrase,
)

_VERDICT_STYLES = {"pass": "good", "warn": "warn", "fail": "bad", "inconclusive": "warn"}


def render_text(report: Report, layout: Layout) -> str:
    """The whole report at one width."""
    blocks = [] if layout.quiet else [_header(report, layout)]
    blocks.append(_answer(report, layout))
    if report.command == "env":
        blocks.append(env_lines(report.machine, layout))
    if not layout.quiet:
        blocks.append(why_lines(report, layout))
    if not layout.quiet or report.command == "prove":
        blocks.append(proof_lines(report, layout))
    blocks.append(findings_lines(report.findings, layout))
    blocks.append(_verdict(report, layout))
    lines: list[Line] = []
    for block in blocks:
        if block and lines:
            lines.append(BLANK)
        lines.extend(block)
    return paint(lines, color=layout.color)


def _header(report: Report, layout: Layout) -> list[Line]:
    """Model, machine and engine, one line each where there is room."""
    rows: list[tuple[Cell, Cell]] = []
    model = report.model
    if model is not None:
        title = model_title(model)
        several = len(model.moe_layers) > 1
        for layers in model.moe_layers:
            drafts = layers in model.draft_layers and layers.first_layer >= model.num_layers
            label = f"{layers_label(layers)}{' (draft)' if drafts else ''}: " if several else ""
            rows.append((Cell(title, "strong"), Cell(label + layers_phrase(layers, model.dtype))))
            title = ""
        rows.append((Cell(title, "strong"), Cell(source_phrase(model), "dim")))
    elif report.selections:
        rows.append((Cell("no model", "strong"), Cell(PLAIN_LAYER)))
    rows.append(
        (Cell(machine_title(report.machine), "strong"), Cell(machine_facts(report.machine)))
    )
    if report.engine is not None:
        facts = Cell(deployment_facts(report.deployment))
        rows.append((Cell(engine_title(report.engine), "strong"), facts))
    return grid(rows, layout.width, gap=3)


def _answer(report: Report, layout: Layout) -> list[Line]:
    """LoRA off and on, per kind of layer: backend, kernel, proof."""
    if not report.selections:
        return []
    proved = bool(report.proofs)
    labels = [selection_label(report, selection) for selection in report.selections]
    heads = ["", *([""] if any(labels) else []), "backend", "kernel"]
    heads += ["proof", proof_heading(report.proofs)] if proved else []
    rows: list[list[Cell]] = []
    for label, selection in zip(labels, report.selections, strict=True):
        row = [Cell(lora_label(selection.lora))]
        if any(labels):
            row.append(Cell(label))
        row.append(Cell(backend_phrase(selection), _backend_style(selection)))
        row.append(Cell(kernel_phrase(selection)))
        if proved:
            proof = find_proof(report, selection)
            if proof is None:
                row += [Cell("not run", "dim"), Cell()]
            else:
                style = OUTCOME_STYLES[proof.outcome]
                row += [Cell(proof_result(proof), style), Cell(proof_numbers(proof))]
        rows.append(row)
    lines = grid(rows, layout.width, head=[Cell(head, "dim") for head in heads])
    for text, style in _ends(report):
        lines.extend(paragraph(text, layout.width, style=style))
    return lines


def _ends(report: Report) -> list[tuple[str, str]]:
    """What the engine raises at once, and what its server raises later; told once per text."""
    ends: dict[tuple[str, str], list[str]] = {}
    engine = engine_name(report.engine)
    for selection in report.selections:
        label = selection_label(report, selection)
        where = lora_label(selection.lora) + (f", {label}" if label else "")
        told: list[tuple[str, str]] = []
        if selection.error is not None:
            told.append((f"{engine} raises {error_phrase(selection.error)}", "bad"))
        if selection.crash is not None:
            told.append((f"the server dies later: {error_phrase(selection.crash)}", "bad"))
        if selection.hazard:
            told.append((one_line(selection.hazard), "warn"))
        if selection.outcome is Outcome.NOT_APPLICABLE and selection.note:
            told.append((one_line(selection.note), ""))
        for end in told:
            ends.setdefault(end, []).append(where)
    return [(f"{'; '.join(places)}: {text}", style) for (text, style), places in ends.items()]


def _backend_style(selection: Selection) -> str:
    if selection.outcome is Outcome.ERROR or selection.crash is not None:
        return "bad"
    return "strong" if selection.outcome is Outcome.SELECTED else "dim"


def _verdict(report: Report, layout: Layout) -> list[Line]:
    text = f"{verdict_phrase(report)} ({report.elapsed_s:.1f} s)"
    return paragraph(text, layout.width, style=_VERDICT_STYLES[report.verdict])
