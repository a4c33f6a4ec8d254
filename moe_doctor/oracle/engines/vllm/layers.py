"""From a model, a deployment and a release to the question that vLLM's oracle is asked.

In the order in which the release would refuse: arguments, ParallelConfig, ModelConfig and
VllmConfig, then the model class and its FusedMoE layer. What it asks itself afterwards (the oracle)
is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.query import MoEQuery, Parallel
from moe_doctor.core.record import record
from moe_doctor.core.release import Release, format_release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import AttentionSpec, ModelSpec, MoESpec
from moe_doctor.oracle.engines.vllm import layer_options as options
from moe_doctor.oracle.engines.vllm import layer_refusals as refusals
from moe_doctor.oracle.engines.vllm import start_refusals as start
from moe_doctor.oracle.engines.vllm.architectures import lora as lora_table
from moe_doctor.oracle.engines.vllm.architectures import registered
from moe_doctor.oracle.engines.vllm.architectures.index import find_row
from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.layer_routing import routing_method
from moe_doctor.oracle.engines.vllm.parallel import active_all2all

__all__ = ["EngineRefusal", "LayerQuery", "build_query"]

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
    spec = model.moe_layers[index].spec
    settled = _settle(
        model.architecture,
        model.text_architecture,
        model.model_type,
        model.own_config,
        model.dtype,
        model.attention,
        deployment,
        release,
        platform,
        lora,
        capability,
    )
    if not isinstance(settled, EngineRefusal) or settled.after == "VllmConfig":
        refused = refusals.refuse_lora(model, release) if lora else None
        if refused is not None:
            return refused
    if isinstance(settled, EngineRefusal):
        return settled
    row, parallel = settled.row, settled.parallel
    refused = refusals.refuse_class(row, deployment)
    if refused is not None:
        return refused
    width = _width(spec, row, deployment)
    activation = _activation(spec, row)
    refused = refusals.refuse_layer(
        spec, row, activation, width, deployment, parallel, platform, release
    )
    if refused is not None:
        return refused
    active = active_all2all(parallel, release)
    refused = start.refuse_mori(active, platform, environment or {})
    if refused is not None:
        return refused
    hidden = _hidden_size(spec.hidden_size, settled.dtype, parallel, release)
    if hidden is None:
        text = f"Hidden Size {spec.hidden_size} is greater than the maximum supported hidden size"
        error = EngineError("ValueError", f"{text} {_LOW_LATENCY_WIDTHS[-1]}")
        reason = f"{parallel.all2all_backend} has no buffers of that width"
        return EngineRefusal("model", error, reason)
    return LayerQuery(
        query=MoEQuery(
            num_experts=spec.num_experts,
            top_k=spec.top_k,
            hidden_size=hidden,
            intermediate_size_per_partition=width // parallel.tp_size,
            # Rank 0 takes one of the remainder (determine_expert_map).
            num_local_experts=-(-spec.num_experts // parallel.ep_size),
            activation=activation,
            routing_method=_method(spec, row, release, environment),
            router_logits_dtype=row.router_dtype or settled.dtype,
            in_dtype=settled.dtype,
            parallel=parallel,
            lora=lora,
            has_bias=spec.has_bias,
            moe_backend=settled.moe_backend,
            # FusedMoEConfig has the field from 0.31, the clamp from 0.22.
            has_hash_routing=spec.routing.has_hash_layers and release >= (0, 31, 0),
            swiglu_limit=spec.swiglu_limit if row.clamps and release >= (0, 22, 0) else None,
            situ_betas=spec.situ_betas,
        ),
        assumed=_assumed(spec, row),
        crash=settled.crash,
        unasked=settled.unasked,
        source=row.source,
        # From 0.24 the layer asks the parallel config, not the model class.
        rebalances=parallel.enable_eplb and (release >= (0, 24, 0) or row.passes_eplb(release)),
    )


@record
class _Settled:
    """What does not depend on the layer's geometry."""

    row: ClassRow
    parallel: Parallel
    dtype: str
    moe_backend: str
    crash: EngineError | None
    unasked: str


