"""The engine's own answer beside the tables': what differs, and what only the tables know."""

from __future__ import annotations

import re

from moe_doctor.core.record import record, replace
from moe_doctor.core.selection import Candidate, EngineError, Outcome, Selection

RETURNED = "the engine returns here without asking a class"
"""Reason of a choice that no class was asked for."""

_BUILD_TAG = re.compile(r"\+(?:cu\d+|cpu|rocm[\d.]*|xpu|empty|precompiled)$")


@record
class Difference:
    """One point where the engine and the tables answer differently."""

    moe_layers: int
    """Index into `ModelSpec.moe_layers`."""
    lora: bool
    """Whether LoRA was on."""
    what: str
    """`outcome`, `oracle`, `backend`, `kernel`, `error`, `layers` or `candidates`."""
    engine: str
    """What the installed engine says."""
    tables: str
    """What the tables say."""

    @property
    def is_choice(self) -> bool:
        """Whether another kernel or outcome is at stake, and not only who was asked."""
        return self.what != "candidates"


def exact_release(version: str) -> str | None:
    """The release of the tables that an installed version is, or None.

    A build tag such as `+cu130` is the same code; any other local part, a candidate or a
    development version is not.
    """
    from moe_doctor.oracle.engines.vllm.releases import BY_VERSION

    public = _BUILD_TAG.sub("", version.strip())
    return public if public in BY_VERSION else None


def find_differences(live: Selection, table: Selection) -> tuple[Difference, ...]:
    """Where the two differ, the choice first."""

    def differ(what: str, engine: object, tables: object) -> Difference:
        return Difference(live.moe_layers, live.lora, what, str(engine), str(tables))

    if _same_method(live, table):
        return ()
    if live.outcome is not table.outcome:
        return (differ("outcome", _outcome(live), _outcome(table)),)
    if live.outcome is Outcome.NOT_APPLICABLE:
        return ()
    out = []
    if live.outcome is Outcome.ERROR:
        if not _same_error(live.error, table.error):
            out.append(differ("error", _text(live.error), _text(table.error)))
        return tuple(out)
    for what in ("oracle", "backend", "kernel"):
        engine, tables = getattr(live, what), getattr(table, what)
        if engine != tables:
            out.append(differ(what, engine, tables))
    if " of " in live.note and "layers" in live.note:
        out.append(differ("layers", live.note, "all alike"))
    if not out and not _asked_nobody(live) and not _same_questions(_asked(live), _asked(table)):
        out.append(differ("candidates", _listed(live), _listed(table)))
    return tuple(out)


def enrich(live: Selection, table: Selection) -> Selection:
    """The engine's answer with what the tables add to the same choice.

    What happens after the choice, and the reasons in words for a reader, are not in the engine's
    answer; where both chose alike, the tables' hold.
    """
    if any(each.is_choice for each in find_differences(live, table)):
        return live
    if _same_method(live, table):
        return table
    reasons = {(one.backend, one.kernel): one for one in table.trace}
    return replace(
        live,
        runs=table.runs or live.runs,
        crash=table.crash or live.crash,
        hazard=table.hazard,
        note=live.note or table.note,
        backend_option=live.backend_option or table.backend_option,
        trace=tuple(_reasoned(one, reasons.get((one.backend, one.kernel))) for one in live.trace),
    )


def _reasoned(live: Candidate, table: Candidate | None) -> Candidate:
    if table is None or table.accepted is not live.accepted:
        return live
    if not live.accepted and live.engine_reason and live.engine_reason != table.engine_reason:
        return live
    return live._replace(reason=table.reason)


def _asked(selection: Selection) -> tuple[tuple[str | None, bool, str], ...]:
    return tuple(
        (one.kernel, one.accepted, "" if one.accepted else one.engine_reason)
        for one in selection.trace
        if one.asked and one.engine_reason + str(one.accepted)
    )


def _same_method(live: Selection, table: Selection) -> bool:
    """Whether the engine built the method of which the tables know what it runs.

    Such a method asks no oracle, so the engine's own answer has no name for its backend.
    """
    if live.outcome is not Outcome.NOT_APPLICABLE or table.oracle is not None:
        return False
    method = table.note.partition(":")[0]
    return table.outcome is Outcome.SELECTED and bool(method) and live.note.startswith(method + ":")


def _asked_nobody(live: Selection) -> bool:
    """Whether the oracle returned before it asked a class: predicates may have been looked at."""
    asked = [one for one in live.trace if one.asked]
    return len(asked) == 1 and asked[0].reason == RETURNED


def _same_questions(
    live: tuple[tuple[str | None, bool, str], ...], table: tuple[tuple[str | None, bool, str], ...]
) -> bool:
    """Whether the same classes answered alike; a function that was asked has no class's name."""
    return len(live) == len(table) and all(
        one[0] in (other[0], None) and one[1:] == other[1:]
        for one, other in zip(live, table, strict=True)
    )


def _listed(selection: Selection) -> str:
    return "; ".join(
        f"{kernel} {'fits' if fits else 'does not fit'}{f' ({reason})' if reason else ''}"
        for kernel, fits, reason in _asked(selection)
    )


def _outcome(selection: Selection) -> str:
    if selection.outcome is Outcome.SELECTED:
        return f"{selection.backend} ({selection.kernel or 'no class named'})"
    if selection.outcome is Outcome.ERROR:
        return _text(selection.error)
    return f"no answer ({selection.note})"


def _text(error: EngineError | None) -> str:
    return "" if error is None else error.text


def _same_error(live: EngineError | None, table: EngineError | None) -> bool:
    """Whether one text is the other up to where pydantic goes on."""
    one, other = (" ".join(_text(each).split()) for each in (live, table))
    return one.startswith(other) or other.startswith(one)
