"""`moe-doctor explain CODE`: a rule's page."""

from __future__ import annotations

from moe_doctor.cli.console import write_stdout
from moe_doctor.cli.options import RuleTarget


def explain(target: RuleTarget) -> None:
    """What a finding's code means, when it appears, and what to do about it."""
    from moe_doctor.rules import catalog

    if target.code is None:
        rows = [
            f"{rule.code}  {rule.severity.value:<7}  {rule.name:<32}  {rule.summary}"
            for rule in catalog.RULES.values()
        ]
        write_stdout("\n".join(rows) + "\n")
        return
    rule = catalog.find_rule(target.code)
    write_stdout(catalog.page(rule.code).rstrip() + "\n")
