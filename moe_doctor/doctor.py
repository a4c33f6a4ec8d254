"""The pipeline: fetch the config, probe the machine, select, prove, judge.

Each step is one room's front door; this module only carries what one hands to the next.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.errors import UnknownNameError, UsageError
from moe_doctor.core.machine import MachineSnapshot, Present
from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import replace
from moe_doctor.core.report import Engine, Report
from moe_doctor.core.request import MachineRequest, Request
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.core.spec import ModelSpec, MoELayers

if TYPE_CHECKING:
    from moe_doctor.checks.case import Case
    from moe_doctor.live.interpreter import Installed

Progress = Callable[[str], None]


def run(request: Request, progress: Progress | None = None) -> Report:
    """Do what `request` asks and report; `progress` gets a line per slow step.

    Raises DoctorError for what the user can mend: no such model, unknown names, bad options.
    """
    started = time.monotonic()
    say = progress or _silent
    model = load(request, say)
    if request.command == "env":
        from moe_doctor.probes.snapshot import probe_machine

        return Report("env", probe_machine(), fail_on=request.fail_on)
    installed = _installed_to_ask(request)
    engine, machine, here = engine_and_machine(request, installed)
    case = _select(request, model, engine, machine, here)
    if installed is not None:
        case = _ask(case, installed, say)
    case = replace(case, proofs=_prove(case, say))
    from moe_doctor.checks.judge import judge

    return Report(
        command=request.command,
        machine=machine,
        engine=case.engine,
        model=model,
        deployment=request.deployment,
        selections=case.selections,
        proofs=case.proofs,
        findings=judge(case),
        fail_on=request.fail_on,
        inconclusive=_inconclusive(request, machine, here, case.proofs),
        elapsed_s=time.monotonic() - started,
    )


def check(model: str, **options: Any) -> Report:
    """All five steps for a model; the keyword names are the options' (`tensor_parallel_size`)."""
    return run(make_request("check", model, options))


def select(model: str | None = None, **options: Any) -> Report:
    """The oracle alone, with its full trace; `lora=None` gives both answers."""
    return run(make_request("select", model, options))


def prove(model: str | None = None, *, backend: str = "all", **options: Any) -> Report:
    """The tiny forward alone, on one backend or `all`."""
    return run(make_request("prove", model, {**options, "backend": backend}))


def make_request(command: str, model: str | None, options: Mapping[str, Any]) -> Request:
    """A `Request` from keyword options.

    Raises UsageError for a name that no option has and for a value of a wrong type or range,
    UnknownNameError for a value that no release of the engine has.
    """
    from moe_doctor.core.arguments import check_argument
    from moe_doctor.oracle.option_values import refuse_unknown_values

    parts: dict[str, dict[str, Any]] = {"deployment": {}, "machine": {}, "request": {}}
    homes = {
        field.name: (part, str(field.type))
        for part, owner in zip(parts, (Deployment, MachineRequest, Request), strict=True)
        for field in fields(owner)
        if field.name not in ("command", "model", "deployment", "machine")
    }
    spelled = {"without": "without_packages", "with_": "with_packages", "env": "environment"}
    spelled |= {"enable_expert_parallel": "expert_parallel", "enable_lora": "lora"}
    spelled |= {"timeout": "timeout_s", "backend": "backends"}
    for name, value in options.items():
        key = spelled.get(name, name)
        if key not in homes:
            known = sorted({*spelled, *homes} - set(spelled.values()) | {"expert_parallel", "lora"})
            near = tuple(get_close_matches(name, known, 3))
            raise UnknownNameError(
                "option", name, near, "" if near else f"options: {', '.join(known)}"
            )
        part, annotation = homes[key]
        parts[part][key] = check_argument(name, value, key, annotation)
    deployment = Deployment(**parts["deployment"])
    refuse_unknown_values(deployment)
    return Request(
        command=command,
        model=check_argument("model", model, "model", "str | None"),
        deployment=deployment,
        machine=MachineRequest(**parts["machine"]),
        **parts["request"],
    )


def _silent(_: str) -> None:
    return None


