from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from moe_doctor.core.comparison import Comparison
from moe_doctor.render.explain import Explanation
from moe_doctor.render.schema import load_schema
from tests.contract.schemas import PACKAGE, generate
from tests.render.comparisons import COMPARISONS, MATRIX
from tests.render.pages import INDEX, PAGE


def problems(name: str, document: dict[str, Any]) -> list[str]:
    return [
        error.message for error in Draft202012Validator(load_schema(name)).iter_errors(document)
    ]


@pytest.mark.parametrize("name", sorted(generate()))
def test_the_shipped_schema_is_generated_and_is_a_schema(name: str) -> None:
    text = (PACKAGE / name).read_text(encoding="utf-8")
    assert text == generate()[name], "python -m tests.contract.schemas"
    Draft202012Validator.check_schema(load_schema(name.removesuffix(".schema.json")))


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=list(COMPARISONS))
def test_every_comparison_is_valid_and_wholly_described(comparison: Comparison) -> None:
    document = comparison.to_dict()
    assert problems("diff", document) == []
    assert set(document) == set(load_schema("diff")["properties"])


def test_a_matrix_is_valid_and_wholly_described() -> None:
    document = MATRIX.to_dict()
    assert problems("matrix", document) == []
    schema = load_schema("matrix")
    assert set(document) == set(schema["properties"])
    cell = document["cells"][0]
    assert set(cell) == set(schema["$defs"]["cell"]["properties"])
    assert set(cell["answers"][0]) == set(schema["$defs"]["cell_answer"]["properties"])


@pytest.mark.parametrize("found", [PAGE, INDEX], ids=["page", "index"])
def test_an_explanation_is_valid_and_wholly_described(found: Explanation) -> None:
    document = found.to_dict()
    assert problems("explain", document) == []
    schema = load_schema("explain")
    assert set(document) == set(schema["properties"])
    for page in found.backends:
        assert set(page.to_dict()) == set(schema["$defs"]["backend"]["properties"])
    for rule in found.rules:
        assert set(rule.to_dict()) == set(schema["$defs"]["rule"]["properties"])


def test_a_wrong_document_is_not_valid() -> None:
    document = COMPARISONS["diff"].to_dict()
    assert problems("diff", {**document, "verdict": "maybe"})
    assert problems("matrix", document)
    cell = {**MATRIX.to_dict()["cells"][0], "releases": []}
    assert problems("matrix", {**MATRIX.to_dict(), "cells": [cell]})
