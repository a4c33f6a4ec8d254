"""What a layer comes to before its oracle is asked: a call of the oracle, or what is raised first.

In the order in which the release builds: the layer's question, its quantization method, the MLPs
beside the experts, the linear layers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import replace
from moe_doctor.core.release import Release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import BesideSpec, ModelSpec
from moe_doctor.oracle.engines.vllm.beside_refusals import refuse_beside
from moe_doctor.oracle.engines.vllm.layers import Built, EngineRefusal, LayerQuery, build_both
from moe_doctor.oracle.engines.vllm.methods.outcome import NoOracle, OracleCall
from moe_doctor.oracle.engines.vllm.methods.select import left_out_of, method_of
from moe_doctor.oracle.engines.vllm.setting import Setting


class Asked(NamedTuple):
    """A layer that is built as far as its oracle. Its questions are those without adapters."""

    layer: LayerQuery
    """The layer's question."""
    call: OracleCall | NoOracle | None
    """What its method asks; None where the model class asks nothing."""
    linear: EngineRefusal | None = None
    """What a linear layer raises once the experts are built."""
    lora_crash: EngineError | None = None
    """What the server raises later, with adapters."""


def ask_layer(
    model: ModelSpec,
    index: int,
    deployment: Deployment,
    release: Release,
    setting: Setting,
    build: Callable[[Setting, Release], Built],
) -> Asked | EngineRefusal:
    """What `release` makes of `model.moe_layers[index]` there, with or without adapters.

    `build` is `build_both` for that layer.
    """
    built, refused, crash = build(setting, release)
    if refused is not None and setting.lora:
        built = refused
    if isinstance(built, EngineRefusal):
        earlier = refuse_reading(model, index, deployment, release, setting, built)
        if earlier is None and built.by_experts and model.declared is not None:
            earlier = _refuse_before(model, index, deployment, release, setting)
        return earlier or built
    if built.unasked:
        refused = _refuse_unasked(model, index, deployment, release, setting, built)
        return refused or Asked(built, None)
    call = _method(model, index, deployment, release, setting, built.query)
    if built.source.startswith("models/kimi_k3") and not _is_config(call):
        from moe_doctor.oracle.engines.vllm.methods.needed_packages import refuse_fused_reduce

        missing = refuse_fused_reduce(built.source, deployment, setting, release)
        if missing is not None:
            return missing
    if not isinstance(call, EngineRefusal):
        late = refuse_beside(
            model, index, built.source, call.method, built.query, deployment, release
        )
        call = late or call
    if not built.quantized and not _is_earlier(call, False):
        call = OracleCall("unquantized", None, built.query, "UnquantizedFusedMoEMethod")
    linear = None
    if model.declared is not None or _makes_mx(deployment.quantization, release):
        # Loaded where linear layers are quantized: a plain checkpoint does not wait for it.
        from moe_doctor.oracle.engines.vllm.linear.refuse import refuse_linears

        linear, late_linear, listed = refuse_linears(
            model, built.source, built.query, deployment, setting, release
        )
        if linear is not None and not late_linear and not _is_earlier(call, listed):
            call = linear
    return call if isinstance(call, EngineRefusal) else Asked(built, call, linear, crash)


def _refuse_unasked(
    model: ModelSpec,
    index: int,
    deployment: Deployment,
    release: Release,
    setting: Setting,
    built: LayerQuery,
) -> EngineRefusal | None:
    """What is raised about a class that asks nothing for its experts: their method is not made."""
    if model.declared is None and deployment.quantization is None:
        return None
    read = _method(model, index, deployment, release, setting, built.query)
    if isinstance(read, EngineRefusal) and (read.stage == "config" or read.by_linear):
        return read
    if model.declared is None or "transformers/" in built.source:
        return None  # Transformers' own layers are not stated
    from moe_doctor.oracle.engines.vllm.linear.refuse import refuse_linears

    return refuse_linears(model, built.source, built.query, deployment, setting, release).refusal


def _refuse_before(
    model: ModelSpec, index: int, deployment: Deployment, release: Release, setting: Setting
) -> EngineRefusal | None:
    """What linear layers raise before the experts say that they cannot be rebalanced."""
    from moe_doctor.oracle.engines.vllm.linear.refuse import refuse_linears

    still = replace(deployment, enable_eplb=False, num_redundant_experts=0)
    built = build_both(model, index, still, setting, release).plain
    if isinstance(built, EngineRefusal):
        return None
    found = refuse_linears(model, built.source, built.query, still, setting, release)
    return None if found.late else found.refusal


def _makes_mx(quantization: str | None, release: Release) -> bool:
    """Whether `--quantization` makes MX formats of a plain checkpoint's linear layers too."""
    return quantization == "mxfp8" or (quantization == "mxfp4" and release >= (0, 28, 0))


def refuse_reading(
    model: ModelSpec,
    index: int,
    deployment: Deployment,
    release: Release,
    setting: Setting,
    refusal: EngineRefusal,
) -> EngineRefusal | None:
    """What vLLM says about the quantization before it comes to `refusal`, or None.

    ModelConfig looks at it before the parallel sizes are known, VllmConfig before the model is.
    """
    if not refusal.after and refusal.stage != "model":
        return None
    moonep = deployment.all2all_backend == "moonep"
    alone = _alone(deployment.quantization, deployment.dtype, moonep)
    built = build_both(model, index, alone, setting, release).plain
    if isinstance(built, EngineRefusal) and moonep:
        # The dtype that moonep wants is asked for once the config has been read.
        other = _alone(deployment.quantization, deployment.dtype, False)
        built = build_both(model, index, other, setting, release).plain
        if isinstance(built, LayerQuery):
            parallel = built.query.parallel._replace(all2all_backend="moonep")
            built = built._replace(query=built.query._replace(parallel=parallel))
    plain = setting.is_on("cuda", "rocm") and not setting.is_below((8, 0))
    if isinstance(built, EngineRefusal) and not plain:
        # Experts without a gate and bfloat16 are refused by the layer and the worker, once the
        # config has been read.
        built = build_both(model, index, alone, Setting("cuda"), release).plain
    if isinstance(built, EngineRefusal) and model.beside.hidden_act:
        # The model class looks at it, after the config has been read.
        bare = replace(model, beside=BesideSpec())
        return refuse_reading(bare, index, deployment, release, setting, refusal)
    if isinstance(built, EngineRefusal):
        return None
    call = _method(model, index, alone, release, setting, built.query)
    if not isinstance(call, EngineRefusal) or call.stage != "config":
        return None
    by_model = "for ModelConfig" in call.error.message
    return call if by_model or refusal.after != "ModelConfig" else None


def _is_config(call: OracleCall | NoOracle | EngineRefusal) -> bool:
    """Whether it is a refusal that comes before the model is built."""
    return isinstance(call, EngineRefusal) and call.stage != "model"


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
    release: Release,
    setting: Setting,
    query: MoEQuery,
) -> OracleCall | NoOracle | EngineRefusal:
    """The quantization method of a layer, and what it asks."""
    spec = model.moe_layers[index].spec
    left_out = spec.quantization is None and model.declared is not None
    return (left_out_of if left_out else method_of)(
        model.declared if left_out else spec.quantization,
        deployment if left_out else _as_loaded(model, index, deployment),
        release=release,
        setting=setting,
        spec=spec,
        query=query,
        model_type=model.model_type,
        architecture=model.architecture,
    )


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