def load(request: Request, say: Progress) -> ModelSpec | None:
    """The request's model, or None without one; raises DoctorError."""
    if request.model is None:
        if request.command == "check":
            raise UsageError("check needs a model", "moe-doctor check MODEL")
        return None
    from moe_doctor.models.load import load_model, require_moe

    if not os.path.lexists(request.model):  # pathlib raises for names that are too long
        say(f"looking for {request.model}")
    model = load_model(
        request.model,
        revision=request.revision,
        offline=request.offline,
        hf_overrides=request.hf_overrides,
    )
    model = require_moe(model)
    if not request.speculative_config:
        return model
    from moe_doctor.models.draft import with_draft

    return with_draft(model, request.speculative_config)


def engine_and_machine(
    request: Request, installed: Installed | None = None
) -> tuple[Engine, MachineSnapshot, MachineSnapshot | None]:
    """The tables' engine, the machine asked about, and this machine where it was probed.

    With `installed` the machine has that environment's packages, and the engine is its release, or
    the nearest that the tables hold.
    """
    from moe_doctor.oracle.engines.registry import resolve_engine
    from moe_doctor.oracle.engines.vllm.releases import image_packages
    from moe_doctor.probes.simulate import adjust_machine, simulate_machine

    if installed is not None:
        from moe_doctor.live.wanted import as_it_sees

        simulates = request.machine.simulates
        here = _probe() if not simulates or _runs_proofs(request) else None
        return *as_it_sees(request, installed, here), here
    if request.machine.simulates:
        named = "@" in (request.engine or "")
        engine = resolve_engine(request.engine, None if named else installed_vllm())
        machine = simulate_machine(
            request.machine, packages=image_packages(engine.version, _platform(request.machine))
        )
        return engine, machine, _probe() if _runs_proofs(request) else None
    here = _probe()
    engine = resolve_engine(request.engine, here.version("vllm"))
    return engine, adjust_machine(here, request.machine), here


def _probe() -> MachineSnapshot:
    from moe_doctor.probes.snapshot import probe_machine

    return probe_machine()


def _platform(machine: MachineRequest) -> str:
    """Which image the options mean; the simulation itself checks that they fit together."""
    if machine.platform:
        return machine.platform.strip().lower()
    if machine.arch:
        return "rocm"
    if machine.gpu:
        from moe_doctor.probes.gpus import find_gpu

        return find_gpu(machine.gpu).platform
    return "cuda"


def _installed_to_ask(request: Request) -> Installed | None:
    """The vLLM that will be asked itself, or None where the tables answer."""
    if request.command not in ("check", "select") or request.level < 2:
        return None
    from moe_doctor.live.wanted import find_wanted

    return find_wanted(request.engine, request.python)


def installed_vllm() -> str | None:
    """Version of the vLLM in this environment, or None."""
    from moe_doctor.probes.packages import is_plainly_absent, probe_package

    if is_plainly_absent("vllm"):
        return None
    probe = probe_package("vllm")
    return probe.value if isinstance(probe, Present) else None


def _select(
    request: Request,
    model: ModelSpec | None,
    engine: Engine,
    machine: MachineSnapshot,
    here: MachineSnapshot | None,
) -> Case:
    from moe_doctor.checks.case import Case, Refusal
    from moe_doctor.oracle.answer import Answer, schemes, select_layers, select_scheme

    answers: list[Answer] = []
    if request.level >= 2 and request.command != "prove":
        for lora in (False, True) if request.lora is None else (request.lora,):
            if model is not None:
                answers += select_layers(model, request.deployment, machine, engine, lora=lora)
                continue
            answers.append(select_scheme(machine, request.deployment, engine, lora=lora))
            answers += [
                Answer(Selection(row, lora, scheme, Outcome.NOT_APPLICABLE))
                for row, scheme in enumerate(schemes())
                if scheme != "unquantized"
            ]
    return Case(
        request=request,
        machine=machine,
        here=here or machine,
        engine=engine,
        model=model,
        selections=tuple(answer.selection for answer in answers),
        queries=tuple(answer.query for answer in answers),
        refusals=tuple(
            Refusal(
                answer.selection.moe_layers,
                answer.selection.lora,
                answer.refusal.stage,
                answer.refusal.reason,
            )
            for answer in answers
            if answer.refusal is not None
        ),
        assumed=tuple(dict.fromkeys(text for answer in answers for text in answer.assumed)),
    )


