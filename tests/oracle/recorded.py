"""Recorded answers of one of vLLM's oracles beside ours: what differs, for `== []`."""

from __future__ import annotations

from typing import Any

from moe_doctor.core.release import parse_release
from moe_doctor.core.selection import Selection
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.select import select_moe
from tests.truth import emulated_machine, query_of, records

Record = dict[str, Any]

INNER_CALLS = (
    "TrtLlmBf16ExpertsMonolithic",
    "TrtLlmBf16ExpertsModular",
    "TrtLlmBf16LoRAExperts",
    "TrtLlmFp8ExpertsMonolithic",
    "TrtLlmFp8ExpertsModular",
)
"""Classes whose base overrides is_supported_config: the recorder sees the inner verdict."""


def of_oracle(release: str, *oracles: str, but: frozenset[int] = frozenset()) -> list[Record]:
    """The records of these oracles that have an answer, without some lines of the file."""
    return [
        record
        for line, record in enumerate(records("oracle", release), 1)
        if line not in but
        and record["q"]["oracle"] in oracles
        and "unrepresentable" not in record
        and "harness_error" not in record
    ]


def answer(record: Record) -> Selection:
    """Our answer to a recorded question."""
    release = parse_release(record["v"])
    assert release is not None
    environment = record["q"].get("env", {})
    platform = record.get("platform", "cuda")
    machine = emulated_machine(record["v"], record["cap"], record["pk"], environment, platform)
    facts = make_facts(machine, release)
    return select_moe(record["q"]["oracle"], query_of(record["q"]), facts, release, environment)


def told(selection: Selection) -> tuple[str | None, str | None, str | None]:
    """Backend, class and exception as a record has them."""
    error = selection.error
    return (
        selection.backend,
        selection.kernel,
        None if error is None else f"{error.type}: {error.message}",
    )


def other_answers(recorded: list[Record]) -> list[tuple[Any, ...]]:
    """Records whose backend, class or exception is not ours."""
    differ = []
    for record in recorded:
        wanted = (record.get("backend"), record.get("kernel"), record.get("exc"))
        ours = told(answer(record))
        if ours != wanted:
            differ.append((wanted, ours, record["q"], record["cap"]))
    return differ


def other_judgements(
    recorded: list[Record], inner_call: tuple[str, ...] = ()
) -> list[tuple[Any, ...]]:
    """Classes that the engine asked and we did not, or that we judge for another reason.

    `inner_call` names classes whose own limit the recorder does not see.
    """
    differ: list[tuple[Any, ...]] = []
    for record in recorded:
        # One class may stand behind several backends, each with its own inputs.
        asked = [one for one in answer(record).trace if one.asked]
        judged = {(one.kernel, one.accepted, one.engine_reason or None) for one in asked}
        for name, supported, reason, *_ in record.get("visited", ()):
            ours = [one for one in asked if one.kernel == name]
            if not ours:
                differ.append((name, "not asked", record["q"]))
            elif supported and name in inner_call:
                continue
            # None instead of a verdict: the class raised
            elif (name, bool(supported), reason) not in judged:
                differ.append((name, reason, ours, record["q"]))
    return differ


def other_orders(recorded: list[Record]) -> list[tuple[Any, ...]]:
    """Records whose candidates stand in another order than ours.

    With variables the recorder's list is the one after removals, and the trace keeps them all.
    """
    differ = []
    for record in recorded:
        if not record.get("candidates") or record["q"].get("env") or record["q"].get("lora"):
            continue
        order = list(dict.fromkeys(one.backend for one in answer(record).trace))
        listed = [one for one in order if one in record["candidates"]]
        if listed != record["candidates"]:
            differ.append((record["candidates"], order, record["q"]))
    return differ
