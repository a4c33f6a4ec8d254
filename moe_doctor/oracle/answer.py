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
from moe_doctor.core.selection import EngineError, Outcome, Selection
from moe_doctor.core.spec import BesideSpec, ModelSpec, MoELayers, MoESpec
from moe_doctor.oracle.engines.vllm.beside_refusals import refuse_beside
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.layers import EngineRefusal, build_query
from moe_doctor.oracle.engines.vllm.methods.eplb import refuse_eplb
from moe_doctor.oracle.engines.vllm.methods.outcome import NoOracle, OracleCall
from moe_doctor.oracle.engines.vllm.methods.select import left_out_of, method_of
from moe_doctor.oracle.engines.vllm.releases import NEWEST
from moe_doctor.oracle.engines.vllm.select import ORACLES, select_moe
from moe_doctor.oracle.engines.vllm.start_refusals import refuse_dispatch, refuse_mori

# From 0.19 a layer's width is rounded for its dispatch after the oracle has answered.
_ROUNDS_LATER: Release = (0, 19, 0)
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
    if model.drafting is not None:
        from moe_doctor.oracle.drafted import answer_drafted

        return answer_drafted(
            model,
            deployment,
            machine,
            release,
            answer=lambda index, own: _answer(model, index, own, machine, facts, release, lora),
            refuse=lambda index, refusal: _refused(index, lora, refusal),
            read=lambda draft, name: _reread(draft, name, deployment, machine, release),
        )
    return tuple(
        [
            _answer(model, index, deployment, machine, facts, release, lora)
            for index in range(len(model.moe_layers))
        ]
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


def _answer(
    model: ModelSpec,
    index: int,
    deployment: Deployment,
    machine: MachineSnapshot,
    facts: Facts,
    release: Release,
    lora: bool,
) -> Answer:
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
        earlier = _refused_while_reading(model, index, deployment, machine, release, lora, built)
        return _refused(index, lora, earlier or built)
    if built.unasked:
        if model.declared is not None or deployment.quantization is not None:
            read = _method(model, index, deployment, machine, release, lora, built.query)
            if isinstance(read, EngineRefusal) and read.stage == "config":
                return _refused(index, lora, read)
        return _unanswered(index, lora, built.unasked, built.query, built.assumed)
    call = _method(model, index, deployment, machine, release, lora, built.query)
    if not isinstance(call, EngineRefusal):
        late = refuse_beside(
            model, index, built.source, call.method, built.query, deployment, release
        )
        call = late or call
    if not built.quantized and not _is_earlier(call, False):
        call = OracleCall("unquantized", None, built.query, "UnquantizedFusedMoEMethod")
    linear = None
    if model.declared is not None:
        # Loaded where a checkpoint is quantized: a plain one does not wait for it.
        from moe_doctor.oracle.engines.vllm.linear.refuse import refuse_linears

        linear, late_linear, listed = refuse_linears(
            model, built.source, built.query, deployment, machine, release
        )
        if linear is not None and not late_linear and not _is_earlier(call, listed):
            call = linear
    if isinstance(call, EngineRefusal):
        return _refused(index, lora, call)
    stopped = None if built.all2all is None else refuse_mori(built.all2all, facts.features)
    if stopped is not None:
        return _refused(index, lora, stopped)
    absent = refuse_dispatch(built.all2all, machine, release)
    if absent is not None and release < _ROUNDS_LATER:
        return _refused(index, lora, absent)
    if isinstance(call, NoOracle) and linear is not None:
        return _refused(index, lora, linear)
    if isinstance(call, NoOracle):
        note = f"{call.method}: {call.why}" if call.method else call.why
        if call.backend is None:
            return _unanswered(index, lora, note, built.query, built.assumed)
        if built.rebalances:
            absent = refuse_eplb(call.method, call.backend, release) or absent
        absent = built.late or absent
        if absent is not None:
            return _refused(index, lora, absent)
        fixed = replace(_fixed(index, lora, call, note), crash=built.crash)
        return Answer(fixed, built.query, assumed=built.assumed)
    if call.oracle not in ORACLES:
        note = f"{call.method} chooses by rules that these tables do not hold ({call.oracle})"
        return _unanswered(index, lora, note, call.query, built.assumed)
    selection = select_moe(
        call.oracle, call.query, facts, release, machine.environment, moe_layers=index
    )
    if selection.outcome is Outcome.SELECTED:
        late = absent or call.refused_with(selection.backend)
        if built.rebalances:
            late = refuse_eplb(call.method, selection.backend, release) or late
        late = built.late or late or linear
        if late is not None:
            # Still with the trace: the oracle answered, its method then refuses the shapes.
            refused = replace(selection, outcome=Outcome.ERROR, error=late.error, note=late.reason)
            return Answer(refused, call.query, assumed=built.assumed)
    # The LoRA manager asks the model class before it wraps a layer, but after the weights are
    # loaded, where a kernel's constructor has its say.
    if built.crash is not None and (selection.crash is None or selection.crash.type != "TypeError"):
        selection = replace(selection, crash=built.crash, hazard="")
    return Answer(selection, call.query, assumed=built.assumed)


def _is_earlier(call: OracleCall | NoOracle | EngineRefusal, listed: bool) -> bool:
    """Whether a refusal comes before the first linear layer, or from one.

    `listed`: compared with what a list raises, which is asked before any linear method is made.
    """
    if not isinstance(call, EngineRefusal):
        return False
    return call.stage != "model" or (call.by_linear and not listed)


def _method(
    model: ModelSpec,
    index: int,
    deployment: Deployment,
    machine: MachineSnapshot,
    release: Release,
    lora: bool,
    query: MoEQuery,
) -> OracleCall | NoOracle | EngineRefusal:
    """The quantization method of a layer, and what it asks."""
    spec = model.moe_layers[index].spec
    left_out = spec.quantization is None and model.declared is not None
    return (left_out_of if left_out else method_of)(
        model.declared if left_out else spec.quantization,
        deployment if left_out else _as_loaded(model, index, deployment),
        release=release,
        platform=machine.platform,
        capability=machine.capability,
        lora=lora,
        spec=spec,
        query=query,
        environment=machine.environment,
        model_type=model.model_type,
        architecture=model.architecture,
        arch=(machine.gpus[0].arch or "") if machine.gpus else "",
        missing=_missing(model, deployment, machine, release),
    )


def _missing(
    model: ModelSpec, deployment: Deployment, machine: MachineSnapshot, release: Release
) -> str:
    """Package that the declared or wanted method needs and the machine lacks."""
    declared = model.declared
    if declared is None and deployment.quantization is None:
        return ""
    from moe_doctor.oracle.engines.vllm.methods.needed_packages import NEEDS_PACKAGE, lacks_package

    for name in (deployment.quantization, None if declared is None else declared.method):
        if name in NEEDS_PACKAGE and lacks_package(name, machine, release):
            return name
    return ""


def _refused_while_reading(
    model: ModelSpec,
    index: int,
    deployment: Deployment,
    machine: MachineSnapshot,
    release: Release,
    lora: bool,
    refusal: EngineRefusal,
) -> EngineRefusal | None:
    """What vLLM says about the quantization before it comes to `refusal`, or None.

    ModelConfig looks at it before the parallel sizes are known, VllmConfig before the model is.
    """
    if not refusal.after and refusal.stage != "model":
        return None
    moonep = deployment.all2all_backend == "moonep"
    alone = _alone(deployment.quantization, deployment.dtype, moonep)
    built = build_query(
        model,
        index,
        alone,
        release=release,
        platform=machine.platform,
        lora=False,
        environment=machine.environment,
        capability=machine.capability,
    )
    if isinstance(built, EngineRefusal) and machine.platform not in ("cuda", "rocm"):
        # Experts without a gate are refused elsewhere, but not before the config has been read.
        built = build_query(model, index, alone, release=release, platform="cuda", lora=False)
    if isinstance(built, EngineRefusal) and model.beside.hidden_act:
        # The model class looks at it, after the config has been read.
        plain = replace(model, beside=BesideSpec())
        return _refused_while_reading(plain, index, deployment, machine, release, lora, refusal)
    if isinstance(built, EngineRefusal):
        return None
    call = _method(model, index, alone, machine, release, lora, built.query)
    if not isinstance(call, EngineRefusal) or call.stage != "config":
        return None
    by_model = "for ModelConfig" in call.error.message
    return call if by_model or refusal.after != "ModelConfig" else None


def _reread(
    model: ModelSpec,
    quantization: str,
    deployment: Deployment,
    machine: MachineSnapshot,
    release: Release,
) -> EngineRefusal | None:
    """What ModelConfig says about a checkpoint with another `--quantization`, or None."""
    if not model.moe_layers:
        return None
    own = replace(deployment, quantization=quantization)
    later = EngineRefusal("config", EngineError("", ""), "", "ModelConfig")
    return _refused_while_reading(model, 0, own, machine, release, False, later)


@lru_cache(maxsize=256)
def _alone(quantization: str | None, dtype: str, moonep: bool) -> Deployment:
    """What the quantization's checks look at."""
    all2all = "moonep" if moonep else None
    return Deployment(quantization=quantization, dtype=dtype, all2all_backend=all2all)


def _as_loaded(model: ModelSpec, index: int, deployment: Deployment) -> Deployment:
    """The deployment as this layer sees it: experts that a declaration leaves out stay plain.

    `--quantization` quantizes a layer without a declaration only where no other layer has one.
    """
    if deployment.quantization is None or model.moe_layers[index].spec.quantization is not None:
        return deployment
    if all(kind.spec.quantization is None for kind in model.moe_layers):
        return deployment
    return replace(deployment, quantization=None)


def _refused(index: int, lora: bool, refusal: EngineRefusal) -> Answer:
    refused = Selection(index, lora, None, Outcome.ERROR, error=refusal.error, note=refusal.reason)
    return Answer(refused, refusal=refusal)


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


def _unanswered(
    index: int, lora: bool, note: str, query: MoEQuery, assumed: tuple[str, ...]
) -> Answer:
    selection = Selection(index, lora, None, Outcome.NOT_APPLICABLE, note=note)
    return Answer(selection, query, assumed=assumed)
