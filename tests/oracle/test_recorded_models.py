"""Every recorded layer of real model classes, from config.json to the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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
        layers[group["oracle"], group["backend"], group["kernel"]] += group["count"]
    return layers


# Attributes in which a method without an oracle keeps its backend, and what stands for it there.
_BACKEND_ATTRIBUTES = ("kernel_backend", "mxfp4_backend", "fp8_backend")


def recorded_methods(record: dict[str, Any]) -> set[tuple[str, str | None]]:
    """Methods that asked no oracle, with the backend that they keep."""
    if record["groups"]:
        return set()
    found = set()
    for method in record["methods"]:
        attributes = method.get("attrs") or {}
        named = (attributes[name] for name in _BACKEND_ATTRIBUTES if name in attributes)
        found.add((method["quant_method"], next(named, None)))
    return found


def our_layers(
    record: dict[str, Any], release: str, capability: str, packages: str
) -> tuple[Counter[tuple[str, str | None, str | None]], set[tuple[str, str | None]], list[str]]:
    """Layers by oracle's answer; methods without an oracle; notes on what was not answered."""
    spec = model(record["model"])
    answers = select_layers(
        spec,
        deployment(record),
        emulated_machine(release, capability, packages),
        Engine("vllm", release),
        lora=record.get("lora", False),
    )
    layers: Counter[tuple[str, str | None, str | None]] = Counter()
    methods, silent = set(), []
    for one, kind in zip(answers, spec.moe_layers, strict=True):
        selection = one.selection
        if selection.outcome is Outcome.NOT_APPLICABLE:
            silent.append(selection.note)
        elif selection.outcome is Outcome.SELECTED and selection.oracle is None:
            methods.add((selection.note.partition(":")[0], selection.backend))
        elif selection.outcome is Outcome.SELECTED:
            layers[str(selection.oracle), selection.backend, selection.kernel] += kind.count
    return layers, methods, silent


def judged(release: str) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Records with an outcome, each with the capability and the packages that it was made for."""
    capability = packages = ""
    for record in records("model", release):
        if "header" in record:
            capability, packages = record["capability"], record["packages"]
        elif "outcome" in record:
            yield record, capability, packages


@needs_truth
@pytest.mark.parametrize("release", releases("model"))
def test_layers_and_their_backends_are_the_recorded_ones(release: str) -> None:
    """Oracle, backend and kernel of every layer, whatever its quantization; none is left out."""
    differ, compared = [], 0
    for record, capability, packages in judged(release):
        if record["outcome"] != "ok":
            continue
        wanted = recorded_layers(record), recorded_methods(record), []
        compared += 1
        ours = our_layers(record, release, capability, packages)
        if ours != wanted:
            differ.append((record["model"], deployment(record), record.get("lora"), wanted, ours))
    assert compared > 1900
    assert differ == []


@needs_truth
@pytest.mark.parametrize("release", releases("model"))
def test_what_the_release_refuses_is_refused(release: str) -> None:
    """Errors of kind config, moe and model, in the release's own words; none is left out.

    The other kinds are not the release's answer: the recorder's own limits, and attention.
    """
    differ, compared = [], 0
    for record, capability, packages in judged(release):
        if record.get("kind") not in ("config", "moe", "model"):
            continue
        spec = model(record["model"])
        answers = select_layers(
            spec,
            deployment(record),
            emulated_machine(release, capability, packages),
            Engine("vllm", release),
            lora=record.get("lora", False),
        )
        compared += 1
        errors = [one.selection.error for one in answers]
        texts = {
            # The recorder calls its copy models/NAME.
            f"{error.type}: {error.message}".replace(spec.id, f"models/{record['model']}")
            for error in errors
            if error is not None
        }
        if not any(said(record["error"], text) for text in texts):
            differ.append((record["model"], record.get("lora"), record["error"][:300], texts))
    assert compared > 100
    assert differ == []


def said(recorded: str, ours: str) -> bool:
    """Whether our text is the recorded one, up to where pydantic and the recorder go on or cut."""
    return recorded.startswith(ours) or ours.startswith(recorded)
