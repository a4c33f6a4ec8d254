"""`moe-doctor explain CODE`: a rule's page."""

from __future__ import annotations

from typing import Annotated

import typer

from moe_doctor.cli.console import write_stdout

CodeArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="CODE",
        help="A code such as MOE412, or a rule's name; without it, all rules.",
        show_default=False,
    ),
]


def explain(code: CodeArgument = None) -> None:
    """What a finding's code means, when it appears, and what to do about it."""
    from moe_doctor.rules import catalog

    if code is None:
        rows = [
            f"{rule.code}  {rule.severity.value:<7}  {rule.name:<32}  {rule.summary}"
            for rule in catalog.RULES.values()
        ]
        write_stdout("\n".join(rows) + "\n")
        return
    rule = catalog.find_rule(code)
    write_stdout(catalog.page(rule.code).rstrip() + "\n")
