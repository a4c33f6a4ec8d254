"""The room's front door: ask the installed engine, and lay its answer over the tables'."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moe_doctor.core.errors import DoctorError
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.record import record
from moe_doctor.core.request import Request
from moe_doctor.core.scratch import scratch_folder
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.core.spec import ModelSpec, MoELayers
from moe_doctor.live.answers import LiveBuild, read_build
from moe_doctor.live.differences import Difference, enrich, exact_release, find_differences
from moe_doctor.live.interpreter import Installed
from moe_doctor.live.process import LiveError, ask_child
from moe_doctor.live.question import (
    NotEmulatedError,
    child_environment,
    make_question,
    write_config,
)
from moe_doctor.models.source import ConfigFiles

DEADLINES = 2.5
"""Deadlines of a proof that the child has: it imports the engine, and builds the model twice."""


class NotAskedError(DoctorError):
    """The installed engine gave no answer, and no table holds its version."""

    exit_code = 3


@record
class Live:
    """How asking the installed engine went."""

    installed: Installed
    """Who was asked."""
    version: str
    """The version that it says it is."""
    compared_with: str | None = None
    """The release of the tables that it was compared with; None = they hold no such release."""
    answered: bool = True
    """Whether any selection is the engine's own."""
    emulated: str = ""
    """The machine that was emulated for it, or empty."""
    notes: tuple[str, ...] = ()
    """What had to be stood in for, one sentence each."""
    failures: tuple[str, ...] = ()
    """Why some or all answers are the tables', one sentence each."""
    tail: str = ""
    """Last output of a child that gave no answer."""
    refusals: tuple[tuple[int, bool, str, str], ...] = ()
    """Refusals before an oracle was asked: layers, LoRA, stage, place."""
    differences: tuple[Difference, ...] = ()
    """Where it and the tables answer differently."""


def consult(
    request: Request,
    model: ModelSpec | None,
    kinds: Sequence[MoELayers],
    machine: MachineSnapshot,
    installed: Installed,
    tables: Sequence[Selection],
    say: Callable[[str], None],
) -> tuple[Live, tuple[Selection, ...]]:
    """Ask, and return how it went with the selections that hold.

    `tables` are the tables' selections for the same question, in the order of the answer: where
    the engine gives none, they stay, if they are for its very release. Raises NotAskedError where
    neither can answer.
    """
    exact = exact_release(installed.version)
    files = _files(request, model)
    if model is not None and files is None:
        why = f"config.json of {model.id} is not at hand: the bundled catalogue knows the model"
        return _from_tables(Live(installed, installed.version, exact, failures=(why,)), tables)
    say(f"asking vLLM {installed.version} of {installed.python}")
    name = "moe" if model is None else model.id
    with scratch_folder() as scratch:
        folder = write_config(scratch, files, name)
        try:
            question = make_question(
                request, machine, folder, "" if model is None else model.architecture
            )
            answer = ask_child(
                installed.python,
                question,
                environment=child_environment(machine, request),
                timeout_s=DEADLINES * request.timeout_s,
            )
        except (LiveError, NotEmulatedError) as error:
            failed = Live(
                installed,
                installed.version,
                exact,
                failures=(str(error),),
                tail=getattr(error, "tail", ""),
            )
            return _from_tables(failed, tables)
        builds = [read_build(one, kinds, str(folder), name) for one in answer["builds"]]
    return _laid_over(request, machine, installed, answer, builds, tables)


def _files(request: Request, model: ModelSpec | None) -> ConfigFiles | None:
    """What `model` was read from; None where that is no file."""
    from moe_doctor.models.load import config_files

    if model is None or request.model is None or model.source == "catalogue":
        return None
    return config_files(request.model, revision=request.revision, hf_overrides=request.hf_overrides)


def _laid_over(
    request: Request,
    machine: MachineSnapshot,
    installed: Installed,
    answer: Mapping[str, Any],
    builds: Sequence[LiveBuild],
    tables: Sequence[Selection],
) -> tuple[Live, tuple[Selection, ...]]:
    version = str(answer["version"])
    exact = exact_release(version)
    failures = [
        f"with{'' if one.lora else 'out'} LoRA, {one.failure}" for one in builds if one.failure
    ]
    if not builds:
        failures.append("this build of vLLM finds no device that it can run on here")
    asked = {(one.moe_layers, one.lora): one for build in builds for one in build.selections}
    live = Live(
        installed,
        version,
        exact,
        answered=bool(asked),
        emulated=_emulated(machine),
        notes=(
            *answer.get("notes", ()),
            *_not_there(request, machine, installed),
            *(f"with{'' if one.lora else 'out'} LoRA, {one.note}" for one in builds if one.note),
        ),
        failures=tuple(failures),
        refusals=tuple(
            (one.moe_layers, one.lora, build.stage, build.where)
            for build in builds
            if build.stage
            for one in build.selections
        ),
        differences=tuple(
            found
            for table in tables
            if exact and (table.moe_layers, table.lora) in asked
            for found in find_differences(asked[table.moe_layers, table.lora], table)
        ),
    )
    if not asked:
        return _from_tables(live, tables)
    merged = []
    for table in tables:
        own = asked.get((table.moe_layers, table.lora))
        if own is not None:
            merged.append(enrich(own, table) if exact else own)
        elif exact:
            merged.append(table)
        else:
            note = f"vLLM {version} gave no answer, and the tables hold no such release"
            merged.append(
                Selection(table.moe_layers, table.lora, None, Outcome.NOT_APPLICABLE, note=note)
            )
    return live, tuple(merged)


def _from_tables(live: Live, tables: Sequence[Selection]) -> tuple[Live, tuple[Selection, ...]]:
    from moe_doctor.core.record import replace

    if live.compared_with is not None:
        return replace(live, answered=False), tuple(tables)
    from moe_doctor.oracle.engines.registry import nearest_releases

    nearest = nearest_releases(live.version.partition("+")[0])[0]
    raise NotAskedError(
        f"vLLM {live.version} of {live.installed.python} was asked and gave no answer "
        f"({'; '.join(live.failures)}), and the tables hold no such release",
        f"the tables' answer for the nearest release: --engine vllm@{nearest}"
        + (f"; its last output: {live.tail[-600:]}" if live.tail else ""),
    )


def _emulated(machine: MachineSnapshot) -> str:
    if not machine.simulated:
        return ""
    gpu = machine.gpu
    return f"{gpu.name} ({gpu.target})" if gpu is not None else machine.platform


def _not_there(request: Request, machine: MachineSnapshot, installed: Installed) -> tuple[str, ...]:
    """`--with` cannot install anything: what it names counts for the tables alone."""
    from moe_doctor.core.machine import Present

    missing = [
        name
        for name, probe in machine.packages.items()
        if isinstance(probe, Present) and not isinstance(installed.packages.get(name), Present)
    ]
    if not missing or not request.machine.with_packages:
        return ()
    return (f"--with names what is not installed, so vLLM did not see it: {', '.join(missing)}",)
