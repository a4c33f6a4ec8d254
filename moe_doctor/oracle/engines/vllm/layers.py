"""From a model, a deployment and a release to the question that vLLM's oracle is asked.

In the order in which the release would refuse: arguments, ParallelConfig, ModelConfig and
VllmConfig, then the model class and its FusedMoE layer. What it asks itself afterwards (the oracle)
is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.query import MoEQuery, Parallel
from moe_doctor.core.release import Release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import ModelSpec, MoESpec
from moe_doctor.oracle.engines.vllm import layer_options as options
from moe_doctor.oracle.engines.vllm import layer_refusals as refusals
from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow
from moe_doctor.oracle.engines.vllm.interned import one_query
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.layer_routing import routing_method
from moe_doctor.oracle.engines.vllm.layer_settled import Settled, served_by, settle
from moe_doctor.oracle.engines.vllm.parallel import active_all2all
from moe_doctor.oracle.engines.vllm.setting import Setting

__all__ = ["EngineRefusal", "LayerQuery", "build_both", "build_query"]

_ITEM_SIZE = {"float16": 2, "bfloat16": 2, "float32": 4}
# SUPPORTED_HIDDEN_SIZES of DeepEP's and NIXL's low-latency kernels (0.18).
_LOW_LATENCY_WIDTHS = (2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192)


class LayerQuery(NamedTuple):
    """The oracle's input, and what had to be taken for granted on the way."""

    query: MoEQuery
    """The question."""
    assumed: tuple[str, ...] = ()
    """Facts that neither the model's config nor the tables settle."""
    crash: EngineError | None = None
    """What the server raises later, after the oracle has answered."""
    unasked: str = ""
    """Why the model class asks no oracle at all, when it does not."""
    source: str = ""
    """File and class under vllm/ that builds the layer; empty for the general rule."""
    rebalances: bool = False
    """Whether --enable-eplb reaches the layer."""
    late: EngineRefusal | None = None
    """What the layer raises once its method has asked the oracle."""
    all2all: str | None = None
    """The all2all backend in use, or None."""
    quantized: bool = True
    """Whether the experts follow the checkpoint's quantization at all."""


class Built(NamedTuple):
    """What a release makes of a layer, without adapters and with them."""

    plain: LayerQuery | EngineRefusal
    """Without."""
    refused: EngineRefusal | None
    """What is raised with adapters and not without."""
    crash: EngineError | None
    """What is raised with adapters once the weights are loaded."""


# Most layers are asked about in the same way on every platform.
_ANYWHERE = "any"


def build_query(
    model: ModelSpec,
    index: int,
    deployment: Deployment,
    *,
    release: Release,
    platform: str,
    lora: bool,
    environment: Mapping[str, str] | None = None,
    capability: tuple[int, int] | None = None,
) -> LayerQuery | EngineRefusal:
    """Ask for `model.moe_layers[index]` as `release` would on `platform`.

    `capability` is the CUDA compute capability: below 8.0 `--dtype auto` turns bfloat16 into
    float16. Raises IndexError on an `index` that the model does not have.
    """
    setting = Setting(platform, capability, lora, environment or {})
    plain, refused, crash = build_both(model, index, deployment, setting, release)
    if not lora:
        return plain
    if refused is not None or isinstance(plain, EngineRefusal):
        return refused or plain
    return plain._replace(query=plain.query._replace(lora=True), crash=crash)


def build_both(
    model: ModelSpec, index: int, deployment: Deployment, setting: Setting, release: Release
) -> Built:
    """The same without adapters and with them."""
    # All of the machine that decides here; the rest is the method's and the oracle's business.
    spec = model.moe_layers[index].spec
    old = setting.capability if setting.is_below((8, 0)) else None
    alike = spec.gated and old is None and not (deployment.enable_eplb or deployment.enable_dbo)
    place = _ANYWHERE if alike else setting.platform
    # From 0.33 the simulation wraps the router and leaves the kernels' routing method alone.
    simulation = setting.environment.get("VLLM_MOE_ROUTING_SIMULATION_STRATEGY")
    simulated = bool(simulation) and release < (0, 33, 0)
    settled = settle(model, deployment, release, place, old)
    if isinstance(settled, EngineRefusal):
        plain: LayerQuery | EngineRefusal = settled
    else:
        plain = _build(spec, settled, deployment, release, place, simulated)
    refused, crash = _with_lora(plain, settled, model, deployment, release, setting)
    return Built(plain, refused, crash)