@lru_cache(maxsize=4096)
def _settle(
    architecture: str,
    text_architecture: str,
    model_type: str,
    own_config: bool,
    checkpoint_dtype: str,
    attention: AttentionSpec,
    deployment: Deployment,
    release: Release,
    platform: str,
    lora: bool,
    capability: tuple[int, int] | None,
) -> _Settled | EngineRefusal:
    """Everything that does not depend on the layer's geometry, once per deployment."""
    error = options.refuse_arguments(deployment, release)
    if error is not None:
        return EngineRefusal("args", error, f"vLLM {format_release(release)} has no such value")
    # vLLM guesses a missing architecture from the model type (transformers_utils/config.py).
    backend = registered.serving_class(architecture, release) if architecture else "native"
    if backend is None:
        return refusals.refuse_architecture(architecture, model_type, own_config, release)
    row = find_row(architecture, release, backend, text_architecture)
    refused = _refuse_config(row, attention, deployment, release, platform, lora)
    if refused is not None:
        return refused
    all2all = options.effective_all2all(deployment, release)
    if isinstance(all2all, EngineError):
        return _late_config(all2all, "the two options exclude each other")
    asked = options.normalize_moe_backend(deployment.moe_backend)
    refused = start.refuse_megakernel(asked, architecture, release)
    if refused is not None:
        return refused
    dtype = options.resolve_dtype(deployment.dtype, checkpoint_dtype, platform, capability)
    if all2all == "moonep" and not isinstance(dtype, EngineError):
        error = options.rejects_moonep(deployment, dtype)
        if error is not None:
            return _late_config(error, "moonep does not carry that deployment")
    refused = start.refuse_context_parallel(attention, deployment, release)
    if refused is not None:
        return refused
    if isinstance(dtype, EngineError):  # said by the worker, before it builds the model
        return _late_config(dtype, "this GPU cannot compute in bfloat16")
    if row is None:
        return refusals.refuse_text_architecture(text_architecture, release)
    refused = refusals.refuse_class(row, deployment)
    if refused is None:
        refused = start.refuse_mega_moe(asked, row, deployment)
    if refused is None:
        refused = start.refuse_attention(attention, row, deployment)
    if refused is not None:
        return refused
    name = registered.registered_name(architecture, release)
    crashes = lora and not lora_table.supports_lora(name, release)
    unasked = row.unasked
    if start.serves_mega_moe(asked, row):
        unasked = "runs DeepGEMM's megakernel itself"
    return _Settled(
        row=row,
        parallel=_parallel(row, deployment, all2all, release),
        dtype=dtype,
        moe_backend=asked,
        crash=lora_table.refused_at_load(architecture) if crashes else None,
        unasked=f"{row.source} {unasked}" if unasked else "",
    )


def _refuse_config(
    row: ClassRow | None,
    attention: AttentionSpec,
    deployment: Deployment,
    release: Release,
    platform: str,
    lora: bool,
) -> EngineRefusal | None:
    """ParallelConfig, and VllmConfig up to where it reads the quantization."""
    error = options.refuse_parallel(deployment, platform, release)
    if error is not None:
        reason = "the parallel sizes do not go together"
        return EngineRefusal("config", error, reason, "ModelConfig")
    refused = start.refuse_sizes(attention, deployment, release)
    if refused is not None:
        return refused
    if deployment.expert_parallel and row is not None and not row.expert_parallel:
        text = "Number of experts in the model must be greater than 0 when expert parallelism is"
        error = EngineError(
            "ValidationError",
            f"1 validation error for VllmConfig\n  Value error, {text} enabled.",
        )
        reason = "vLLM does not find the number of experts in this model's config"
        return EngineRefusal("config", error, reason, "ModelConfig")
    error = options.rejects_lora(deployment, release) if lora else None
    if error is not None:
        return EngineRefusal("config", error, "that backend has no LoRA", "ModelConfig")
    return None


def _late_config(error: EngineError, reason: str) -> EngineRefusal:
    return EngineRefusal("config", error, reason, "VllmConfig")


def _parallel(row: ClassRow, deployment: Deployment, all2all: str, release: Release) -> Parallel:
    """FusedMoEParallelConfig.make: DP, PCP and TP are one group for the experts."""
    tensor, data = deployment.tensor_parallel_size, deployment.data_parallel_size
    prefill = deployment.prefill_context_parallel_size
    ranks = tensor * data * prefill
    use_ep = deployment.expert_parallel and ranks > 1
    sequence = options.uses_sequence_parallel(deployment, all2all, release)
    # 0.16 takes the flag from ParallelConfig, whatever the model class does.
    if release >= (0, 17, 0):
        sequence = sequence and row.sequence_parallel
    return Parallel(
        tp_size=1 if use_ep else ranks,
        dp_size=data,
        pcp_size=prefill,
        ep_size=ranks if use_ep else 1,
        sp_size=tensor if sequence else 1,
        use_ep=use_ep,
        all2all_backend=all2all,
        enable_eplb=deployment.enable_eplb,
    )


def _activation(spec: MoESpec, row: ClassRow) -> str:
    name = row.activation or spec.activation
    return name if spec.gated else f"{name}_no_mul"


def _method(
    spec: MoESpec, row: ClassRow, release: Release, environment: Mapping[str, str] | None
) -> str:
    # From 0.33 the simulation wraps the router and leaves the kernels' routing method alone.
    simulated = environment and environment.get("VLLM_MOE_ROUTING_SIMULATION_STRATEGY")
    if simulated and release < (0, 33, 0):
        return "Simulated"
    return routing_method(spec, row, release)


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
    if release >= (0, 19, 0) or not (parallel.use_ep and parallel.dp_size > 1):
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
