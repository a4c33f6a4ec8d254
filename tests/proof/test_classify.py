from __future__ import annotations

import signal

from moe_doctor.core.proof import ProofOutcome
from moe_doctor.proof.classify import classify
from moe_doctor.proof.events import Event, parse_events
from moe_doctor.proof.runner import ChildEnd


def end(
    *events: Event, returncode: int | None = 0, timed_out: bool = False, oom_kills: int = 0
) -> ChildEnd:
    return ChildEnd(events, returncode, timed_out, 1.0, "", oom_kills)


STEP: Event = {"event": "step", "name": "case random, 16 tokens"}


def test_the_oom_killer_is_told_from_another_sigkill() -> None:
    killed = end(STEP, returncode=-signal.SIGKILL, oom_kills=1)
    assert classify(killed, 60) == (
        ProofOutcome.CRASHED,
        "out of memory in case random, 16 tokens: the kernel ended the child with SIGKILL",
    )
    assert classify(end(STEP, returncode=-signal.SIGKILL), 60) == (
        ProofOutcome.CRASHED,
        "killed by SIGKILL in case random, 16 tokens",
    )


def test_a_cuda_error_is_a_lost_context() -> None:
    error = {
        "event": "error",
        "kind": "gpu",
        "type": "AcceleratorError",
        "message": "CUDA error: an illegal memory access was encountered",
    }
    outcome, reason = classify(end(STEP, error, returncode=1), 60)
    assert outcome is ProofOutcome.CRASHED
    assert reason == (
        "the GPU context was lost in case random, 16 tokens: "
        "AcceleratorError: CUDA error: an illegal memory access was encountered"
    )


def test_cuda_out_of_memory_is_out_of_memory() -> None:
    error = {
        "event": "error",
        "kind": "out_of_memory",
        "type": "OutOfMemoryError",
        "message": "CUDA out of memory. Tried to allocate 2.00 GiB",
    }
    outcome, reason = classify(end(STEP, error, returncode=1), 60)
    assert outcome is ProofOutcome.CRASHED
    assert reason.startswith("out of memory in case random, 16 tokens: OutOfMemoryError: CUDA out")


def test_a_child_that_cannot_run_after_all_is_skipped() -> None:
    gone = {"event": "unavailable", "reason": "torch 2.11.0+cpu sees no GPU"}
    assert classify(end(gone), 60) == (ProofOutcome.SKIPPED, "torch 2.11.0+cpu sees no GPU")


def test_a_child_that_never_spoke_was_starting_python() -> None:
    outcome, reason = classify(end(returncode=None, timed_out=True), 2.5)
    assert outcome is ProofOutcome.TIMED_OUT
    assert reason == "no answer within 2.5 s; it was at: starting Python"


def test_a_wrong_number_counts_whatever_takes_too_long_afterwards() -> None:
    case: Event = {
        "event": "case",
        "name": "random",
        "num_tokens": 17,
        "outcome": "failed",
        "passed": False,
        "detail": "relative error 2.0e-02 over its limit 1.2e-02",
    }
    assert classify(end(case, STEP, returncode=None, timed_out=True), 60) == (
        ProofOutcome.FAILED,
        "wrong numbers in 1 of 1 case; random with 17 tokens: relative error 2.0e-02 over its "
        "limit 1.2e-02; then no answer within 60 s",
    )
    passed = case | {"passed": True, "outcome": "passed"}
    late = classify(end(passed, STEP, returncode=None, timed_out=True), 60)
    assert late[0] is ProofOutcome.TIMED_OUT


def test_an_exception_that_says_little_is_explained() -> None:
    def case(detail: str) -> Event:
        return {
            "event": "case",
            "name": "random",
            "num_tokens": 1,
            "outcome": "failed",
            "passed": False,
            "raised": True,
            "detail": detail,
        }

    said = "RuntimeError: Assertion failed: !cubin.empty() || isPathValid(path_)"
    _, reason = classify(end(case(said), {"event": "done"}), 60)
    assert reason.startswith(f"exception in case random, 1 token: {said}; FlashInfer compiles")
    _, reason = classify(end(case("RuntimeError: no"), {"event": "done"}), 60)
    assert reason == "exception in case random, 1 token: RuntimeError: no"


def test_done_without_a_case_is_not_a_pass() -> None:
    assert classify(end({"event": "done"}), 60)[0] is ProofOutcome.FAILED


def test_a_line_cut_short_is_left_out() -> None:
    assert parse_events([b'{"event": "done"}', b'{"event": "ca', b"[1]", b""]) == (
        {"event": "done"},
    )
