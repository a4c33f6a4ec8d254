"""6xx: what the proofs showed, and what they could not show."""

from __future__ import annotations

from collections.abc import Iterator

from moe_doctor.checks.case import Case
from moe_doctor.core.findings import Finding
from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.rules import proof as rules

_BAD = {
    ProofOutcome.FAILED: rules.FAILED,
    ProofOutcome.CRASHED: rules.CRASHED,
    ProofOutcome.TIMED_OUT: rules.TIMED_OUT,
}


def check_bad_proofs(case: Case) -> Iterator[Finding]:
    """MOE601, MOE602, MOE603."""
    for proof in case.proofs:
        rule = _BAD.get(proof.outcome)
        if rule is None:
            continue
        other = "triton" if proof.backend_option != "triton" else "flashinfer_cutlass"
        slow = proof.outcome is ProofOutcome.TIMED_OUT
        commands = [f"moe-doctor prove {case.model_argument} --backend {other}"]
        if slow:
            commands.insert(
                0,
                f"moe-doctor prove {case.model_argument} --backend {proof.backend_option} "
                f"--timeout {int(case.request.timeout_s * 4)}",
            )
        yield rule.finding(
            f"{proof.backend_option} {_lora(proof)} on {proof.device} ({proof.mode}): "
            f"{proof.reason}",
            commands=tuple(commands) if case.request.model else (),
            evidence={"implementation": proof.implementation, "worst_error": proof.worst_error},
        )


def check_nothing_proved(case: Case) -> Iterator[Finding]:
    """MOE604."""
    if not case.proofs or case.machine.platform == "cpu":
        return
    passed_here = any(
        proof.mode == "gpu" and proof.outcome is ProofOutcome.PASSED for proof in case.proofs
    )
    asked, here = case.machine.gpu, case.here.gpu
    if passed_here and not case.machine.simulated:
        return
    if passed_here and asked is not None and here is not None and asked.target == here.target:
        return
    name = asked.name if asked is not None else case.machine.platform
    where = (
        f"the proofs ran on {here.name}"
        if here is not None
        else "this machine has no GPU, so Triton ran in its interpreter, which proves the code"
    )
    yield rules.NOTHING_PROVED.finding(
        f"nothing was proved on {name}: {where}",
        commands=(f"moe-doctor check {case.model_argument}",) if case.request.model else (),
    )


def check_skipped(case: Case) -> Iterator[Finding]:
    """MOE605 and MOE607."""
    seen: set[tuple[str, str]] = set()
    for proof in case.proofs:
        key = (proof.backend_option, proof.reason)
        if proof.outcome is not ProofOutcome.SKIPPED or key in seen:
            continue
        seen.add(key)
        if "moe-doctor[kernels]" in proof.reason:
            yield rules.NO_KERNELS.finding(
                proof.reason, commands=("pip install 'moe-doctor[kernels]'",)
            )
        else:
            yield rules.SKIPPED.finding(f"{proof.backend_option} was not run: {proof.reason}")


def check_shrunk(case: Case) -> Iterator[Finding]:
    """MOE606."""
    seen: set[int] = set()
    for proof in case.proofs:
        ran = proof.geometry.get("num_experts")
        full = proof.geometry.get("num_experts_model")
        if ran is None or full is None or ran >= full or proof.moe_layers in seen:
            continue
        if proof.outcome is ProofOutcome.SKIPPED:
            continue
        seen.add(proof.moe_layers)
        yield rules.SHRUNK.finding(
            f"the proof of {case.layers_text(proof.moe_layers)} ran with {ran} of {full} experts; "
            "widths are the model's own",
            evidence=dict(proof.geometry),
        )


def _lora(proof: Proof) -> str:
    return "with LoRA" if proof.lora else "without LoRA"


CHECKS = (check_bad_proofs, check_nothing_proved, check_skipped, check_shrunk)
