"""Every recorded unquantized layer of real model classes, from config.json to the answer."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.core.selection import Outcome
from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.load import load_model
from moe_doctor.oracle.answer import select_layers
from tests.truth import CONFIGS, emulated_machine, needs_truth, records, releases


@lru_cache(maxsize=128)
def model(name: str) -> ModelSpec:
    return load_model(str(CONFIGS / name))


def deployment(record: dict[str, Any]) -> Deployment:
    return Deployment(
        tensor_parallel_size=record.get("tp", 1),
        data_parallel_size=record.get("dp", 1),
        expert_parallel=record.get("ep", False),
        all2all_backend=record.get("all2all"),
    )


def recorded_layers(record: dict[str, Any]) -> Counter[tuple[str, str | None, str | None]]:
    layers: Counter[tuple[str, str | None, str | None]] = Counter()
    for group in record["groups"]:
        if group["oracle"] == "unquantized":
            layers[group["oracle"], group["backend"], group["kernel"]] += group["count"]
    return layers


def our_layers(
    record: dict[str, Any], release: str, capability: str, packages: str
) -> Counter[tuple[str, str | None, str | None]]:
    spec = model(record["model"])
    answers = select_layers(
        spec,
        deployment(record),
        emulated_machine(release, capability, packages),
        Engine("vllm", release),
        lora=record.get("lora", False),
    )
    layers: Counter[tuple[str, str | None, str | None]] = Counter()
    for one, kind in zip(answers, spec.moe_layers, strict=True):
        selection = one.selection
        if selection.outcome is Outcome.SELECTED:
            layers[str(selection.oracle), selection.backend, selection.kernel] += kind.count
    return layers


@needs_truth
@pytest.mark.parametrize("release", releases("model"))
def test_layers_and_their_backends_are_the_recorded_ones(release: str) -> None:
    differ, compared = [], 0
    capability = packages = ""
    for record in records("model", release):
        if "header" in record:
            capability, packages = record["capability"], record["packages"]
            continue
        if record.get("outcome") != "ok":
            continue
        wanted = recorded_layers(record)
        if not wanted:
            continue
        compared += 1
        ours = our_layers(record, release, capability, packages)
        if ours != wanted:
            differ.append((record["model"], deployment(record), record.get("lora"), wanted, ours))
    assert compared > 600
    assert differ == []


@needs_truth
@pytest.mark.parametrize("release", releases("model"))
def test_what_the_release_refuses_before_its_oracle_is_refused(release: str) -> None:
    """Errors of kind config, moe and model, for models that are not quantized."""
    differ = []
    capability = packages = ""
    for record in records("model", release):
        if "header" in record:
            capability, packages = record["capability"], record["packages"]
            continue
        if record.get("kind") not in ("config", "moe", "model") or record.get("quant"):
            continue
        path = CONFIGS / record["model"] / "config.json"
        if "quantization_config" in json.loads(path.read_text("utf-8")):
            continue
        spec = model(record["model"])
        if any(kind.spec.quantization is not None for kind in spec.moe_layers):
            continue
        answers = select_layers(
            spec,
            deployment(record),
            emulated_machine(release, capability, packages),
            Engine("vllm", release),
            lora=record.get("lora", False),
        )
        if any(one.selection.outcome is not Outcome.ERROR for one in answers):
            differ.append((record["model"], record.get("lora"), record["error"][:200]))
    assert differ == []
