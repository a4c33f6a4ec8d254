from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from moe_doctor.core.report import Report
from moe_doctor.render.schema import load_schema
from tests.render.reports import REPORTS

SCHEMA = load_schema()


def test_the_shipped_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_every_report_is_valid(report: Report) -> None:
    errors = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(report.to_dict())]
    assert errors == []


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_every_key_of_a_report_is_described(report: Report) -> None:
    assert sorted(set(undescribed(report.to_dict(), SCHEMA, "report"))) == []


def test_a_wrong_report_is_not_valid() -> None:
    broken = {**REPORTS["check"].to_dict(), "verdict": "maybe"}
    assert not Draft202012Validator(SCHEMA).is_valid(broken)
    del broken["selections"]
    assert len(list(Draft202012Validator(SCHEMA).iter_errors(broken))) == 2


def undescribed(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Paths of keys that the schema does not name."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        wanted = "object" if isinstance(value, dict) else "null"
        for branch in schema["anyOf"]:
            whole = (
                SCHEMA["$defs"][branch["$ref"].rpartition("/")[2]] if "$ref" in branch else branch
            )
            if whole.get("type") == wanted and value is not None:
                yield from undescribed(value, whole, path)
        return
    if isinstance(value, dict) and "properties" in schema:
        for key, inner in value.items():
            if key not in schema["properties"]:
                yield f"{path}.{key}"
            else:
                yield from undescribed(inner, schema["properties"][key], f"{path}.{key}")
    if isinstance(value, list):
        for inner in value:
            yield from undescribed(inner, schema.get("items", {}), f"{path}[]")
