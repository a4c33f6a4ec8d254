"""A comparison's facts in short phrases, the same in every format."""

from __future__ import annotations

from collections.abc import Sequence

from moe_doctor.core.comparison import AnswerChange, Change, Comparison
from moe_doctor.core.findings import Severity
from moe_doctor.core.report import Engine
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.core.units import count
from moe_doctor.render.escape import one_line
from moe_doctor.render.words import (
    backend_phrase,
    engine_name,
    kernel_phrase,
    layers_label,
    lora_label,
    machine_facts,
)

_SUBJECTS = {
    "outcome": "outcome",
    "oracle": "oracle",
    "backend": "backend",
    "backend_option": "--moe-backend",
    "kernel": "kernel",
    "activation_format": "activations",
    "error": "exception",
    "crash": "later crash",
    "hazard": "hazard",
    "note": "remark",
    "order": "order",
}
_GROUPS = {
    "moe_backend": "--moe-backend",
    "all2all_backend": "--all2all-backend",
    "variable": "variables",
    "package": "packages",
}
_TOLD_ABOVE = frozenset({"outcome", "backend", "backend_option", "kernel"})


def answer_title(comparison: Comparison, answer: AnswerChange) -> str:
    """`LoRA off`, with the layers where the model has several kinds."""
    layers = comparison.model.moe_layers
    label = lora_label(answer.lora)
    return f"{label}, {layers_label(layers[answer.moe_layers])}" if len(layers) > 1 else label


def choice_phrase(selection: Selection) -> str:
    """`TRITON (TritonExperts)`, `refused`, `not judged`; how it ends later is added."""
    kernel = one_line(selection.runs or "") or kernel_phrase(selection)
    text = backend_phrase(selection) + (f" ({kernel})" if kernel else "")
    if selection.crash is not None:
        return f"{text}, dies later"
    return f"{text}, goes wrong later" if selection.hazard else text


def releases_phrase(comparison: Comparison) -> str:
    """`vLLM 0.19.1 -> vLLM 0.20.0 (tables)`."""
    sources = dict.fromkeys(_source(one) for one in (comparison.before, comparison.after))
    names = " -> ".join(engine_name(one) for one in (comparison.before, comparison.after))
    return f"{names} ({', '.join(sources)})"


def machine_phrase(comparison: Comparison) -> str:
    """What is known of the machine beside its name."""
    if comparison.machine.simulated:
        return "simulated, with the packages that each release brings"
    return machine_facts(comparison.machine)


def details(answer: AnswerChange) -> list[tuple[str, str]]:
    """(subject, text) of every change that the two choices do not tell already."""
    return [
        (subject(change), change_phrase(change))
        for change in answer.changes
        if change.kind not in _TOLD_ABOVE
    ]


def subject(change: Change) -> str:
    """What a change is about: a candidate's name, or the kind."""
    name = one_line(change.name)
    return name or _SUBJECTS.get(change.kind, change.kind)


def change_phrase(change: Change) -> str:
    """`was X; now Y`, `new: Y`, or `gone; was X`."""
    before, after = change.before, change.after
    if change.kind == "classes":
        return one_line(f"class was: {before}; now: {after}")
    if before is None:
        return one_line(f"new: {after}")
    if after is None:
        return one_line(f"gone; was: {before}")
    return one_line(f"was: {before}; now: {after}")


def surrounding_groups(changes: Sequence[Change]) -> list[tuple[str, list[str]]]:
    """(heading, entries): `+name` appeared, `-name` vanished, `name A -> B` changed."""
    groups: dict[str, list[str]] = {}
    for sign in ("", "-", "+"):
        for change in changes:
            entry = _entry(change)
            if entry[0] == sign:
                groups.setdefault(change.kind, []).append(entry[1])
    return [(heading, groups[kind]) for kind, heading in _GROUPS.items() if groups.get(kind)]


def verdict_words(comparison: Comparison) -> str:
    """The answer in one line."""
    errors, warnings = (
        sum(finding.severity is severity for finding in comparison.findings)
        for severity in (Severity.ERROR, Severity.WARNING)
    )
    counted = [count(errors, "error")] if errors else []
    counted += [count(warnings, "warning")] if warnings else []
    tail = f": {' and '.join(counted)}" if counted else ""
    if errors:
        return f"breaks what works{tail}"
    if all(answer.after.outcome is Outcome.NOT_APPLICABLE for answer in comparison.answers):
        return f"not judged: these tables do not answer for this model{tail}"
    if comparison.changes_answers:
        moved = any(_told(answer) for answer in comparison.answers)
        what = "the choice changes" if moved else "the choice stays, and what led to it changes"
        return f"{what}{tail}"
    if comparison.surroundings:
        return f"nothing changes for this model on this machine{tail}"
    return f"nothing changes{tail}"


def _told(answer: AnswerChange) -> bool:
    return any(change.kind in _TOLD_ABOVE for change in answer.changes)


def _entry(change: Change) -> tuple[str, str]:
    name = one_line(change.name)
    before, after = change.before, change.after
    if before is None:
        told = f" {after}" if after and after != change.name else ""
        return "+", one_line(f"+{name}{told}")
    if after is None:
        return "-", f"-{name}"
    return "", one_line(f"{name} {before or '(any)'} -> {after or '(any)'}")


def _source(engine: Engine) -> str:
    return "tables" if engine.source == "table" else one_line(engine.source)
