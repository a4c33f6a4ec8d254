"""What happened when a tiny fused-MoE forward really ran: six outcomes, never one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from moe_doctor.core.record import field, record


class ProofOutcome(Enum):
    """How a proof ended; the contract's six values."""

    PASSED = "passed"
    FAILED = "failed"
    """Ran and gave wrong numbers, or raised: `reason` says which."""
    CRASHED = "crashed"
    """The child process died: a signal, out of memory, a corrupted GPU context."""
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    """Cannot run here; `reason` says what is missing."""
    NOT_RUN = "not_run"
    """Could have run and was not asked to."""


@record
class CaseResult:
    """One forward compared with the fp32 reference."""

    name: str
    """What the case stresses, such as `all-tokens-one-expert`."""
    num_tokens: int
    """T."""
    relative_error: float | None
    """||out - ref|| / ||ref||; None when there was no output, NaN when it was not finite."""
    tolerance: float
    """Largest error that passes."""
    elapsed_ms: float
    """Wall time of the forward, first launch (and compile) included."""
    passed: bool
    """Whether every element was written, finite, and within tolerance."""
    outcome: ProofOutcome | None = None
    """How it ended, where `passed` does not say it all: skipped, crashed, not run, ..."""
    reason: str = ""
    """What was wrong, or why it did not run."""

    @property
    def ended(self) -> ProofOutcome:
        """How it ended."""
        if self.outcome is not None:
            return self.outcome
        return ProofOutcome.PASSED if self.passed else ProofOutcome.FAILED

    def to_dict(self) -> dict[str, Any]:
        """JSON form (a non-finite error becomes null beside `passed: false`)."""
        error = self.relative_error
        if error is not None and error - error != 0.0:
            error = None
        return {
            "name": self.name,
            "num_tokens": self.num_tokens,
            "relative_error": error,
            "tolerance": self.tolerance,
            "elapsed_ms": self.elapsed_ms,
            "passed": self.passed,
            "outcome": self.ended.value,
            "reason": self.reason,
        }


@record
class Proof:
    """All cases of one backend, with or without LoRA."""

    backend_option: str
    """Backend that was proved, as `--moe-backend` spells it."""
    implementation: str
    """Whose kernel ran, such as `flashinfer.fused_moe.cutlass_fused_moe`."""
    lora: bool
    """Whether adapters were applied."""
    device: str
    """What it ran on: the GPU's name, or the CPU's architecture."""
    mode: str
    """`gpu`, `interpreter` or `cpu`."""
    outcome: ProofOutcome
    """How it ended."""
    reason: str = ""
    """What happened, when it did not pass; what is special, when it did."""
    cases: tuple[CaseResult, ...] = ()
    """One entry per forward that finished."""
    geometry: Mapping[str, Any] = field(default_factory=dict)
    """What was run: num_experts (may be shrunk), top_k, hidden_size, ..."""
    moe_layers: int = 0
    """Index into `ModelSpec.moe_layers`."""

    @property
    def worst_error(self) -> float | None:
        """Largest relative error over the cases."""
        errors = [case.relative_error for case in self.cases if case.relative_error is not None]
        return max(errors) if errors else None

    def to_dict(self) -> dict[str, Any]:
        """JSON form, as in the contract."""
        return {
            "backend_option": self.backend_option,
            "implementation": self.implementation,
            "lora": self.lora,
            "device": self.device,
            "mode": self.mode,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "moe_layers": self.moe_layers,
            "geometry": dict(self.geometry),
            "cases": [case.to_dict() for case in self.cases],
        }
