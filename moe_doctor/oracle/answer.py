"""A model's layers, one after another, to an engine's oracle: the room's front door."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from moe_doctor.backends.situation import Facts
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.errors import UsageError
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import replace
from moe_doctor.core.release import Release, parse_release
from moe_doctor.core.report import Engine
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.core.spec import ModelSpec, MoELayers, MoESpec
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.layers import EngineRefusal, build_query
from moe_doctor.oracle.engines.vllm.quantization import is_quantized
from moe_doctor.oracle.engines.vllm.releases import NEWEST
from moe_doctor.oracle.engines.vllm.select import select_moe

PLAIN_MODEL = ModelSpec(
    id="",
    source="",
    architecture="Qwen3MoeForCausalLM",
    model_type="qwen3_moe",
    moe_layers=(MoELayers(MoESpec(128, 8, 2048, 768), (0,)),),
)
"""A layer of the commonest kind, for questions without a model: SwiGLU, renormalised softmax."""


class Answer(NamedTuple):
    """What an engine answers for one kind of layer, and how the question came about."""

    selection: Selection
    """The oracle's answer, or the refusal before it."""
    query: MoEQuery | None = None
    """The question; None where none could be built or none was asked."""
    refusal: EngineRefusal | None = None
    """What the engine refuses before its oracle."""
    assumed: tuple[str, ...] = ()
    """What had to be taken for granted."""


def select_layers(
    model: ModelSpec,
    deployment: Deployment,
    machine: MachineSnapshot,
    engine: Engine,
    *,
    lora: bool,
) -> tuple[Answer, ...]:
    """One answer per entry of `model.moe_layers`, with or without LoRA.

    Pure. Raises UsageError when `engine.version` is not a release of the tables.
    """
    release = release_of(engine)
    facts = make_facts(machine, release)
    return tuple(
        _answer(model, index, deployment, machine, facts, release, lora)
        for index in range(len(model.moe_layers))
    )


def select_scheme(
    machine: MachineSnapshot, deployment: Deployment, engine: Engine, *, lora: bool
) -> Answer:
    """The unquantized oracle's answer for a plain layer: gated SiLU, renormalised softmax.

    For `select` without a model: what this machine would run for most models.
    """
    release = release_of(engine)
    query = plain_query(deployment, release=release, platform=machine.platform, lora=lora)
    facts = make_facts(machine, release)
    return Answer(select_moe("unquantized", query, facts, release, machine.environment), query)


def rank_query(model: ModelSpec, index: int, deployment: Deployment) -> MoEQuery | None:
    """The sizes of one rank as the newest release would build them on a GPU; None if refused."""
    release = NEWEST.release
    built = build_query(model, index, deployment, release=release, platform="cuda", lora=False)
    return None if isinstance(built, EngineRefusal) else built.query


def plain_query(deployment: Deployment, *, release: Release, platform: str, lora: bool) -> MoEQuery:
    """`PLAIN_MODEL`'s layer as `release` asks about it; raises UsageError where it refuses."""
    built = build_query(PLAIN_MODEL, 0, deployment, release=release, platform=platform, lora=lora)
    if isinstance(built, EngineRefusal):
        raise UsageError(built.reason)
    return built.query


def release_of(engine: Engine) -> Release:
    """The engine's release as numbers; raises UsageError for one that is no plain release."""
    release = parse_release(engine.version)
    if release is None:
        raise UsageError(f"{engine.version!r} is no release of {engine.name}")
    return release


@lru_cache(maxsize=1)
def schemes() -> tuple[str, ...]:
    """Quantization schemes that vLLM has an oracle for, the unquantized one first."""
    return (
        "unquantized",
        "fp8",
        "nvfp4",
        "mxfp4",
        "mxfp8",
        "int8",
        "int_wna16",
        "w4a8",
        "w4a8_int8",
    )


def _answer(
    model: ModelSpec,
    index: int,
    deployment: Deployment,
    machine: MachineSnapshot,
    facts: Facts,
    release: Release,
    lora: bool,
) -> Answer:
    if is_quantized(model.moe_layers[index].spec.quantization, deployment):
        return Answer(Selection(index, lora, None, Outcome.NOT_APPLICABLE))
    built = build_query(
        model,
        index,
        deployment,
        release=release,
        platform=machine.platform,
        lora=lora,
        environment=machine.environment,
        capability=machine.capability,
    )
    if isinstance(built, EngineRefusal):
        refused = Selection(index, lora, None, Outcome.ERROR, error=built.error, note=built.reason)
        return Answer(refused, refusal=built)
    if built.unasked:
        unasked = Selection(index, lora, None, Outcome.NOT_APPLICABLE, note=built.unasked)
        return Answer(unasked, built.query, assumed=built.assumed)
    selection = select_moe(
        "unquantized", built.query, facts, release, machine.environment, moe_layers=index
    )
    # The LoRA manager asks the model class before it wraps a layer, but after the weights are
    # loaded, where a kernel's constructor has its say.
    if built.crash is not None and (selection.crash is None or selection.crash.type != "TypeError"):
        selection = replace(selection, crash=built.crash, hazard="")
    return Answer(selection, built.query, assumed=built.assumed)
