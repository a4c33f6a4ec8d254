"""`moe-doctor explain CODE`: a rule's page."""

from __future__ import annotations

import os
import sys

from moe_doctor.cli.console import look_at, write_stdout
from moe_doctor.cli.options import RuleTarget
from moe_doctor.core.findings import Severity


def explain(target: RuleTarget) -> None:
    """What a finding's code means, when it appears, and what to do about it."""
    from moe_doctor.rules import catalog

    if target.code is None:
        write_stdout(_index())
        return
    rule = catalog.find_rule(target.code)
    write_stdout(catalog.page(rule.code).rstrip() + "\n")


def _index() -> str:
    """Every rule on a line, at the width of the terminal."""
    from moe_doctor.render.grid import Cell, grid, paint
    from moe_doctor.rules.catalog import RULES

    terminal = look_at(sys.stdout, os.environ)
    styles = {Severity.ERROR: "bad", Severity.WARNING: "warn", Severity.INFO: "dim"}
    rows = [
        (
            Cell(rule.code, "strong"),
            Cell(rule.severity.value, styles[rule.severity]),
            Cell(rule.name),
            Cell(rule.summary),
        )
        for rule in RULES.values()
    ]
    return paint(grid(rows, terminal.width), color=terminal.color)
