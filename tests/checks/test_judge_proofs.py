"""What the checks say about proofs and how they ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moe_doctor.checks.judge import judge
from moe_doctor.core.findings import Severity
from moe_doctor.core.machine import (
    Gpu,
    MachineSnapshot,
)
from moe_doctor.core.proof import CaseResult, Proof, ProofOutcome
from tests.checks.cases import codes, find, make_case, make_machine


def proof(outcome: ProofOutcome, reason: str = "because", **changes: object) -> Proof:
    base = Proof("triton", "kernel", False, "NVIDIA H100 80GB HBM3", "gpu", outcome, reason)
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (ProofOutcome.FAILED, "MOE601"),
        (ProofOutcome.CRASHED, "MOE602"),
        (ProofOutcome.TIMED_OUT, "MOE603"),
        (ProofOutcome.SKIPPED, "MOE605"),
    ],
)
def test_each_bad_end_of_a_proof_has_a_code(outcome: ProofOutcome, code: str) -> None:
    assert code in codes(make_case(proofs=(proof(outcome),)))


def test_a_proof_on_the_cpu_proves_nothing_about_the_gpu() -> None:
    case = make_case(
        here=MachineSnapshot("cpu"), proofs=(proof(ProofOutcome.PASSED, mode="interpreter"),)
    )
    assert "nothing was proved on NVIDIA H100" in find(case, "MOE604").message


def test_a_proof_on_that_gpu_needs_no_such_word() -> None:
    assert "MOE604" not in codes(make_case(proofs=(proof(ProofOutcome.PASSED),)))


def test_what_was_proved_is_not_said_to_be_unproved_on_another_gpu() -> None:
    here = MachineSnapshot("cuda", (Gpu("NVIDIA A100-SXM4-80GB", (8, 0)),))
    machine = replace(make_machine(), simulated=True)
    case = make_case(machine=machine, here=here, proofs=(proof(ProofOutcome.PASSED),))
    assert find(case, "MOE604").message == (
        "nothing was proved on NVIDIA H100 80GB HBM3: the proofs ran on NVIDIA A100-SXM4-80GB"
    )


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ([(ProofOutcome.TIMED_OUT, "interpreter")], "triton did not end within its deadline"),
        ([(ProofOutcome.SKIPPED, "gpu")], "triton could not be run here"),
        (
            [(ProofOutcome.SKIPPED, "gpu"), (ProofOutcome.FAILED, "interpreter")],
            "triton could not be run here, triton failed",
        ),
        (
            [(ProofOutcome.TIMED_OUT, "gpu"), (ProofOutcome.PASSED, "interpreter")],
            "this machine has no GPU, so Triton ran in its interpreter, which proves the code",
        ),
    ],
)
def test_what_ended_without_a_pass_is_not_said_to_have_run(
    ends: list[tuple[ProofOutcome, str]], said: str
) -> None:
    proofs = tuple(proof(outcome, mode=mode) for outcome, mode in ends)
    case = make_case(here=MachineSnapshot("cpu"), proofs=proofs)
    assert find(case, "MOE604").message == f"nothing was proved on NVIDIA H100 80GB HBM3: {said}"


@pytest.mark.parametrize("outcome", [ProofOutcome.FAILED, ProofOutcome.CRASHED])
def test_a_failure_on_that_gpu_is_told_by_its_own_code_alone(outcome: ProofOutcome) -> None:
    assert "MOE604" not in codes(make_case(proofs=(proof(outcome),)))


def test_an_interpreter_that_is_too_slow_is_no_error() -> None:
    slow = proof(ProofOutcome.TIMED_OUT, mode="interpreter")
    case = make_case(here=MachineSnapshot("cpu"), proofs=(slow,))
    assert "MOE603" not in codes(case)
    finding = find(case, "MOE608")
    assert finding.severity is Severity.WARNING
    assert finding.remediation is not None
    assert [command.split()[-2:] for command in finding.remediation.commands] == [
        ["--timeout", "480"]
    ]


def test_no_backend_without_adapters_is_named_where_adapters_fail() -> None:
    finding = find(make_case(proofs=(proof(ProofOutcome.FAILED, lora=True),)), "MOE601")
    assert finding.remediation is not None
    assert finding.remediation.commands == ()
    assert "merge the adapter" in finding.remediation.text


RAN = (CaseResult("random", 16, 1e-3, 1e-2, 1.0, True),)


@pytest.mark.parametrize(
    ("geometry", "said"),
    [
        (
            {"num_experts": 4, "num_experts_model": 128},
            "the proof of 23 layers ran with 4 of 128 experts; widths are the model's own",
        ),
        (
            {
                "num_experts": 4,
                "num_experts_model": 128,
                "intermediate_size_per_partition": 256,
                "intermediate_size_per_partition_model": 1856,
            },
            "the proof of 23 layers ran with 4 of 128 experts and "
            "256 of 1856 columns of each expert per rank",
        ),
    ],
)
def test_smaller_experts_are_said(geometry: dict[str, int], said: str) -> None:
    case = make_case(proofs=(proof(ProofOutcome.PASSED, geometry=geometry, cases=RAN),))
    assert find(case, "MOE606").message == said


def test_adapters_proved_with_fewer_experts_than_the_rest_are_told_apart() -> None:
    both = tuple(
        proof(
            ProofOutcome.PASSED,
            lora=lora,
            geometry={"num_experts": ran, "num_experts_model": 128},
            cases=RAN,
        )
        for lora, ran in ((False, 4), (True, 3))
    )
    said = [one.message for one in judge(make_case(proofs=both)) if one.code == "MOE606"]
    assert said == [
        "the proof of 23 layers without LoRA ran with 4 of 128 experts; widths are the model's own",
        "the proof of 23 layers with LoRA ran with 3 of 128 experts; widths are the model's own",
    ]


@pytest.mark.parametrize("outcome", [ProofOutcome.TIMED_OUT, ProofOutcome.CRASHED])
def test_nothing_is_said_to_have_run_smaller_when_no_case_ran(outcome: ProofOutcome) -> None:
    geometry = {"num_experts": 4, "num_experts_model": 128}
    assert "MOE606" not in codes(make_case(proofs=(proof(outcome, geometry=geometry),)))
