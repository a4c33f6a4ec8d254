"""42x: what a change between two releases means for a deployment that works today."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from moe_doctor.core.comparison import AnswerChange, Comparison
from moe_doctor.core.findings import Finding
from moe_doctor.core.report import Engine
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.core.units import count
from moe_doctor.rules import selection as rules


def judge_comparison(comparison: Comparison) -> tuple[Finding, ...]:
    """Every finding of every check, by severity and then by code."""
    found = [finding for check in CHECKS for finding in check(comparison)]
    return tuple(sorted(found, key=lambda finding: (finding.severity.rank, finding.code)))


def check_upgrade_breaks(comparison: Comparison) -> Iterator[Finding]:
    """MOE421."""
    for answer in comparison.answers:
        trouble = _trouble(answer.after)
        if trouble and not _trouble(answer.before) and _answered(answer):
            yield rules.UPGRADE_BREAKS.finding(
                f"{_where(comparison, answer)}: {_title(comparison.before)} runs "
                f"{_kernel(answer.before)}; {_title(comparison.after)} {trouble}",
                evidence={"lora": answer.lora, "before": answer.before.backend, "after": trouble},
            )


def check_upgrade_repairs(comparison: Comparison) -> Iterator[Finding]:
    """MOE424."""
    for answer in comparison.answers:
        trouble = _trouble(answer.before)
        if trouble and not _trouble(answer.after) and _answered(answer):
            yield rules.UPGRADE_REPAIRS.finding(
                f"{_where(comparison, answer)}: {_title(comparison.after)} runs "
                f"{_kernel(answer.after)}; {_title(comparison.before)} {trouble}",
                evidence={"lora": answer.lora, "before": trouble, "after": answer.after.backend},
            )


def check_both_fail(comparison: Comparison) -> Iterator[Finding]:
    """MOE425."""
    for answer in comparison.answers:
        old, new = _trouble(answer.before), _trouble(answer.after)
        if old and new:
            same = old == new
            yield rules.BOTH_FAIL.finding(
                f"{_where(comparison, answer)}: both releases: {new}"
                if same
                else f"{_where(comparison, answer)}: {_title(comparison.before)} {old}; "
                f"{_title(comparison.after)} {new}",
                evidence={"lora": answer.lora, "before": old, "after": new},
            )


def check_upgrade_changes_kernel(comparison: Comparison) -> Iterator[Finding]:
    """MOE422 and MOE427: once for LoRA off and on where both move alike."""
    moved: dict[tuple[int, str, str, bool], list[AnswerChange]] = {}
    for answer in comparison.answers:
        if not _answered(answer) or _trouble(answer.before) or _trouble(answer.after):
            continue
        old, new = _kernel(answer.before), _kernel(answer.after)
        backend = answer.before.backend != answer.after.backend
        if old != new:
            moved.setdefault((answer.moe_layers, old, new, backend), []).append(answer)
    for (_, old, new, backend), answers in moved.items():
        rule = rules.UPGRADE_CHANGES_BACKEND if backend else rules.UPGRADE_CHANGES_CLASS
        yield rule.finding(
            f"{_where(comparison, *answers)}: from {old} in {_title(comparison.before)} to {new} "
            f"in {_title(comparison.after)}",
            evidence={
                "lora": [answer.lora for answer in answers],
                "before": answers[0].before.backend,
                "after": answers[0].after.backend,
            },
        )


def check_upgrade_drops_variable(comparison: Comparison) -> Iterator[Finding]:
    """MOE423."""
    environment = comparison.machine.environment
    gone = [
        change.name
        for change in comparison.surroundings
        if change.kind == "variable" and change.after is None and change.name in environment
    ]
    if gone:
        yield rules.UPGRADE_DROPS_VARIABLE.finding(
            f"{', '.join(gone)}: {_title(comparison.before)} reads "
            f"{'it' if len(gone) == 1 else 'them'}, {_title(comparison.after)} does not",
            evidence={"variables": gone},
        )


def check_upgrade_not_judged(comparison: Comparison) -> Iterator[Finding]:
    """MOE426."""
    seen: dict[int, list[AnswerChange]] = {}
    for answer in comparison.answers:
        if not _answered(answer):
            seen.setdefault(answer.moe_layers, []).append(answer)
    for index, answers in seen.items():
        quantization = comparison.model.moe_layers[index].spec.quantization
        scheme = "" if quantization is None else f" ({quantization.method})"
        yield rules.UPGRADE_NOT_JUDGED.finding(
            f"{_where(comparison, *answers)}{scheme}: the tables name no backend for "
            f"{_title(comparison.before)} or for {_title(comparison.after)}",
            evidence={"moe_layers": index},
        )


def _answered(answer: AnswerChange) -> bool:
    """Whether the tables answer for both releases."""
    sides = (answer.before, answer.after)
    return all(one.outcome is not Outcome.NOT_APPLICABLE for one in sides)


def _trouble(selection: Selection) -> str:
    """What keeps a server from working, as the end of a sentence; empty when nothing does."""
    if selection.error is not None:
        return f"raises {selection.error.text}"
    if selection.crash is not None:
        return f"dies later with {selection.crash.text}"
    return f"goes wrong: {selection.hazard}" if selection.hazard else ""


def _kernel(selection: Selection) -> str:
    """`TRITON (TritonExperts)`."""
    name = selection.runs or selection.kernel
    return f"{selection.backend} ({name})" if name else str(selection.backend)


def _where(comparison: Comparison, *answers: AnswerChange) -> str:
    """`23 layers, LoRA off`."""
    layers = comparison.model.moe_layers[answers[0].moe_layers]
    return f"{count(layers.count, 'layer')}, {_lora(answer.lora for answer in answers)}"


def _lora(values: Iterable[bool]) -> str:
    words = ["LoRA on" if value else "LoRA off" for value in values]
    return " and ".join(words) if len(words) == 1 else "LoRA off and on"


def _title(engine: Engine) -> str:
    return f"{ {'vllm': 'vLLM'}.get(engine.name, engine.name) } {engine.version}"


CHECKS = (
    check_upgrade_breaks,
    check_upgrade_changes_kernel,
    check_upgrade_drops_variable,
    check_upgrade_repairs,
    check_both_fail,
    check_upgrade_not_judged,
)
