"""All checks over one case: findings, worst first."""

from __future__ import annotations

from moe_doctor.checks import deployment, live, lora, lora_defects, machine, model, proof, selection
from moe_doctor.checks.case import Case
from moe_doctor.core.findings import Finding

CHECKS = (
    *selection.CHECKS,
    *live.CHECKS,
    *lora.CHECKS,
    *lora_defects.CHECKS,
    *proof.CHECKS,
    *machine.CHECKS,
    *model.CHECKS,
    *deployment.CHECKS,
)


def judge(case: Case) -> tuple[Finding, ...]:
    """Every finding of every check, by severity and then by code."""
    found = [finding for check in CHECKS for finding in check(case)]
    return tuple(sorted(found, key=lambda finding: (finding.severity.rank, finding.code)))
