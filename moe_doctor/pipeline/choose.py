"""Step 3: the engine's choice for every kind of layer, by the tables or by the engine itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.record import replace
from moe_doctor.core.report import Engine
from moe_doctor.core.request import Request
from moe_doctor.core.spec import ModelSpec

if TYPE_CHECKING:
    from moe_doctor.checks.case import Case
    from moe_doctor.live.interpreter import Installed


def choose(
    request: Request,
    model: ModelSpec | None,
    engine: Engine,
    machine: MachineSnapshot,
    here: MachineSnapshot | None,
) -> Case:
    """The tables' answers, LoRA off and on as the request says; none for `prove` or level 1."""
    from moe_doctor.checks.case import Case, Refusal
    from moe_doctor.oracle.answer import Answer, select_layers, select_scheme

    answers: list[Answer] = []
    if request.level >= 2 and request.command != "prove":
        for lora in (False, True) if request.lora is None else (request.lora,):
            if model is not None:
                answers += select_layers(model, request.deployment, machine, engine, lora=lora)
                continue
            answers.append(select_scheme(machine, request.deployment, engine, lora=lora))
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


def ask_installed(case: Case, installed: Installed, say: Callable[[str], None]) -> Case:
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
