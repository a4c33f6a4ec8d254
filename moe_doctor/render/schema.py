"""The JSON Schemas, shipped as package data."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def load_schema(name: str = "report") -> dict[str, Any]:
    """`moe_doctor/NAME.schema.json`, draft 2020-12: report, diff, matrix or explain."""
    text = files("moe_doctor").joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
