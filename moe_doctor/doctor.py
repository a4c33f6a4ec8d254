"""The pipeline: fetch the config, probe the machine, select, prove, judge.

Each step is one room's front door; this module only carries what one hands to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.errors import UnknownNameError, nearest_names
from moe_doctor.core.record import replace
from moe_doctor.core.report import Report
from moe_doctor.core.request import MachineRequest, Request
from moe_doctor.pipeline.choose import ask_installed, choose
from moe_doctor.pipeline.fetch import fetch_model
from moe_doctor.pipeline.prove import find_inconclusive, prove_case
from moe_doctor.pipeline.surroundings import engine_and_machine, installed_to_ask

Progress = Callable[[str], None]


def run(request: Request, progress: Progress | None = None) -> Report:
    """Do what `request` asks and report; `progress` gets a line per slow step.

    Raises DoctorError for what the user can mend: no such model, unknown names, bad options.
    """
    started = time.monotonic()
    say = progress or _silent
    model = fetch_model(request, say)
    if request.command == "env":
        from moe_doctor.probes.snapshot import probe_machine

        return Report("env", probe_machine(), fail_on=request.fail_on)
    installed = installed_to_ask(request)
    engine, machine, here = engine_and_machine(request, installed)
    case = choose(request, model, engine, machine, here)
    if installed is not None:
        case = ask_installed(case, installed, say)
    case = replace(case, proofs=prove_case(case, say))
    selections = case.selections
    if model is None and request.command == "select":
        from moe_doctor.pipeline.schemes import with_schemes

        selections = with_schemes(selections, machine, request.deployment, case.engine or engine)
    from moe_doctor.checks.judge import judge

    return Report(
        command=request.command,
        machine=machine,
        engine=case.engine,
        model=model,
        deployment=request.deployment,
        selections=selections,
        proofs=case.proofs,
        findings=judge(case),
        fail_on=request.fail_on,
        inconclusive=find_inconclusive(request, machine, here, case.proofs),
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
    from dataclasses import fields

    from moe_doctor.core.arguments import check_argument, redundant_experts
    from moe_doctor.oracle.option_values import refuse_unknown_method, refuse_unknown_values

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
    if isinstance(options.get("eplb_config"), Mapping):
        eplb = redundant_experts(options["eplb_config"])
        options = {name: value for name, value in options.items() if name != "eplb_config"}
        options["num_redundant_experts"] = eplb
    for name, value in options.items():
        key = spelled.get(name, name)
        if key not in homes:
            known = sorted({*spelled, *homes} - set(spelled.values()) | {"expert_parallel", "lora"})
            near = nearest_names(name, known, 3)
            raise UnknownNameError(
                "option", name, near, "" if near else f"options: {', '.join(known)}"
            )
        part, annotation = homes[key]
        parts[part][key] = check_argument(name, value, key, annotation)
    deployment = Deployment(**parts["deployment"])
    refuse_unknown_values(deployment)
    refuse_unknown_method(parts["request"].get("speculative_config", {}))
    return Request(
        command=command,
        model=check_argument("model", model, "model", "str | None"),
        deployment=deployment,
        machine=MachineRequest(**parts["machine"]),
        **parts["request"],
    )


def _silent(_: str) -> None:
    return None
