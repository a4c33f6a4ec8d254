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

_WITHOUT_ADAPTERS = (
    "Do not serve adapters with this release here; use another one, or merge the adapter into the "
    "weights."
)


def check_bad_proofs(case: Case) -> Iterator[Finding]:
    """MOE601, MOE602, MOE603, MOE608."""
    for proof in case.proofs:
        rule = _BAD.get(proof.outcome)
        if rule is None:
            continue
        if rule is rules.TIMED_OUT and proof.mode != "gpu":
            rule = rules.SLOW_WITHOUT_GPU
        other = "triton" if proof.backend_option != "triton" else "flashinfer_cutlass"
        slow = proof.outcome is ProofOutcome.TIMED_OUT
        alone = proof.lora and other == "flashinfer_cutlass"  # takes no adapters
        adapters = " --lora" if proof.lora else ""
        commands = [f"moe-doctor prove {case.model_argument} --backend {other}{adapters}"]
        commands = [] if alone else commands
        if slow:
            # Another backend is no quicker in an interpreter, if it runs there at all.
            commands = commands if proof.mode == "gpu" else []
            commands.insert(
                0,
                f"moe-doctor prove {case.model_argument} --backend {proof.backend_option} "
                f"--timeout {int(case.request.timeout_s * 4)}{adapters}",
            )
        yield rule.finding(
            f"{proof.backend_option} {_lora(proof)} on {proof.device} ({proof.mode}): "
            f"{proof.reason}",
            commands=tuple(commands) if case.request.model else (),
            evidence={"implementation": proof.implementation, "worst_error": proof.worst_error},
            remedy=_WITHOUT_ADAPTERS if alone and not slow else "",
        )


def check_nothing_proved(case: Case) -> Iterator[Finding]:
    """MOE604."""
    if not case.proofs or case.machine.platform == "cpu":
        return
    passed = [proof for proof in case.proofs if proof.outcome is ProofOutcome.PASSED]
    asked, here = case.machine.gpu, case.here.gpu
    same = not case.machine.simulated or (
        asked is not None and here is not None and asked.target == here.target
    )
    ran_there = [proof for proof in case.proofs if same and proof.mode == "gpu"]
    # A kernel that ran on that GPU and failed has shown something: MOE601 and MOE602 say what.
    telling = (ProofOutcome.PASSED, ProofOutcome.FAILED, ProofOutcome.CRASHED)
    if any(proof.outcome in telling for proof in ran_there):
        return
    name = asked.name if asked is not None else case.machine.platform
    remedy = "" if not same else "Mend what stopped the proofs, and run it again."
    yield rules.NOTHING_PROVED.finding(
        f"nothing was proved on {name}: {_where(passed, case) if passed else _ends(case.proofs)}",
        commands=(
            (f"moe-doctor check {case.model_argument}{_engine(case)}",)
            if case.request.model and not same
            else ()
        ),
        remedy=remedy,
    )


def _engine(case: Case) -> str:
    """The engine's option, where the question named one."""
    import shlex

    return f" --engine {shlex.quote(case.request.engine)}" if case.request.engine else ""


def _where(passed: list[Proof], case: Case) -> str:
    """Where proofs passed, when that was not the GPU in question."""
    here = case.here.gpu
    if here is not None and any(proof.mode == "gpu" for proof in passed):
        return f"the proofs ran on {here.name}"
    cause = "this machine has no GPU, so " if here is None else ""
    if any(proof.mode == "interpreter" for proof in passed):
        return f"{cause}Triton ran in its interpreter, which proves the code"
    return f"{cause}the proofs ran on the CPU"


def _ends(proofs: tuple[Proof, ...]) -> str:
    """How every proof ended, when none passed."""
    words = {
        ProofOutcome.SKIPPED: "could not be run here",
        ProofOutcome.NOT_RUN: "was not run",
        ProofOutcome.TIMED_OUT: "did not end within its deadline",
        ProofOutcome.FAILED: "failed",
        ProofOutcome.CRASHED: "crashed",
    }
    ends = dict.fromkeys(f"{proof.backend_option} {words[proof.outcome]}" for proof in proofs)
    return ", ".join(ends)


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
    # Without a finished case nothing ran, whatever had been planned.
    ran = [(proof, _cut_sizes(proof)) for proof in case.proofs if proof.cases]
    said: set[str] = set()
    for proof, sizes in ran:
        alike = {one for other, one in ran if other.moe_layers == proof.moe_layers} == {sizes}
        which = "" if alike else f" {_lora(proof)}"
        message = f"the proof of {case.layers_text(proof.moe_layers)}{which} ran with {sizes}"
        if sizes and message not in said:
            said.add(message)
            yield rules.SHRUNK.finding(message, evidence=dict(proof.geometry))


def _cut_sizes(proof: Proof) -> str:
    """`4 of 128 experts, widths are the model's own`; empty when nothing was cut."""
    pairs = []
    for key, noun in (
        ("num_experts", "experts"),
        ("intermediate_size_per_partition", "columns of each expert per rank"),
    ):
        ran, full = proof.geometry.get(key), proof.geometry.get(f"{key}_model")
        if ran is not None and full is not None and ran < full:
            pairs.append((key, f"{ran} of {full} {noun}"))
    if not pairs:
        return ""
    text = " and ".join(words for _, words in pairs)
    return (
        text
        if len(pairs) > 1 or pairs[0][0] != "num_experts"
        else f"{text}; widths are the model's own"
    )


def _lora(proof: Proof) -> str:
    return "with LoRA" if proof.lora else "without LoRA"


CHECKS = (check_bad_proofs, check_nothing_proved, check_skipped, check_shrunk)
