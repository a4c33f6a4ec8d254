"""The JSON Schema of the report, shipped as package data."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def load_schema() -> dict[str, Any]:
    """`moe_doctor/report.schema.json`, draft 2020-12."""
    text = files("moe_doctor").joinpath("report.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
