"""A matrix as text, JSON or Markdown: GPUs that agree in a block, releases that agree in a row."""

from __future__ import annotations

import json
from collections.abc import Iterator

from moe_doctor.core.comparison import Cell, CellAnswer, Matrix
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.schemes import PLAIN_LAYER
from moe_doctor.core.selection import Outcome
from moe_doctor.render import Layout
from moe_doctor.render.escape import markdown_cell, one_line
from moe_doctor.render.grid import BLANK, Line, grid, has_room, paint, paragraph, wrap
from moe_doctor.render.grid import Cell as Piece
from moe_doctor.render.words import deployment_facts, layers_phrase, lora_label, model_title

FORMATS = ("text", "json", "markdown")
_GPU_COLUMNS = (32, 22)
"""Widths of the GPUs' names, tried in this order."""
_INDENT = 2


Range = tuple[str, tuple[tuple[CellAnswer, ...], ...]]
"""`0.20.0 - 0.22.1`, and the answers there: LoRA off, LoRA on, or the one that was asked for."""


class Row(NamedTuple):
    """GPUs and releases that agree, for one model."""

    gpus: str
    """`h100, h200`; empty where the row goes on from the one above."""
    releases: str
    """`0.20.0 - 0.22.1`."""
    answers: tuple[tuple[CellAnswer, ...], ...]
    """LoRA off, LoRA on, or the one that was asked for."""


def render_matrix(matrix: Matrix, format: str, layout: Layout | None = None) -> str:
    """The whole matrix, ending in a newline. Raises `ValueError` for an unknown format."""
    match format:
        case "text":
            return _text(matrix, layout or Layout())
        case "json":
            return json.dumps(matrix.to_dict(), indent=2, allow_nan=False) + "\n"
        case "markdown":
            return _markdown(matrix)
    raise ValueError(f"unknown format {format!r}")


def matrix_rows(matrix: Matrix, model: int, *, kernels: bool) -> list[Row]:
    """The rows of one model: GPUs with equal columns together, then ranges of releases.

    Without `kernels` two answers that differ in the class alone are one.
    """
    columns: dict[tuple[Range, ...], list[str]] = {}
    for place, gpu in enumerate(matrix.gpus):
        cells = [cell for cell in matrix.cells if (cell.model, cell.gpu) == (model, place)]
        columns.setdefault(tuple(_ranges(matrix, cells, kernels)), []).append(gpu)
    return [
        Row(", ".join(gpus) if not place else "", *one)
        for ranges, gpus in columns.items()
        for place, one in enumerate(ranges)
    ]


def matrix_loras(matrix: Matrix) -> tuple[bool, ...]:
    """Which of LoRA off and on the matrix holds."""
    return tuple(sorted({cell.lora for cell in matrix.cells}))


def _ranges(matrix: Matrix, cells: list[Cell], kernels: bool) -> Iterator[Range]:
    """Consecutive releases in which every LoRA setting keeps its answer."""
    # An oracle's name is in no cell of the table, so it parts no rows.
    of_release = {
        release: tuple(
            tuple(
                one._replace(oracle=None, kernel=one.kernel if kernels else None)
                for one in cell.answers
            )
            for cell in cells
            if release in cell.releases
        )
        for release in matrix.releases
    }
    start = 0
    for index, release in enumerate(matrix.releases):
        following = matrix.releases[index + 1 : index + 2]
        if following and of_release[following[0]] == of_release[release]:
            continue
        first = matrix.releases[start]
        yield (first if first == release else f"{first} - {release}"), of_release[release]
        start = index + 1


def _answer_text(answers: tuple[CellAnswer, ...], notes: dict[str, int], *, kernels: bool) -> str:
    """`TRITON`, `refused [1]`; kinds of layers that differ joined by a plus."""
    texts = dict.fromkeys(_one_answer(answer, notes, kernels=kernels) for answer in answers)
    return " + ".join(texts)


def _one_answer(answer: CellAnswer, notes: dict[str, int], *, kernels: bool) -> str:
    match answer.outcome:
        case Outcome.SELECTED:
            text = one_line(answer.backend or "unnamed")
            if kernels and answer.kernel:
                text += f" ({one_line(answer.kernel)})"
        case Outcome.ERROR:
            text = "refused"
        case Outcome.NOT_APPLICABLE:
            return "not judged"
    if not answer.trouble:
        return text
    number = notes.setdefault(one_line(answer.trouble), len(notes) + 1)
    return f"{text} [{number}]"


