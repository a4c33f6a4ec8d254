"""The report as JSON: exactly `Report.to_dict()`."""

from __future__ import annotations

import json

from moe_doctor.core.report import Report


def render_json(report: Report) -> str:
    """Indented JSON in ASCII, so that any encoding of stdout carries it; never NaN."""
    return json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n"