def _build(
    spec: MoESpec,
    settled: Settled,
    deployment: Deployment,
    release: Release,
    platform: str,
    simulated: bool,
) -> LayerQuery | EngineRefusal:
    """The layer's own sizes, without LoRA."""
    row, parallel = settled.row, settled.parallel
    width = _width(spec, row, deployment)
    activation = _activation(spec, row)
    refused = refusals.refuse_layer(
        spec, row, activation, width, deployment, parallel, platform, release
    )
    if refused is not None:
        return refused
    active = active_all2all(parallel, release)
    hidden = _hidden_size(spec.hidden_size, settled.dtype, parallel, release)
    if hidden is None:
        text = f"Hidden Size {spec.hidden_size} is greater than the maximum supported hidden size"
        error = EngineError("ValueError", f"{text} {_LOW_LATENCY_WIDTHS[-1]}")
        reason = f"{parallel.all2all_backend} has no buffers of that width"
        return EngineRefusal("model", error, reason)
    experts = spec.num_experts
    if parallel.enable_eplb and row.passes_eplb(release):
        experts += deployment.num_redundant_experts
    elif parallel.enable_eplb and not row.forwards_eplb and deployment.num_redundant_experts:
        text = "Redundant experts are only supported with EPLB."
        reason = "this class keeps experts twice without rebalancing them"
        return EngineRefusal("model", EngineError("AssertionError", text), reason)
    return LayerQuery(
        query=one_query(
            MoEQuery(
                num_experts=experts,
                top_k=spec.top_k,
                hidden_size=hidden,
                intermediate_size_per_partition=width // parallel.tp_size,
                # Rank 0 takes one of the remainder (determine_expert_map).
                num_local_experts=-(-experts // parallel.ep_size),
                activation=activation,
                routing_method="Simulated" if simulated else routing_method(spec, row, release),
                router_logits_dtype=row.router_dtype or settled.dtype,
                in_dtype=settled.dtype,
                parallel=parallel,
                has_bias=spec.has_bias,
                moe_backend=settled.moe_backend,
                # FusedMoEConfig has the field from 0.31, the clamp from 0.22.
                has_hash_routing=spec.routing.has_hash_layers and release >= (0, 31, 0),
                swiglu_limit=_limit(spec, row, release),
                situ_betas=spec.situ_betas,
            )
        ),
        late=None if spec.gated else _refuse_late(platform, release),
        assumed=_assumed(spec, row),
        unasked=settled.unasked,
        source=row.source,
        # From 0.24 the layer asks the parallel config, not the model class.
        rebalances=parallel.enable_eplb and (release >= (0, 24, 0) or row.passes_eplb(release)),
        all2all=active,
        quantized=row.quantized,
    )


def _limit(spec: MoESpec, row: ClassRow, release: Release) -> float | None:
    if spec.swiglu_limit is None or not row.clamps:
        return None
    return spec.swiglu_limit if release >= (0, 22, 0) else None


def _refuse_late(platform: str, release: Release) -> EngineRefusal | None:
    if release >= refusals.UNGATED_FIRST:
        return None
    return refusals.refuse_ungated(platform, release)


def _with_lora(
    plain: LayerQuery | EngineRefusal,
    settled: Settled | EngineRefusal,
    model: ModelSpec,
    deployment: Deployment,
    release: Release,
    setting: Setting,
) -> tuple[EngineRefusal | None, EngineError | None]:
    """The refusal of adapters, at once and late: VllmConfig looks at them after ModelConfig."""
    late = (
        not isinstance(settled, EngineRefusal)
        or settled.after == "VllmConfig"
        or settled.stage == "model"
    )
    if not late and isinstance(plain, EngineRefusal) and plain.stage != "model":
        return None, None
    error = options.rejects_lora(deployment, release)
    if error is not None:
        refused = EngineRefusal("config", error, "that backend has no LoRA", "ModelConfig")
        return refused, None
    served = served_by(model, release)
    if not late:
        return None, served.lora_crash
    refusal = served.lora or refusals.refuse_inkling_lora(model, setting.environment)
    return refusal, served.lora_crash


def _activation(spec: MoESpec, row: ClassRow) -> str:
    name = row.activation or spec.activation
    return name if spec.gated else f"{name}_no_mul"


def _width(spec: MoESpec, row: ClassRow, deployment: Deployment) -> int:
    """Expert width over all ranks, with the padding that the model class adds."""
    tensor = deployment.tensor_parallel_size
    if tensor == 1 or deployment.expert_parallel:
        return spec.intermediate_size
    padded = spec.intermediate_size // tensor < row.least_width
    return row.least_width * tensor if padded else spec.intermediate_size


def _hidden_size(hidden: int, dtype: str, parallel: Parallel, release: Release) -> int | None:
    """Width that the layer announces; None where the all2all cannot carry it.

    Up to 0.18 FusedMoE rounds up for the all2all before it asks the oracle, afterwards later.
    """
    if not (parallel.use_ep and parallel.dp_size > 1) or release >= (0, 19, 0):
        return hidden
    all2all = parallel.all2all_backend
    if all2all == "deepep_high_throughput":
        unit = 512 // _ITEM_SIZE[dtype]
        return -(-hidden // unit) * unit
    if all2all == "deepep_low_latency" or (all2all == "nixl_ep" and release >= (0, 18, 0)):
        return next((width for width in _LOW_LATENCY_WIDTHS if width >= hidden), None)
    return hidden


def _assumed(spec: MoESpec, row: ClassRow) -> tuple[str, ...]:
    if row.activation is None or row.activation == spec.activation:
        return row.assumed
    if {row.activation, spec.activation} <= {"gelu", "gelu_tanh"}:
        return row.assumed
    note = f"the model class runs {row.activation}, whatever the checkpoint says"
    return (*row.assumed, f"{note} ({spec.activation})")
