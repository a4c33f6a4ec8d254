"""The child's JSON to the core's words: one `Selection` per kind of layer and LoRA setting."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from moe_doctor.core.record import record
from moe_doctor.core.selection import Candidate, EngineError, Outcome, Selection
from moe_doctor.core.spec import MoELayers
from moe_doctor.live.differences import RETURNED

_NUMBER = re.compile(r"(?:^|\.)(\d+)(?=\.|$)")
_FORMATS = {"BatchedExperts": "batched", "Standard": "standard"}
_ATTENTION = (
    "vllm/v1/attention/",
    "vllm/attention/",
    "vllm/model_executor/layers/attention/",
    "vllm/vllm_flash_attn/",
)


@record
class LiveBuild:
    """What the engine answered with LoRA, or without."""

    lora: bool
    """Whether LoRA was on."""
    selections: tuple[Selection, ...] = ()
    """One per kind of layer; empty where nothing trustworthy came back."""
    stage: str = ""
    """Where the engine refused: `args`, `config` or `model`; empty where it did not."""
    where: str = ""
    """File and line of the refusal."""
    failure: str = ""
    """Why there are no selections."""
    note: str = ""
    """What stopped the build after every kind of layer had its answer."""


def read_build(
    build: Mapping[str, Any], kinds: Sequence[MoELayers], folder: str, name: str
) -> LiveBuild:
    """One entry of the child's `builds`; `folder` in messages becomes the model's `name`."""
    lora = bool(build["lora"])
    error = build.get("error")
    calls: Sequence[Mapping[str, Any]] = build.get("calls", ())
    refusal = None
    if isinstance(error, Mapping):
        text = f"{error['type']}: {error['message']}".replace(folder, name)
        failure = _not_the_engine(error)
        if failure:
            return _as_far_as_it_came(lora, kinds, calls, f"{failure}: {text} ({error['where']})")
        refusal = EngineError(error["type"], error["message"].replace(folder, name))
    methods: Sequence[Mapping[str, Any]] = build.get("methods", ())
    selections = tuple(
        _selection(
            index,
            lora,
            [one for one in calls if _belongs(one["prefix"], kind, kinds)],
            [one for one in methods if _belongs(one["prefix"], kind, kinds)],
            refusal,
        )
        for index, kind in enumerate(kinds)
    )
    if build.get("supports_lora") is False:
        selections = tuple(_without_lora(one, build) for one in selections)
    if isinstance(error, Mapping) and not any(one.trace for one in selections):
        return LiveBuild(lora, selections, stage=error["stage"], where=error["where"])
    return LiveBuild(lora, selections)


def _as_far_as_it_came(
    lora: bool, kinds: Sequence[MoELayers], calls: Sequence[Mapping[str, Any]], failure: str
) -> LiveBuild:
    """The oracles' answers where each kind of layer has one; else the failure alone."""
    own = [[one for one in calls if _belongs(one["prefix"], kind, kinds)] for kind in kinds]
    if any(not each or any(one.get("error") for one in each) for each in own):
        return LiveBuild(lora, failure=failure)
    selections = tuple(_selection(index, lora, each, (), None) for index, each in enumerate(own))
    return LiveBuild(lora, selections, note=f"after every kind of layer had its answer, {failure}")


def _not_the_engine(error: Mapping[str, Any]) -> str:
    """Why an exception is not the engine's answer about its experts, or nothing."""
    if "is compiled code that does not load on this machine" in error["message"]:
        return "the model's constructor calls compiled code"
    if error["stage"] == "model" and error["inside"] != "true":
        return "the model could not be built without a device"
    if error["where"].startswith(_ATTENTION):
        return "attention, which is stood in for, stopped the build"
    return ""


def _belongs(prefix: str, kind: MoELayers, kinds: Sequence[MoELayers]) -> bool:
    match = _NUMBER.search(prefix)
    if match is None:
        return len(kinds) == 1
    return int(match[1]) in kind.layers


def _selection(
    index: int,
    lora: bool,
    calls: Sequence[Mapping[str, Any]],
    methods: Sequence[Mapping[str, Any]],
    refusal: EngineError | None,
) -> Selection:
    own = [one for one in calls if one.get("error")]
    if refusal is not None:
        last = own[-1] if own else (calls[-1] if calls else None)
        return Selection(
            index,
            lora,
            None if last is None else str(last["oracle"]),
            Outcome.ERROR,
            error=refusal,
            trace=() if last is None else _trace(last, fits=not own),
            activation_format="standard" if last is None else _format(last),
        )
    if not calls:
        names = sorted({str(one["method"]) for one in methods})
        note = (
            f"{', '.join(names)}: the method asks no oracle"
            if names
            else "the model class built no fused experts under these layer numbers"
        )
        return Selection(index, lora, None, Outcome.NOT_APPLICABLE, note=note)
    counts = Counter(_choice(one) for one in calls)
    common, count = counts.most_common(1)[0]
    chosen = next(one for one in calls if _choice(one) == common)
    others = "; ".join(
        f"{times} of {len(calls)} layers: {' '.join(filter(None, each))}"
        for each, times in counts.items()
        if each != common
    )
    return Selection(
        index,
        lora,
        str(chosen["oracle"]),
        Outcome.SELECTED,
        backend=chosen["backend"],
        backend_option=chosen.get("option"),
        kernel=chosen["kernel"],
        runs=chosen["kernel"],
        engine_log=next((line for one in calls for line in one.get("log", ())), None),
        note=f"{count} of {len(calls)} layers; {others}" if others else "",
        trace=_trace(chosen, fits=True),
        activation_format=_format(chosen),
    )


def _choice(call: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    return str(call["oracle"]), call["backend"], call["kernel"]


def _format(call: Mapping[str, Any]) -> str:
    asked = call.get("asked") or [{}]
    return _FORMATS.get(str(asked[-1].get("format")), "standard")


def _trace(call: Mapping[str, Any], *, fits: bool) -> tuple[Candidate, ...]:
    """Every class that was asked, then the backends that the oracle never came to."""
    out = []
    chosen = (call["backend"], call["kernel"]) if fits else (None, None)
    for one in call.get("asked", ()):
        backend, kernel = one["backend"] or call["backend"] or call["oracle"], one["kernel"]
        if one["accepted"]:
            first = (backend, kernel) == chosen
            reason = "first that fits" if first else "fits, and was passed over"
            out.append(Candidate(backend, kernel, True, reason))
        else:
            words = one["reason"] or "it gives no reason"
            out.append(Candidate(backend, kernel, False, words, True, words))
    if fits and call["backend"] and not any(each.accepted for each in out):
        out.append(Candidate(call["backend"], call["kernel"], True, RETURNED))
    for one in call.get("rest") or ():
        words = one["reason"] or ""
        if one["accepted"]:
            out.append(
                Candidate(one["backend"], one["kernel"], True, "fits too; comes later", False)
            )
        else:
            out.append(
                Candidate(one["backend"], one["kernel"], False, words or "not asked", False, words)
            )
    return tuple(out)


def _without_lora(selection: Selection, build: Mapping[str, Any]) -> Selection:
    """What the LoRA manager raises once the weights are there (vllm/v1/worker/*lora*mixin.py)."""
    from moe_doctor.core.record import replace

    if selection.outcome is not Outcome.SELECTED:
        return selection
    words = f"{build.get('model_class') or build.get('architecture')} does not support LoRA yet."
    return replace(selection, crash=EngineError("ValueError", words))
