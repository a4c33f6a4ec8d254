"""Two releases, or many, asked the same question: what differs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from moe_doctor.core.comparison import AnswerChange, Cell, CellAnswer, Change, Comparison, Matrix
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import span
from moe_doctor.core.report import Engine
from moe_doctor.core.selection import Candidate, EngineError, Selection
from moe_doctor.core.spec import ModelSpec
from moe_doctor.oracle.answer import PLAIN_MODEL, release_of, select_layers
from moe_doctor.oracle.engines.vllm.layer_options import all2all_backends, moe_backends
from moe_doctor.oracle.engines.vllm.releases import image_packages
from moe_doctor.probes.variables import VARIABLES

_RELEASE = re.compile(r"(?<=vLLM )[0-9.]+")


class Side(NamedTuple):
    """One release on the machine as that release would find it."""

    engine: Engine
    """The release."""
    machine: MachineSnapshot
    """The machine, with the release's own packages where it is simulated."""


def compare_releases(
    model: ModelSpec,
    deployment: Deployment,
    before: Side,
    after: Side,
    *,
    loras: Sequence[bool],
    fail_on: str = "error",
) -> Comparison:
    """Every change between two releases for one model, machine and deployment; not yet judged.

    Raises UsageError for an engine version that is no release.
    """
    answers = []
    for lora in loras:
        old = select_layers(model, deployment, before.machine, before.engine, lora=lora)
        new = select_layers(model, deployment, after.machine, after.engine, lora=lora)
        answers += [
            compare_selections(one.selection, other.selection)
            for one, other in zip(old, new, strict=True)
        ]
    return Comparison(
        model=model,
        machine=after.machine,
        before=before.engine,
        after=after.engine,
        deployment=deployment,
        answers=tuple(answers),
        surroundings=compare_surroundings(before.engine, after.engine, after.machine.platform),
        fail_on=fail_on,
    )


def compare_selections(before: Selection, after: Selection) -> AnswerChange:
    """Two answers to one question: the choice first, then its candidates."""
    changes = [*_choice_changes(before, after)]
    # A refusal before the oracle has no candidates: that all of them vanished is no news.
    if before.trace and after.trace:
        changes += _candidate_changes(before.trace, after.trace)
    return AnswerChange(before, after, tuple(changes))


def compare_surroundings(before: Engine, after: Engine, platform: str) -> tuple[Change, ...]:
    """Option values, variables and pinned packages that came, went or changed."""
    old, new = release_of(before), release_of(after)
    read = [
        (row.name, span(row.first or "", row.last or ""))
        for row in VARIABLES
        if row.first is not None or row.last is not None
    ]
    pins = [image_packages(engine.version, platform) for engine in (before, after)]
    for packages in pins:
        del packages[before.name]
    return (
        *_mapping_changes("moe_backend", _same(moe_backends(old)), _same(moe_backends(new))),
        *_mapping_changes(
            "all2all_backend", _same(all2all_backends(old)), _same(all2all_backends(new))
        ),
        *_mapping_changes(
            "variable",
            _same([name for name, held in read if held.holds(old)]),
            _same([name for name, held in read if held.holds(new)]),
        ),
        *_mapping_changes("package", pins[0], pins[1]),
    )


def compute_matrix(
    models: Sequence[ModelSpec | None],
    gpus: Sequence[str],
    engines: Sequence[Engine],
    deployment: Deployment,
    machine_of: Callable[[str, Engine], MachineSnapshot],
    *,
    loras: Sequence[bool],
) -> Matrix:
    """Releases x GPUs x LoRA; consecutive releases that agree are one cell.

    `machine_of` gives the GPU's machine as a release would find it. Raises UsageError for an
    engine version that is no release.
    """
    machines = {(gpu, one.version): machine_of(gpu, one) for gpu in gpus for one in engines}
    cells: list[Cell] = []
    for number, model in enumerate(models):
        for place, gpu in enumerate(gpus):
            for lora in loras:
                answered = [
                    (
                        one.version,
                        _cell_answers(model, deployment, machines[gpu, one.version], one, lora),
                    )
                    for one in engines
                ]
                cells += [
                    Cell(number, place, lora, tuple(version for version, _ in group), answers)
                    for answers, group in groupby(answered, key=lambda pair: pair[1])
                ]
    return Matrix(
        models=tuple(models),
        gpus=tuple(gpus),
        engine=engines[0].name,
        releases=tuple(one.version for one in engines),
        cells=tuple(cells),
        deployment=deployment,
    )


