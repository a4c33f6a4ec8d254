"""A model's layers, one after another, to an engine's oracle: the room's front door."""

from __future__ import annotations

from functools import partial

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.errors import UsageError
from moe_doctor.core.kept import Kept
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import replace
from moe_doctor.core.release import Release, parse_release
from moe_doctor.core.report import Engine
from moe_doctor.core.selection import EngineError, Outcome, Selection
from moe_doctor.core.spec import ModelSpec, MoELayers, MoESpec
from moe_doctor.oracle.engines.vllm.asked import refuse_reading
from moe_doctor.oracle.engines.vllm.found import Layer, Place, Ready, find_layers, find_place
from moe_doctor.oracle.engines.vllm.layers import EngineRefusal, LayerQuery, build_query
from moe_doctor.oracle.engines.vllm.methods.eplb import refuse_eplb
from moe_doctor.oracle.engines.vllm.methods.outcome import NoOracle
from moe_doctor.oracle.engines.vllm.releases import NEWEST
from moe_doctor.oracle.engines.vllm.select import ORACLES, select_moe
from moe_doctor.oracle.engines.vllm.start_refusals import refuse_dispatch, refuse_mori

# From 0.19 a layer's width is rounded for its dispatch after the oracle has answered.
_ROUNDS_LATER: Release = (0, 19, 0)
# From 0.24 it is rounded before FusedMoE asks whether its method can be rebalanced.
_ROUNDS_BEFORE_EPLB: Release = (0, 24, 0)
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


_made = partial(tuple.__new__, Answer)  # quicker than by name: one for each question
# A refusal is one object for all machines that get it.
_REFUSED: Kept[Answer] = Kept(4096)


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
    place = find_place(machine, release)
    if model.drafting is not None:
        from moe_doctor.oracle.drafted import answer_drafted

        return answer_drafted(
            model,
            deployment,
            machine,
            release,
            answer=lambda index, own: _answer(find_layers(model, own)[index], index, place, lora),
            refuse=lambda index, refusal: _refused(index, lora, refusal),
            read=lambda draft, name: _reread(draft, name, deployment, place),
        )
    layers = find_layers(model, deployment)
    return tuple([_answer(layer, index, place, lora) for index, layer in enumerate(layers)])


def select_scheme(
    machine: MachineSnapshot, deployment: Deployment, engine: Engine, *, lora: bool
) -> Answer:
    """The unquantized oracle's answer for a plain layer: gated SiLU, renormalised softmax.

    For `select` without a model: what this machine would run for most models.
    """
    release = release_of(engine)
    query = plain_query(deployment, release=release, platform=machine.platform, lora=lora)
    facts = find_place(machine, release).facts
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


def _answer(found: Layer, index: int, place: Place, lora: bool) -> Answer:
    ready = found.ask(place.settings[lora], place.release)
    if isinstance(ready, EngineRefusal):
        return _refused(index, lora, ready)
    only = ready.only
    if only is None:
        return _answer_more(ready, index, place, lora)
    situation = ready.situation(only, place.facts.arch, place.release, lora=lora)
    selection = place.program(only.oracle).answer(situation, index)
    return _made((selection, situation.query, None, ready.asked.layer.assumed))


