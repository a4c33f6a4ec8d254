"""Every recorded unquantized answer of the real oracles, and every reason that they gave."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.release import parse_release
from moe_doctor.core.selection import Selection
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.select import select_moe
from tests.truth import emulated_machine, needs_truth, query_of, records, releases

# The recorder sees the inner call of a class that overrides is_supported_config without being an
# experts class itself: the verdict before its own limit (0.28.0 TrtLlmBf16ExpertsBase).
_INNER_CALL = ("TrtLlmBf16ExpertsMonolithic", "TrtLlmBf16ExpertsModular", "TrtLlmBf16LoRAExperts")


def unquantized(release: str) -> list[dict[str, Any]]:
    return [
        record
        for record in records("oracle", release)
        if record["q"]["oracle"] == "unquantized"
        and "unrepresentable" not in record
        and "harness_error" not in record
    ]


def answer(record: dict[str, Any]) -> Selection:
    release = parse_release(record["v"])
    assert release is not None
    environment = record["q"].get("env", {})
    machine = emulated_machine(record["v"], record["cap"], record["pk"], environment)
    return select_moe(
        "unquantized", query_of(record["q"]), make_facts(machine, release), release, environment
    )


def told(selection: Selection) -> tuple[str | None, str | None, str | None]:
    error = selection.error
    return (
        selection.backend,
        selection.kernel,
        None if error is None else f"{error.type}: {error.message}",
    )


@needs_truth
@pytest.mark.parametrize("release", releases("oracle"))
def test_backend_kernel_and_exception_are_the_recorded_ones(release: str) -> None:
    differ = []
    recorded = unquantized(release)
    for record in recorded:
        wanted = (record.get("backend"), record.get("kernel"), record.get("exc"))
        if told(answer(record)) != wanted:
            differ.append((wanted, told(answer(record)), record["q"], record["cap"]))
    assert len(recorded) > 1000
    assert differ == []


@needs_truth
@pytest.mark.parametrize("release", [one for one in releases("oracle") if one >= "0.20"])
def test_every_class_that_the_engine_asked_is_asked_and_judged_alike(release: str) -> None:
    differ = []
    for record in unquantized(release):
        judged = {one.kernel: one for one in answer(record).trace}
        for name, supported, reason, *_ in record["visited"]:
            ours = judged.get(name)
            if ours is None or not ours.asked:
                differ.append((name, "not asked", record["q"]))
            elif supported and not ours.accepted and name in _INNER_CALL:
                continue
            elif (ours.accepted, ours.engine_reason or None) != (supported, reason):
                differ.append((name, reason, ours, record["q"]))
    assert differ == []


@needs_truth
@pytest.mark.parametrize("release", [one for one in releases("oracle") if one >= "0.20"])
def test_candidates_stand_in_the_recorded_order(release: str) -> None:
    for record in unquantized(release):
        # With variables the recorder's list is the one after removals; the trace keeps them all.
        if not record.get("candidates") or record["q"].get("env"):
            continue
        order = list(dict.fromkeys(one.backend for one in answer(record).trace))
        listed = [one for one in order if one in record["candidates"]]
        if record.get("lora") or record["q"].get("lora"):
            continue
        assert listed == record["candidates"], record["q"]