def _cell_answers(
    model: ModelSpec | None,
    deployment: Deployment,
    machine: MachineSnapshot,
    engine: Engine,
    lora: bool,
) -> tuple[CellAnswer, ...]:
    answers = select_layers(model or PLAIN_MODEL, deployment, machine, engine, lora=lora)
    return tuple(_cell_answer(answer.selection) for answer in answers)


def _cell_answer(selection: Selection) -> CellAnswer:
    trouble = _error_text(selection.error) or _error_text(selection.crash) or selection.hazard
    return CellAnswer(
        selection.moe_layers,
        selection.outcome,
        selection.oracle,
        selection.backend,
        selection.runs or selection.kernel,
        trouble,
    )


def _choice_changes(before: Selection, after: Selection) -> Iterator[Change]:
    for kind, old, new in (
        ("outcome", before.outcome.value, after.outcome.value),
        ("oracle", before.oracle, after.oracle),
        ("backend", before.backend, after.backend),
        ("backend_option", before.backend_option, after.backend_option),
        ("kernel", before.runs or before.kernel, after.runs or after.kernel),
        ("activation_format", before.activation_format, after.activation_format),
        ("error", _error_text(before.error), _error_text(after.error)),
        ("crash", _error_text(before.crash), _error_text(after.crash)),
        ("hazard", before.hazard, after.hazard),
        ("note", before.note, after.note),
    ):
        # A note names its release: that alone is no change.
        if _RELEASE.sub("", old or "") != _RELEASE.sub("", new or ""):
            yield Change(kind, "", old or None, new or None)


def _candidate_changes(
    before: tuple[Candidate, ...], after: tuple[Candidate, ...]
) -> Iterator[Change]:
    old, new = _by_backend(before), _by_backend(after)
    for name in (*old, *(each for each in new if each not in old)):
        if name not in old or name not in new:
            yield Change("candidate", name, _judgement(old.get(name)), _judgement(new.get(name)))
    shared = [name for name in old if name in new]
    now = [name for name in new if name in old]
    if shared != now:
        yield Change("order", "", ", ".join(shared), ", ".join(now))
    for name in now:
        one, other = old[name], new[name]
        classes = [", ".join(each.kernel or "-" for each in side) for side in (one, other)]
        if classes[0] != classes[1]:
            yield Change("classes", name, *classes)
        fitted, fits = (any(each.accepted for each in side) for side in (one, other))
        if fitted != fits:
            yield Change("verdict", name, _judgement(one), _judgement(other))
        elif not fits and _judgement(one) != _judgement(other):
            yield Change("reason", name, _judgement(one), _judgement(other))


def _by_backend(trace: tuple[Candidate, ...]) -> dict[str, list[Candidate]]:
    table: dict[str, list[Candidate]] = {}
    for candidate in trace:
        table.setdefault(candidate.backend, []).append(candidate)
    return table


def _judgement(candidates: list[Candidate] | None) -> str | None:
    """`fits`, or `does not fit: why`; None for a candidate that the release does not have."""
    if candidates is None:
        return None
    if any(each.accepted for each in candidates):
        return "fits"
    return f"does not fit: {'; '.join(dict.fromkeys(each.reason for each in candidates))}"


def _mapping_changes(
    kind: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Change]:
    for name in (*before, *(each for each in after if each not in before)):
        if before.get(name) != after.get(name):
            yield Change(kind, name, before.get(name), after.get(name))


def _same(names: Sequence[str]) -> dict[str, str]:
    """A set as a mapping: a name is its own value."""
    return {name: name for name in names}


def _error_text(error: EngineError | None) -> str:
    return "" if error is None else error.text
