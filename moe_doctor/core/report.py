"""The report: everything one command found out, and the JSON form that users rely on."""

from __future__ import annotations

from typing import Any

from moe_doctor import __version__
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.findings import Finding, Severity
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.proof import Proof
from moe_doctor.core.record import field, record
from moe_doctor.core.selection import Selection
from moe_doctor.core.spec import ModelSpec

SCHEMA = "moe-doctor.report/1"


class Engine(NamedTuple):
    """Whose rules answered."""

    name: str
    """`vllm`."""
    version: str
    """Release, such as `0.20.0`."""
    source: str = "table"
    """`table` (the shipped rules) or `installed` (the engine itself was asked)."""


@record
class Report:
    """What `check`, `select` and `prove` return, and what every format is rendered from."""

    command: str
    """The command that made it."""
    machine: MachineSnapshot
    """The machine that was asked about."""
    engine: Engine | None = None
    """Whose rules answered; None for a command that asks no engine."""
    model: ModelSpec | None = None
    """The model; None for `select` without MODEL and `env`."""
    deployment: Deployment = field(default_factory=Deployment)
    """The server that was asked about."""
    selections: tuple[Selection, ...] = ()
    """LoRA off and on, per kind of layer."""
    proofs: tuple[Proof, ...] = ()
    """What was run here."""
    findings: tuple[Finding, ...] = ()
    """Worst first."""
    fail_on: str = "error"
    """`error`, `warning` or `never`: what makes the exit code 1."""
    inconclusive: str = ""
    """Why the answer is not conclusive, when it is not (exit code 3)."""
    elapsed_s: float = 0.0
    """Wall time of the pipeline; not part of the JSON form."""

    @property
    def verdict(self) -> str:
        """`pass`, `warn`, `fail` or `inconclusive`: the answer in one word."""
        worst = min((finding.severity.rank for finding in self.findings), default=3)
        if worst == Severity.ERROR.rank:
            return "fail"
        if self.inconclusive:
            return "inconclusive"
        return "warn" if worst == Severity.WARNING.rank else "pass"

    @property
    def exit_code(self) -> int:
        """3 inconclusive, else 1 for findings at or above `fail_on`, else 0."""
        if self.inconclusive:
            return 3
        limit = {"error": 0, "warning": 1, "never": -1}[self.fail_on]
        return int(any(finding.severity.rank <= limit for finding in self.findings))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; keys are only ever added within one schema number."""
        engine = self.engine
        return {
            "schema": SCHEMA,
            "command": self.command,
            "moe_doctor": __version__,
            "model": None if self.model is None else self.model.to_dict(),
            "machine": self.machine.to_dict(),
            "engine": None
            if engine is None
            else {"name": engine.name, "version": engine.version, "source": engine.source},
            "deployment": self.deployment.to_dict(),
            "selections": [selection.to_dict() for selection in self.selections],
            "proofs": [proof.to_dict() for proof in self.proofs],
            "findings": [finding.to_dict() for finding in self.findings],
            "verdict": self.verdict,
            "inconclusive": self.inconclusive or None,
            "exit_code": self.exit_code,
        }
