"""From a child's end to an outcome and a sentence: pure.

Five bad ends are five answers: a signal and a lost GPU context are `crashed`, so is running out of
memory (the sentence begins with "out of memory"); a deadline is `timed_out`; an exception and
wrong numbers are `failed`, and their sentences differ.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

from moe_doctor.core.proof import CaseResult, ProofOutcome
from moe_doctor.core.units import count
from moe_doctor.proof.case import ProofCase
from moe_doctor.proof.runner import ChildEnd

# What an exception says, and what it means where that cannot be read out of it.
_MEANINGS = (
    # Seen with FlashInfer 0.6.13's block-scaled fp8 on an H200 without the headers it includes.
    (
        "!cubin.empty()",
        "FlashInfer compiles this kernel with nvcc when it first runs, and got nothing: nvcc or "
        "the headers that it includes are not where they were looked for",
    ),
)
_QUOTED = 300


def classify(end: ChildEnd, timeout_s: float) -> tuple[ProofOutcome, str]:
    """Outcome and reason; the reason of a pass is empty."""
    by_kind = {event["event"]: event for event in end.events}
    if "unavailable" in by_kind:
        return ProofOutcome.SKIPPED, str(by_kind["unavailable"]["reason"])
    if "done" in by_kind:
        return _judge_cases(end)
    if "error" in by_kind:
        error = by_kind["error"]
        text = f"{error['type']}: {error['message']}".rstrip(": ")
        if error["kind"] == "out_of_memory":
            return ProofOutcome.CRASHED, f"out of memory in {end.last_step}: {text}"
        if error["kind"] == "gpu":
            return ProofOutcome.CRASHED, f"the GPU context was lost in {end.last_step}: {text}"
        return ProofOutcome.FAILED, f"exception in {end.last_step}: {text}"
    if end.timed_out and any(not each["passed"] for each in _ran(end)):
        outcome, reason = _judge_cases(end)
        return outcome, f"{reason}; then no answer within {timeout_s:g} s"
    if end.timed_out:
        return (
            ProofOutcome.TIMED_OUT,
            f"no answer within {timeout_s:g} s; it was at: {end.last_step}{_quote(end)}",
        )
    code = end.returncode or 0
    if code < 0:
        name = _signal_name(-code)
        if -code == signal.SIGKILL and end.oom_kills > 0:
            return (
                ProofOutcome.CRASHED,
                f"out of memory in {end.last_step}: the kernel ended the child with {name}",
            )
        return ProofOutcome.CRASHED, f"killed by {name} in {end.last_step}{_quote(end)}"
    return (
        ProofOutcome.CRASHED,
        f"exited with code {code} before it finished, in {end.last_step}{_quote(end)}",
    )


def case_results(end: ChildEnd, planned: Sequence[ProofCase] = ()) -> tuple[CaseResult, ...]:
    """Every case: those that finished, the one that ended the child, those that never began."""
    finished = tuple(
        CaseResult(
            name=event["name"],
            num_tokens=event["num_tokens"],
            relative_error=event["relative_error"],
            tolerance=event["tolerance"],
            elapsed_ms=event["elapsed_ms"],
            passed=event["passed"],
            outcome=ProofOutcome(event["outcome"]),
            reason=event["detail"],
        )
        for event in end.events
        if event["event"] == "case"
    )
    left = planned[len(finished) :]
    if not left or not any(event["event"] == "ready" for event in end.events):
        return finished
    outcome, reason = classify(end, end.elapsed_s)
    never = "the child ended before"
    return (
        *finished,
        _without_output(left[0], outcome, reason),
        *(_without_output(case, ProofOutcome.NOT_RUN, never) for case in left[1:]),
    )


def _without_output(case: ProofCase, outcome: ProofOutcome, reason: str) -> CaseResult:
    return CaseResult(case.name, case.num_tokens, None, 0.0, 0.0, False, outcome, reason)


def _cases(end: ChildEnd) -> list[dict[str, Any]]:
    return [event for event in end.events if event["event"] == "case"]


def _ran(end: ChildEnd) -> list[dict[str, Any]]:
    """The cases that ended, those left out aside."""
    return [each for each in _cases(end) if each["outcome"] != ProofOutcome.SKIPPED.value]


def _judge_cases(end: ChildEnd) -> tuple[ProofOutcome, str]:
    cases, ran = _cases(end), _ran(end)
    raised = [event for event in ran if event.get("raised")]
    wrong = [event for event in ran if not event["passed"] and not event.get("raised")]
    if not ran and cases:
        # Routes, say, that a kernel with a router of its own cannot be led to.
        return ProofOutcome.SKIPPED, f"no case ran: {cases[0]['detail']}"
    if not ran:
        return ProofOutcome.FAILED, "no case ran"
    if raised:
        first = raised[0]
        return (
            ProofOutcome.FAILED,
            f"exception in case {first['name']}, {count(first['num_tokens'], 'token')}: "
            f"{first['detail']}{_meaning(first['detail'])}",
        )
    if not wrong:
        return ProofOutcome.PASSED, ""
    first = wrong[0]
    return (
        ProofOutcome.FAILED,
        f"wrong numbers in {len(wrong)} of {count(len(ran), 'case')}; "
        f"{first['name']} with {count(first['num_tokens'], 'token')}: {first['detail']}",
    )


def _meaning(detail: str) -> str:
    return next((f"; {meaning}" for said, meaning in _MEANINGS if said in detail), "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _quote(end: ChildEnd) -> str:
    """What its libraries said last; of a fatal error, the line and the innermost frame."""
    lines = [line.strip() for line in end.tail.splitlines() if line.strip()]
    fatal = next((i for i, line in enumerate(lines) if line.startswith("Fatal Python error")), None)
    if fatal is None:
        text = " | ".join(lines)[-_QUOTED:]
    else:
        # faulthandler: the error, "Current thread ...", then frames from the innermost out.
        text = " | ".join(lines[max(0, fatal - 2) : fatal + 3])[:_QUOTED]
    return f"; its last output: {text}" if text else ""
