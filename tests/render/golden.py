"""Golden files of the renderers: `python -m tests.render.golden` writes them again."""

from __future__ import annotations

from pathlib import Path

from moe_doctor.render import Layout, render
from moe_doctor.render.diff import render_diff
from moe_doctor.render.explain import render_explanation
from moe_doctor.render.matrix import render_matrix
from tests.render.comparisons import COMPARISONS, DIFF, MATRIX
from tests.render.pages import INDEX, PAGE
from tests.render.reports import REPORTS

FOLDER = Path(__file__).parents[1] / "golden"
WIDE = Layout(width=132)
NARROW = Layout(width=40)
VERBOSE = Layout(width=100, verbose=True)
QUIET = Layout(width=100, quiet=True)


def golden_texts() -> dict[str, str]:
    """File name to what the renderers give today."""
    texts = {f"{name}.txt": render(report, "text") for name, report in REPORTS.items()}
    check, mixed = REPORTS["check"], REPORTS["mixed"]
    texts["check-wide.txt"] = render(check, "text", WIDE)
    texts["check-narrow.txt"] = render(check, "text", NARROW)
    texts["check-verbose.txt"] = render(check, "text", VERBOSE)
    texts["check-quiet.txt"] = render(check, "text", QUIET)
    texts["check-color.txt"] = render(check, "text", Layout(width=100, color=True))
    texts["mixed-narrow.txt"] = render(mixed, "text", NARROW)
    for form in ("github", "junit", "markdown"):
        for name in ("check", "mixed", "bad-proofs", "hostile"):
            texts[f"{name}.{form}.txt"] = render(REPORTS[name], form)
    for name, comparison in COMPARISONS.items():
        texts[f"diff-{name}.txt"] = render_diff(comparison, "text")
    texts["diff-narrow.txt"] = render_diff(DIFF, "text", NARROW)
    texts["diff-quiet.txt"] = render_diff(DIFF, "text", QUIET)
    for form in ("github", "junit", "markdown"):
        for name in ("diff", "breaks"):
            texts[f"diff-{name}.{form}.txt"] = render_diff(COMPARISONS[name], form)
    texts["matrix.txt"] = render_matrix(MATRIX, "text")
    texts["matrix-narrow.txt"] = render_matrix(MATRIX, "text", NARROW)
    texts["matrix-verbose.txt"] = render_matrix(MATRIX, "text", VERBOSE)
    texts["matrix.markdown.txt"] = render_matrix(MATRIX, "markdown")
    texts["explain.txt"] = render_explanation(PAGE, "text")
    texts["explain-narrow.txt"] = render_explanation(PAGE, "text", NARROW)
    texts["explain-verbose.txt"] = render_explanation(PAGE, "text", VERBOSE)
    texts["explain.markdown.txt"] = render_explanation(PAGE, "markdown")
    texts["explain-index.txt"] = render_explanation(INDEX, "text")
    texts["explain-index.markdown.txt"] = render_explanation(INDEX, "markdown")
    return texts


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in golden_texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
