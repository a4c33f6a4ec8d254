"""Every bad outcome, by a child that really does it. The children run side by side, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from moe_doctor.core.proof import ProofOutcome
from moe_doctor.proof.case import ProofCase
from moe_doctor.proof.classify import case_results, classify
from moe_doctor.proof.events import Event
from moe_doctor.proof.runner import ChildEnd, run_children
from tests.proof.conftest import ROOT, fault_plan

FAULTS = (
    "Good",
    "Segfault",
    "SegfaultInSecondCase",
    "RunsOutOfHostMemory",
    "RunsOutOfTorchMemory",
    "Raises",
    "RaisesOnce",
    "LosesTheContext",
    "WrongNumbers",
    "LeavesRowsUnwritten",
    "IsKilled",
    "ExitsEarly",
)
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def ends(torch_is_there: None) -> dict[str, ChildEnd]:
    twice, graph = ProofCase("twice", 2, how="twice"), ProofCase("graph", 2, how="graph")
    plans = {name: fault_plan(name) for name in FAULTS}
    plans["DiffersInBits"] = replace(fault_plan("DiffersInBits"), cases=(twice,))
    plans["Good+"] = replace(fault_plan("Good"), cases=(twice, graph))
    found = run_children(
        [plan.to_dict() for plan in plans.values()],
        environments=[ENVIRONMENT] * len(plans),
        timeout_s=110,
    )
    return dict(zip(plans, found, strict=True))


def verdict(end: ChildEnd) -> tuple[ProofOutcome, str]:
    return classify(end, 110)


def test_right_numbers_pass_with_every_case(ends: dict[str, ChildEnd]) -> None:
    assert verdict(ends["Good"]) == (ProofOutcome.PASSED, "")
    assert [case.name for case in case_results(ends["Good"])] == ["first", "second"]


def test_a_segfault_is_a_crash_that_quotes_the_last_output(ends: dict[str, ChildEnd]) -> None:
    outcome, reason = verdict(ends["Segfault"])
    assert outcome is ProofOutcome.CRASHED
    assert "killed by SIGSEGV in case first, 2 tokens" in reason
    assert "libfancy: about to launch | Fatal Python error: Segmentation fault" in reason


def test_a_crash_keeps_the_cases_before_it(ends: dict[str, ChildEnd]) -> None:
    end = ends["SegfaultInSecondCase"]
    assert verdict(end)[0] is ProofOutcome.CRASHED
    assert [(case.name, case.passed) for case in case_results(end)] == [("first", True)]
    second = case_results(end, fault_plan("Good").cases)[1]
    assert (second.name, second.ended) == ("second", ProofOutcome.CRASHED)
    assert "SIGSEGV" in second.reason


def test_cases_that_never_began_are_not_run(ends: dict[str, ChildEnd]) -> None:
    cases = case_results(ends["Segfault"], fault_plan("Segfault").cases)
    assert [case.ended for case in cases] == [ProofOutcome.CRASHED, ProofOutcome.NOT_RUN]
    assert cases[1].reason == "the child ended before"


def test_an_exception_in_one_case_leaves_the_next_one_its_answer(
    ends: dict[str, ChildEnd],
) -> None:
    end = ends["RaisesOnce"]
    assert verdict(end) == (
        ProofOutcome.FAILED,
        "exception in case first, 2 tokens: RuntimeError: Error occurred when running GEMM",
    )
    assert [case.ended for case in case_results(end)] == [
        ProofOutcome.FAILED,
        ProofOutcome.PASSED,
    ]


def test_a_gpu_context_that_is_lost_ends_the_child(ends: dict[str, ChildEnd]) -> None:
    outcome, reason = verdict(ends["LosesTheContext"])
    assert outcome is ProofOutcome.CRASHED
    assert reason.startswith("the GPU context was lost in case first, 2 tokens: AcceleratorError")
    assert len(case_results(ends["LosesTheContext"])) == 0


def test_bits_that_differ_fail_where_they_are_promised_and_else_are_not_asked_for(
    ends: dict[str, ChildEnd],
) -> None:
    (promised,) = case_results(ends["DiffersInBits"])
    assert promised.ended is ProofOutcome.FAILED
    assert promised.reason == "64 elements of a second run differ in bits"
    first, second = case_results(ends["Good+"])
    assert first.ended is ProofOutcome.SKIPPED
    assert first.reason == "this backend promises no equal bits"
    assert second.ended is ProofOutcome.SKIPPED
    assert second.reason == "CUDA graphs need a GPU"
    assert verdict(ends["Good+"]) == (
        ProofOutcome.SKIPPED,
        "no case ran: this backend promises no equal bits",
    )


@pytest.mark.parametrize("name", ["RunsOutOfHostMemory", "RunsOutOfTorchMemory"])
def test_running_out_of_memory_is_named(ends: dict[str, ChildEnd], name: str) -> None:
    outcome, reason = verdict(ends[name])
    assert outcome is ProofOutcome.CRASHED
    assert reason.startswith("out of memory in case first, 2 tokens: ")


def test_an_exception_fails_with_its_type_and_message(ends: dict[str, ChildEnd]) -> None:
    outcome, reason = verdict(ends["Raises"])
    assert outcome is ProofOutcome.FAILED
    assert reason == (
        "exception in case first, 2 tokens: RuntimeError: Error occurred when running GEMM"
    )


def test_wrong_numbers_fail_with_error_and_limit(ends: dict[str, ChildEnd]) -> None:
    outcome, reason = verdict(ends["WrongNumbers"])
    assert outcome is ProofOutcome.FAILED
    assert reason.startswith("wrong numbers in 2 of 2 cases; first with 2 tokens: relative error")
    worst = case_results(ends["WrongNumbers"])[0]
    assert worst.relative_error is not None
    assert worst.relative_error > 0.1 > worst.tolerance


def test_a_row_that_was_never_written_is_not_finite(ends: dict[str, ChildEnd]) -> None:
    outcome, reason = verdict(ends["LeavesRowsUnwritten"])
    assert outcome is ProofOutcome.FAILED
    assert "32 of 64 elements were not written or are not finite" in reason


def test_a_kill_from_outside_is_a_crash(ends: dict[str, ChildEnd]) -> None:
    end = ends["IsKilled"]
    assert end.returncode == -signal.SIGKILL
    if end.oom_kills == 0:
        assert verdict(end)[1].startswith("killed by SIGKILL in case first, 2 tokens")


def test_an_early_exit_is_a_crash_with_its_code(ends: dict[str, ChildEnd]) -> None:
    outcome, reason = verdict(ends["ExitsEarly"])
    assert outcome is ProofOutcome.CRASHED
    assert reason.startswith("exited with code 7 before it finished, in case first, 2 tokens")


def test_a_hang_times_out_and_takes_its_compiler_along(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    started = time.monotonic()
    (end,) = run_children(
        [fault_plan("HangsWithCompiler").to_dict()],
        environments=[{**ENVIRONMENT, "FAULTS_PIDS": str(pids)}],
        timeout_s=4,
    )
    assert time.monotonic() - started < 20
    outcome, reason = classify(end, 4)
    assert outcome is ProofOutcome.TIMED_OUT
    assert reason.startswith(
        "no answer within 4 s; it was at: loading tests.proof.faults:HangsWithCompiler"
    )
    assert_gone(pids)


def test_a_build_has_a_deadline_of_its_own_and_counts_its_files(torch_is_there: None) -> None:
    steps: list[str] = []

    def listen(child: int, event: Event) -> None:
        if event["event"] == "step":
            steps.append(event["name"])

    patient, impatient = run_children(
        [fault_plan("Compiles").to_dict(), fault_plan("HangsAfterCompiling").to_dict()],
        environments=[ENVIRONMENT] * 2,
        timeout_s=1,
        build_s=(60, 12),
        listener=listen,
    )
    assert classify(patient, 61) == (ProofOutcome.PASSED, "")
    assert "compiling, 3 of 3 files" in steps
    outcome, reason = classify(impatient, 13)
    assert outcome is ProofOutcome.TIMED_OUT
    assert reason.startswith("no answer within 13 s; it was at: compiling, 1 of 2 files")


def test_an_interrupt_leaves_no_child(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def interrupt(child: int, event: Event) -> None:
        deadline = time.monotonic() + 20
        while not (pids.exists() and pids.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_children(
            [fault_plan("HangsWithCompiler").to_dict()],
            environments=[{**ENVIRONMENT, "FAULTS_PIDS": str(pids)}],
            timeout_s=30,
            listener=interrupt,
        )
    assert_gone(pids)


PARENT = """
from moe_doctor.proof.runner import run_children
from tests.proof.conftest import fault_plan
run_children([fault_plan("HangsWithCompiler").to_dict()], environments=[{}], timeout_s=60)
"""


def test_a_killed_parent_leaves_no_orphan(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    environment = {**os.environ, **ENVIRONMENT, "FAULTS_PIDS": str(pids)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=environment, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 30
        while not (pids.exists() and pids.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()
    assert_gone(pids)


def assert_gone(pids: Path) -> None:
    """Neither the child nor what it started is running, within five seconds."""
    numbers = [int(number) for number in pids.read_text().split()]
    assert len(numbers) == 2
    deadline = time.monotonic() + 5
    while any(is_running(number) for number in numbers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [number for number in numbers if is_running(number)] == []


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # a zombie waits for init to collect it
