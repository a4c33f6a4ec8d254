"""From a child's end to an outcome and a sentence: pure.

Five bad ends are five answers: a signal and a lost GPU context are `crashed`, so is running out of
memory (the sentence begins with "out of memory"); a deadline is `timed_out`; an exception and
wrong numbers are `failed`, and their sentences differ.
"""

from __future__ import annotations

import signal

from moe_doctor.core.proof import CaseResult, ProofOutcome
from moe_doctor.core.units import count
from moe_doctor.proof.runner import ChildEnd

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


def case_results(end: ChildEnd) -> tuple[CaseResult, ...]:
    """Every case that finished, also of a child that did not."""
    return tuple(
        CaseResult(
            name=event["name"],
            num_tokens=event["num_tokens"],
            relative_error=event["relative_error"],
            tolerance=event["tolerance"],
            elapsed_ms=event["elapsed_ms"],
            passed=event["passed"],
        )
        for event in end.events
        if event["event"] == "case"
    )


def _judge_cases(end: ChildEnd) -> tuple[ProofOutcome, str]:
    cases = [event for event in end.events if event["event"] == "case"]
    wrong = [event for event in cases if not event["passed"]]
    if not cases:
        return ProofOutcome.FAILED, "no case ran"
    if not wrong:
        return ProofOutcome.PASSED, ""
    first = wrong[0]
    return (
        ProofOutcome.FAILED,
        f"wrong numbers in {len(wrong)} of {count(len(cases), 'case')}; "
        f"{first['name']} with {count(first['num_tokens'], 'token')}: {first['detail']}",
    )


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
