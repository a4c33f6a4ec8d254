"""3xx: what the parser had to assume."""

from __future__ import annotations

from collections.abc import Iterator

from moe_doctor.checks.case import Case
from moe_doctor.core.findings import Finding
from moe_doctor.rules import model as rules

_RULES = {
    "unknown-family": rules.UNKNOWN_FAMILY,
    "unknown-activation": rules.UNKNOWN_FAMILY,
    "hub-unreachable": rules.CATALOGUE_ANSWERED,
    "offline": rules.CATALOGUE_ANSWERED,
    "incomplete-quant-config": rules.INCOMPLETE_QUANT_CONFIG,
    "repeated-key": rules.REPEATED_KEY,
    "top-k-above-experts": rules.TOP_K_ABOVE_EXPERTS,
}


def check_parse_notes(case: Case) -> Iterator[Finding]:
    """MOE301 to MOE306: every note of the parser becomes a finding; an unknown kind is MOE302."""
    if case.model is None:
        return
    for note in case.model.notes:
        rule = _RULES.get(note.kind, rules.ASSUMED)
        yield rule.finding(note.message, evidence={"kind": note.kind})


CHECKS = (check_parse_notes,)
