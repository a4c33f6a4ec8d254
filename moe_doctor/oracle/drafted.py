"""Answers for a server that drafts: whose refusal comes first, and what the draft's layers see.

SpeculativeConfig is made between ModelConfig and VllmConfig, and the draft is built after the
model (engine/arg_utils.py create_engine_config, v1/spec_decode, releases 0.16.0 to 0.33.0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.release import Release
from moe_doctor.core.spec import ModelSpec
from moe_doctor.oracle.engines.vllm.drafting import (
    deploy_draft,
    refuse_draft_class,
    refuse_drafting,
)
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal

if TYPE_CHECKING:
    from moe_doctor.oracle.answer import Answer

_BEFORE = ("for ModelConfig", "for ParallelConfig")


def answer_drafted(
    model: ModelSpec,
    deployment: Deployment,
    machine: MachineSnapshot,
    release: Release,
    *,
    answer: Callable[[int, Deployment], Answer],
    refuse: Callable[[int, EngineRefusal], Answer],
    read: Callable[[ModelSpec, str], EngineRefusal | None],
) -> tuple[Answer, ...]:
    """One answer per entry of `model.moe_layers`, where `model.drafting` is set.

    `answer` answers for a layer in a deployment, `refuse` states a refusal for one, and `read` says
    what ModelConfig makes of a checkpoint with another `--quantization`.
    """
    drafts = [kind.first_layer >= model.num_layers for kind in model.moe_layers]
    refused = refuse_drafting(model, deployment, release, machine, read)
    own = deploy_draft(deployment, model) if refused is None else deployment
    answers = [answer(index, own if draft else deployment) for index, draft in enumerate(drafts)]
    if refused is not None:
        return tuple(
            one if _is_earlier(one.refusal) else refuse(index, refused)
            for index, one in enumerate(answers)
        )
    late = refuse_draft_class(model, release)
    if late is None:
        return tuple(answers)
    return tuple(
        refuse(index, late)
        if one.selection.error is None and (drafts[index] or not any(drafts))
        else one
        for index, one in enumerate(answers)
    )


def _is_earlier(refusal: EngineRefusal | None) -> bool:
    """Whether a refusal comes before SpeculativeConfig is made."""
    if refusal is None or refusal.stage == "model":
        return False
    return refusal.stage == "args" or any(word in refusal.error.message for word in _BEFORE)
