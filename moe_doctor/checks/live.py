"""4xx: how asking the installed engine went."""

from __future__ import annotations

from collections.abc import Iterator

from moe_doctor.checks.case import Case
from moe_doctor.core.findings import Finding
from moe_doctor.rules import live as rules


def check_differs(case: Case) -> Iterator[Finding]:
    """MOE431 and MOE436."""
    live = case.live
    if live is None:
        return
    for one in live.differences:
        rule = rules.DIFFERS if one.is_choice else rules.ASKED_OTHERS
        lora = "with LoRA" if one.lora else "without LoRA"
        yield rule.finding(
            f"{case.layers_text(one.moe_layers)} {lora}, {one.what}: the installed vLLM "
            f"{live.version} says {one.engine}; the tables for {live.compared_with} say "
            f"{one.tables}",
            evidence={
                "moe_layers": one.moe_layers,
                "lora": one.lora,
                "what": one.what,
                "engine": one.engine,
                "tables": one.tables,
            },
        )


def check_not_in_tables(case: Case) -> Iterator[Finding]:
    """MOE432."""
    live = case.live
    if live is None or live.compared_with is not None:
        return
    yield rules.NOT_IN_TABLES.finding(
        f"vLLM {live.version} is no release of the tables: nothing was compared, and what happens "
        "after the choice is not known",
        evidence={"version": live.version},
    )


def check_not_asked(case: Case) -> Iterator[Finding]:
    """MOE433."""
    live = case.live
    if live is None or not live.failures:
        return
    tables = (
        f"the tables for {live.compared_with} answered"
        if live.compared_with is not None
        else "no table holds that version, so there is no answer"
    )
    yield rules.NOT_ASKED.finding(
        f"vLLM {live.version} of {live.installed.python} could not be asked: "
        f"{'; '.join(live.failures)}; {tables}",
        commands=(f"moe-doctor select {case.model_argument} --engine vllm@{live.compared_with}",)
        if live.compared_with is not None and case.request.model
        else (),
        evidence={"python": live.installed.python, "output": live.tail},
    )


def check_emulated(case: Case) -> Iterator[Finding]:
    """MOE434."""
    live = case.live
    if live is None or not live.answered or not live.emulated:
        return
    yield rules.EMULATED.finding(
        f"the platform was emulated for vLLM {live.version}: {live.emulated}; its packages are "
        "those of this environment, not of an image",
        evidence={"machine": live.emulated, "python": live.installed.python},
    )


def check_stood_in(case: Case) -> Iterator[Finding]:
    """MOE435."""
    live = case.live
    if live is None or not live.answered or not live.notes:
        return
    yield rules.STOOD_IN.finding("; ".join(live.notes))


CHECKS = (check_differs, check_not_in_tables, check_not_asked, check_emulated, check_stood_in)