def _ask(case: Case, installed: Installed, say: Progress) -> Case:
    """The case with the installed engine's own answers laid over the tables'."""
    from moe_doctor.checks.case import Refusal
    from moe_doctor.live.consult import consult
    from moe_doctor.oracle.answer import PLAIN_MODEL

    request, model = case.request, case.model
    live, answered = consult(
        request,
        model,
        (model or PLAIN_MODEL).moe_layers,
        case.machine,
        installed,
        # The installed engine builds the model without its draft, whose layers come last.
        [
            one
            for one in case.selections
            if (one.moe_layers == 0 if model is None else _is_decoder(model, one.moe_layers))
        ],
        say,
    )
    own = {(one.moe_layers, one.lora): one for one in answered}
    source = "installed" if live.answered else "table"
    refusals = case.refusals
    if live.answered:
        refusals = tuple(
            Refusal(index, lora, stage, f"{stage} stage, {where}")
            for index, lora, stage, where in live.refusals
        )
    return replace(
        case,
        engine=Engine("vllm", live.version, source),
        selections=tuple(own.get((one.moe_layers, one.lora), one) for one in case.selections),
        refusals=refusals,
        live=live,
    )


def _is_decoder(model: ModelSpec, index: int) -> bool:
    return model.moe_layers[index].first_layer < model.num_layers


def _prove(case: Case, say: Progress) -> tuple[Proof, ...]:
    from moe_doctor.proof.schedule import Layer, plan_jobs, plan_named, run_jobs

    request = case.request
    if not _runs_proofs(request):
        return ()
    layers = tuple(
        Layer(kind.spec, kind.count, query, index)
        for index, kind, query in _rank_layers(case)
        if query is not None
    )
    loras = (False, True) if request.lora is None else (request.lora,)
    if request.command == "prove":
        from moe_doctor.proof.prove import PROVABLE

        _refuse_unknown(request.backends)
        named = PROVABLE if "all" in request.backends or not request.backends else request.backends
        jobs = plan_named(named, loras, layers)
    else:
        jobs = plan_jobs(case.selections, layers) or plan_named(("triton",), loras, layers)
    return run_jobs(
        jobs,
        case.here,
        level=max(3, request.level),
        timeout_s=request.timeout_s,
        fall_back=request.command == "check",
        progress=say,
    )


def _refuse_unknown(backends: tuple[str, ...]) -> None:
    """Raise UnknownNameError for a backend that neither a proof nor any release knows."""
    from moe_doctor.oracle.support import option_names
    from moe_doctor.proof.prove import PROVABLE

    known = sorted({*PROVABLE, *option_names(), "all", "cpu"})
    for name in backends:
        if name not in known:
            near = tuple(get_close_matches(name, known, 3, 0.4))
            raise UnknownNameError(
                "backend", name, near, "" if near else f"known: {', '.join(known)}"
            )


def _runs_proofs(request: Request) -> bool:
    return request.command == "prove" or (request.command == "check" and request.level >= 3)


def _rank_layers(case: Case) -> list[tuple[int, MoELayers, MoEQuery | None]]:
    """Each kind of layer with the sizes of one rank.

    They are the first question's; where the engine refused before it built one (a CPU, a release
    that is too old), those that it would build on a GPU.
    """
    from moe_doctor.oracle.answer import PLAIN_MODEL, rank_query

    model = case.model or PLAIN_MODEL
    found: dict[int, MoEQuery] = {}
    for selection, query in zip(case.selections, case.queries, strict=True):
        if query is not None:
            found.setdefault(selection.moe_layers, query)
    deployment = case.request.deployment
    return [
        (index, kind, found.get(index) or rank_query(model, index, deployment))
        for index, kind in enumerate(model.moe_layers)
    ]


def _inconclusive(
    request: Request,
    machine: MachineSnapshot,
    here: MachineSnapshot | None,
    proofs: tuple[Proof, ...],
) -> str:
    """Why exit code 3 is due, or nothing."""
    if request.command == "prove" and "all" not in request.backends:
        for proof in proofs:
            if proof.outcome in (ProofOutcome.SKIPPED, ProofOutcome.NOT_RUN):
                return f"{proof.backend_option} was asked for and not run: {proof.reason}"
    if not request.require_proof:
        return ""
    if not proofs:
        return "--require-proof was given and nothing could be proved"
    if machine.simulated:
        return "--require-proof was given, and a simulated machine cannot be proved"
    for proof in proofs:
        if proof.outcome is not ProofOutcome.PASSED or proof.mode != "gpu":
            return (
                f"--require-proof was given, and {proof.backend_option} "
                f"{'with' if proof.lora else 'without'} LoRA was {proof.outcome.value} "
                f"({proof.mode})"
            )
    return ""
