"""A report as text, JSON, GitHub annotations, JUnit or Markdown; formats never decide anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moe_doctor.core.named import NamedTuple

if TYPE_CHECKING:
    from moe_doctor.core.report import Report


class Layout(NamedTuple):
    """How much room and which means a text has, and how much of the report to show."""

    width: int = 100
    """Columns; text wraps and is never cut."""
    color: bool = False
    """Whether to colour."""
    quiet: bool = False
    """Only the answer, the findings and the verdict."""
    verbose: bool = False
    """Every candidate, every case, every probe."""


def render(report: Report, format: str, layout: Layout | None = None) -> str:
    """The whole report, ending in a newline. Raises `ValueError` for an unknown format."""
    match format:
        case "text":
            from moe_doctor.render.text import render_text

            return render_text(report, layout or Layout())
        case "json":
            from moe_doctor.render.json_report import render_json

            return render_json(report)
        case "github":
            from moe_doctor.render.github import render_github

            return render_github(report)
        case "junit":
            from moe_doctor.render.junit import render_junit

            return render_junit(report)
        case "markdown":
            from moe_doctor.render.markdown import render_markdown

            return render_markdown(report)
    raise ValueError(f"unknown format {format!r}")