def _answer_more(ready: Ready, index: int, place: Place, lora: bool) -> Answer:
    """Where not only the oracle has a say: its method, the dispatch, a linear layer, the adapters.

    In the order in which the release comes to them.
    """
    machine, release, facts, _, _ = place
    layer, call, linear, crash = ready.asked
    if not lora:
        crash = None
    if call is None:
        return _unanswered(index, lora, layer.unasked, layer)
    absent = None
    if layer.all2all is not None:
        stopped = refuse_mori(layer.all2all, facts.features)
        if stopped is not None:
            return _refused(index, lora, stopped)
        absent = refuse_dispatch(layer.all2all, machine, release)
        if absent is not None and release < _ROUNDS_LATER:
            return _refused(index, lora, absent)
    if isinstance(call, NoOracle):
        return _answer_fixed(index, lora, release, layer, call, linear, absent, crash)
    if call.oracle not in ORACLES:
        note = f"{call.method} chooses by rules that these tables do not hold ({call.oracle})"
        return _unanswered(index, lora, note, layer._replace(query=call.query))
    if call.stored is not None:
        stored = ready.situation(call.stored, facts.arch, release, lora=lora)
        first = place.program(call.stored.oracle).answer(stored, index)
        if first.outcome is not Outcome.SELECTED:
            return Answer(first, stored.query, assumed=layer.assumed)
    situation = ready.situation(call, facts.arch, release, lora=lora)
    selection = place.program(call.oracle).answer(situation, index)
    if selection.outcome is Outcome.SELECTED:
        late = _refuse_layer(layer, call.method, selection.backend, absent, release)
        late = late or call.refused_with(selection.backend) or linear
        if late is not None:
            # Still with the trace: the oracle answered, its method then refuses the shapes.
            refused = replace(selection, outcome=Outcome.ERROR, error=late.error, note=late.reason)
            return Answer(refused, situation.query, assumed=layer.assumed)
    # The LoRA manager asks the model class before it wraps a layer, but after the weights are
    # loaded, where a kernel's constructor has its say.
    if crash is not None and (selection.crash is None or selection.crash.type != "TypeError"):
        selection = replace(selection, crash=crash, hazard="")
    return Answer(selection, situation.query, None, layer.assumed)


def _answer_fixed(
    index: int,
    lora: bool,
    release: Release,
    layer: LayerQuery,
    call: NoOracle,
    linear: EngineRefusal | None,
    absent: EngineRefusal | None,
    crash: EngineError | None,
) -> Answer:
    """A method that asks no oracle: it has no choice in this release, or is not known."""
    if linear is not None:
        return _refused(index, lora, linear)
    note = f"{call.method}: {call.why}" if call.method else call.why
    if call.backend is None:
        return _unanswered(index, lora, note, layer)
    late = _refuse_layer(layer, call.method, call.backend, absent, release)
    if late is not None:
        return _refused(index, lora, late)
    fixed = replace(_fixed(index, lora, call, note), crash=crash)
    return Answer(fixed, layer.query.with_lora(lora), assumed=layer.assumed)


def _refuse_layer(
    layer: LayerQuery,
    method: str,
    backend: str | None,
    absent: EngineRefusal | None,
    release: Release,
) -> EngineRefusal | None:
    """What FusedMoE raises once it has its method; `absent`: what its dispatch lacks."""
    if layer.late is not None:
        return layer.late
    rigid = refuse_eplb(method, backend, release) if layer.rebalances else None
    return (absent or rigid) if release >= _ROUNDS_BEFORE_EPLB else (rigid or absent)


def _reread(
    model: ModelSpec, quantization: str, deployment: Deployment, place: Place
) -> EngineRefusal | None:
    """What ModelConfig says about a checkpoint with another `--quantization`, or None."""
    if not model.moe_layers:
        return None
    own = replace(deployment, quantization=quantization)
    later = EngineRefusal("config", EngineError("", ""), "", "ModelConfig")
    return refuse_reading(model, 0, own, place.release, place.settings[False], later)


def _refused(index: int, lora: bool, refusal: EngineRefusal) -> Answer:
    known = _REFUSED.find(refusal, (index, lora))
    if known is None:
        error, note = refusal.error, refusal.reason
        refused = Selection(index, lora, None, Outcome.ERROR, error=error, note=note)
        known = _REFUSED.keep(refusal, (index, lora), Answer(refused, refusal=refusal))
    return known


def _fixed(index: int, lora: bool, call: NoOracle, note: str) -> Selection:
    """A method that has no choice in this release: no oracle, no candidates."""
    return Selection(
        index,
        lora,
        None,
        Outcome.SELECTED,
        backend=call.backend,
        kernel=call.kernel,
        runs=call.kernel,
        note=note,
    )


def _unanswered(index: int, lora: bool, note: str, layer: LayerQuery) -> Answer:
    selection = Selection(index, lora, None, Outcome.NOT_APPLICABLE, note=note)
    return Answer(selection, layer.query.with_lora(lora), assumed=layer.assumed)
