"""Answers of 19 releases to deployments that the golden records lack, as a user would ask."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import moe_doctor
from moe_doctor.core.selection import Outcome
from tests.truth import CONFIGS

FILE = Path(__file__).parents[1] / "fixtures" / "deployments" / "answers.jsonl.gz"
OPTIONS = {
    "tp": "tensor_parallel_size",
    "dp": "data_parallel_size",
    "ep": "expert_parallel",
    "all2all": "all2all_backend",
    "eplb": "enable_eplb",
}

needs_configs = pytest.mark.skipif(
    not CONFIGS.is_dir(), reason="the real configs (../shared/configs) are not here"
)


def records() -> dict[str, list[dict[str, Any]]]:
    """The file's records by release."""
    found: dict[str, list[dict[str, Any]]] = {}
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            found.setdefault(record["release"], []).append(record)
    return found


RECORDS = records()


def answer(record: dict[str, Any]) -> tuple[list[list[Any]], set[str]]:
    """Our layers as [oracle, backend, kernel, count], and our errors."""
    question = {name: value for name, value in record["q"].items() if value is not None}
    path = str(CONFIGS / question.pop("model"))
    options = {OPTIONS.get(name, name): value for name, value in question.items()}
    report = moe_doctor.select(
        path,
        engine=f"vllm@{record['release']}",
        capability=record["capability"],
        level=2,
        offline=True,
        **{"lora": False, **options},
    )
    assert report.model is not None
    layers: Counter[tuple[Any, Any, Any]] = Counter()
    errors = set()
    for chosen in report.selections:
        if chosen.outcome is Outcome.SELECTED and chosen.oracle is not None:
            count = report.model.moe_layers[chosen.moe_layers].count
            layers[chosen.oracle, chosen.backend, chosen.kernel] += count
        elif chosen.error is not None:
            text = f"{chosen.error.type}: {chosen.error.message}"
            errors.add(text.replace(report.model.id, "MODEL"))
    return [[*key, count] for key, count in sorted(layers.items(), key=str)], errors


def said(recorded: str, ours: str) -> bool:
    """Whether it is one text: pydantic goes on after ours, and the record is cut."""
    if ours.endswith(":") or recorded.endswith(":"):  # an exception without a message
        return ours == recorded
    return recorded.startswith(ours) or ours.startswith(recorded)


@needs_configs
@pytest.mark.parametrize("release", sorted(RECORDS))
def test_answers_are_the_recorded_ones(release: str) -> None:
    differ = []
    for record in RECORDS[release]:
        layers, errors = answer(record)
        if "error" not in record:
            same = not errors and layers == record["layers"]
        else:
            same = any(said(record["error"].strip(), ours.strip()) for ours in errors)
        if not same:
            differ.append((record, layers, errors))
    assert differ == []


def test_the_file_covers_many_releases_and_refusals() -> None:
    assert len(RECORDS) >= 19
    assert sum(len(found) for found in RECORDS.values()) >= 700
    assert sum("error" in record for found in RECORDS.values() for record in found) >= 350
