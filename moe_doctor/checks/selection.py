"""4xx: what the oracle's answer means for the user."""

from __future__ import annotations

from collections.abc import Iterator

from moe_doctor.checks.case import Case
from moe_doctor.core.findings import Finding
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.rules import lora as lora_rules
from moe_doctor.rules import selection as rules


def check_engine_refuses(case: Case) -> Iterator[Finding]:
    """MOE401."""
    refused_early = {(refusal.moe_layers, refusal.lora) for refusal in case.refusals}
    for selection in case.selections:
        if selection.outcome is not Outcome.ERROR or selection.error is None:
            continue
        if (selection.moe_layers, selection.lora) in refused_early:
            continue
        fits = next((one for one in selection.trace if one.accepted), None)
        explicit = case.request.deployment.moe_backend != "auto"
        yield rules.ENGINE_REFUSES.finding(
            f"{_where(case, selection)}: {selection.error.type}: {selection.error.message}",
            commands=_retry(case) if fits is not None and explicit else (),
            remedy=(
                f"Leave --moe-backend out: {fits.backend} fits"
                if fits is not None and explicit
                else "Read the trace: it names what each candidate needs"
            ),
            evidence={one.kernel or one.backend: one.reason for one in selection.trace},
        )


def check_refused_early(case: Case) -> Iterator[Finding]:
    """MOE405 and MOE504."""
    seen: set[str] = set()
    errors = {(one.moe_layers, one.lora): one.error for one in case.selections}
    for refusal in case.refusals:
        error = errors.get((refusal.moe_layers, refusal.lora))
        said = f"{error.type}: {error.message}" if error is not None else ""
        if refusal.reason + said in seen:
            continue
        seen.add(refusal.reason + said)
        lora_only = refusal.lora and not any(
            other.moe_layers == refusal.moe_layers and not other.lora for other in case.refusals
        )
        rule = (
            lora_rules.MODEL_LACKS_LORA
            if lora_only and "lora" in refusal.reason.lower()
            else rules.REFUSED_EARLY
        )
        yield rule.finding(
            f"{case.engine_name} refuses it ({refusal.reason}): {said}",
            evidence={"stage": refusal.stage, "reason": refusal.reason},
        )


def check_no_class(case: Case) -> Iterator[Finding]:
    """MOE407."""
    seen: set[int] = set()
    for selection in case.selections:
        if selection.moe_layers in seen or not lacks_class(selection):
            continue
        seen.add(selection.moe_layers)
        why = "; ".join(dict.fromkeys(one.reason for one in selection.trace))
        said = "" if selection.crash is None else selection.crash.text
        yield rules.NO_CLASS.finding(
            f"{case.engine_name} gives {case.layers_text(selection.moe_layers)} to "
            f"{selection.backend}, none of whose classes fits ({why}); the server dies with {said} "
            "once the weights are loaded"
        )


def lacks_class(selection: Selection) -> bool:
    """Whether the engine goes on without a kernel, and dies for it."""
    return selection.crash is not None and not any(one.accepted for one in selection.trace)


def check_not_covered(case: Case) -> Iterator[Finding]:
    """MOE402."""
    if case.model is None:
        return
    notes = {
        one.moe_layers: one.note for one in case.selections if one.outcome is Outcome.NOT_APPLICABLE
    }
    for index, note in sorted(notes.items()):
        quantization = case.model.moe_layers[index].spec.quantization
        asked = case.request.deployment.quantization
        if quantization is None and asked is None:
            continue
        method = asked or (quantization.method if quantization is not None else "")
        algorithm = None if quantization is None else quantization.algorithm
        scheme = " ".join(filter(None, (method, algorithm)))
        yield rules.NOT_COVERED.finding(
            f"{case.layers_text(index)} are quantized ({scheme}) and no backend is named for them: "
            f"{note or 'the tables hold no oracle for that scheme'}",
            evidence={"method": method, "algorithm": algorithm},
        )


def check_explicit_ignored(case: Case) -> Iterator[Finding]:
    """MOE403."""
    option = case.request.deployment.moe_backend
    release = case.release
    if option == "auto" or release is None or release < (0, 20, 0):
        return
    for selection, _ in case.chosen(lora=True):
        if selection.note and "returns here for LoRA" in selection.note:
            yield rules.EXPLICIT_IGNORED.finding(
                f"--moe-backend {option} is not read with LoRA: {case.engine_name} runs "
                f"{selection.backend} on {case.layers_text(selection.moe_layers)}"
            )
            return


def check_explicit_passed(case: Case) -> Iterator[Finding]:
    """MOE404."""
    option = case.request.deployment.moe_backend
    if option not in ("humming", "marlin"):
        return
    for selection, _ in case.chosen(lora=False):
        yield rules.EXPLICIT_PASSED.finding(
            f"--moe-backend {option} concerns quantized layers: "
            f"{case.layers_text(selection.moe_layers)} run {selection.backend} as with auto"
        )
        return


def check_assumed_layer(case: Case) -> Iterator[Finding]:
    """MOE406."""
    if case.assumed:
        yield rules.ASSUMED_LAYER.finding("; ".join(case.assumed))


def check_lora_changes_backend(case: Case) -> Iterator[Finding]:
    """MOE412."""
    without = {one.moe_layers: one for one, _ in case.chosen(lora=False)}
    for selection, _ in case.chosen(lora=True):
        before = without.get(selection.moe_layers)
        if before is None or before.backend == selection.backend:
            continue
        names = [f"{one.backend} ({one.runs or 'own path'})" for one in (before, selection)]
        yield rules.LORA_CHANGES_BACKEND.finding(
            f"LoRA moves {case.layers_text(selection.moe_layers)} from {names[0]} to {names[1]}",
            evidence={"without_lora": before.backend, "with_lora": selection.backend},
        )


def _where(case: Case, selection: Selection) -> str:
    lora = "with LoRA" if selection.lora else "without LoRA"
    return f"{case.engine_name} refuses {case.layers_text(selection.moe_layers)} {lora}"


def _retry(case: Case) -> tuple[str, ...]:
    return (f"vllm serve {case.model_argument}",) if case.request.model else ()


CHECKS = (
    check_engine_refuses,
    check_refused_early,
    check_no_class,
    check_not_covered,
    check_explicit_ignored,
    check_explicit_passed,
    check_assumed_layer,
    check_lora_changes_backend,
)