def _style(answers: tuple[CellAnswer, ...]) -> str:
    if any(answer.trouble for answer in answers):
        return "bad"
    return "dim" if all(each.outcome is Outcome.NOT_APPLICABLE for each in answers) else ""


def _title(matrix: Matrix, model: int) -> tuple[str, list[str]]:
    spec = matrix.models[model]
    if spec is None:
        return "no model", [PLAIN_LAYER]
    return model_title(spec), [layers_phrase(layers, spec.dtype) for layers in spec.moe_layers]


def _text(matrix: Matrix, layout: Layout) -> str:
    lines: list[Line] = []
    notes: dict[str, int] = {}
    if not layout.quiet:
        lines += [*paragraph(_subject(matrix), layout.width, style="dim"), BLANK]
    for model in range(len(matrix.models)):
        title, facts = _title(matrix, model)
        titles = [title, *("" for _ in facts[1:])]
        named = [
            (Piece(one, "strong"), Piece(fact)) for one, fact in zip(titles, facts, strict=True)
        ]
        lines += [*grid(named, layout.width, gap=3), *_grid(matrix, model, notes, layout), BLANK]
    for text, number in notes.items():
        lines += paragraph(f"[{number}] {text}", layout.width)
    while lines and lines[-1] == BLANK:
        lines.pop()
    return paint(lines, color=layout.color)


def _grid(matrix: Matrix, model: int, notes: dict[str, int], layout: Layout) -> list[Line]:
    """A block of rows per group of GPUs, under heads where there is room for columns."""
    heads = tuple(Piece(text, "dim") for text in ("", *_heads(matrix)))
    for names in _GPU_COLUMNS:
        rows = _rows(matrix, model, notes, layout, names)
        if has_room((heads, *rows), layout.width - _INDENT):
            return grid(rows, layout.width, _INDENT, head=heads)
    return grid(_rows(matrix, model, notes, layout, None), layout.width, _INDENT)


def _rows(
    matrix: Matrix, model: int, notes: dict[str, int], layout: Layout, column: int | None
) -> list[tuple[Piece, ...]]:
    """The rows; names wider than their column go down beside them.

    Without columns an answer says its LoRA itself.
    """
    packed = column is None
    labels = [f"{lora_label(lora)}: " if packed else "" for lora in matrix_loras(matrix)]
    rows: list[tuple[Piece, ...]] = []
    names: list[str] = []
    for row in matrix_rows(matrix, model, kernels=layout.verbose):
        if row.gpus:
            rows += [(Piece(name, "strong"),) for name in names]
            names = [row.gpus] if column is None else wrap(row.gpus, column)
        rows.append(
            (
                Piece(names.pop(0) if names else "", "strong"),
                Piece(row.releases),
                *(
                    Piece(label + _answer_text(each, notes, kernels=layout.verbose), _style(each))
                    for label, each in zip(labels, row.answers, strict=True)
                ),
            )
        )
    return rows + [(Piece(name, "strong"),) for name in names]


def _heads(matrix: Matrix) -> tuple[str, ...]:
    return ("vLLM", *(lora_label(lora) for lora in matrix_loras(matrix)))


def _subject(matrix: Matrix) -> str:
    engine = {"vllm": "vLLM"}.get(matrix.engine, matrix.engine)
    first, last = matrix.releases[0], matrix.releases[-1]
    span = first if first == last else f"{first} to {last}"
    return f"{engine} {span} (tables), {deployment_facts(matrix.deployment)}"


def _markdown(matrix: Matrix) -> str:
    from moe_doctor.render.markdown import table

    notes: dict[str, int] = {}
    parts = ["## moe-doctor matrix", markdown_cell(_subject(matrix))]
    for model in range(len(matrix.models)):
        title, facts = _title(matrix, model)
        parts.append(f"### {markdown_cell(title)}")
        parts += [markdown_cell(fact) for fact in facts]
        rows = []
        gpus = ""
        for row in matrix_rows(matrix, model, kernels=True):
            gpus = row.gpus or gpus
            answers = (_answer_text(each, notes, kernels=True) for each in row.answers)
            rows.append([markdown_cell(text) for text in (gpus, row.releases, *answers)])
        parts.append(table(("GPUs", *_heads(matrix)), rows))
    parts += [markdown_cell(f"[{number}] {text}") for text, number in notes.items()]
    return "\n\n".join(parts) + "\n"
