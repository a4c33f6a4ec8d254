"""What a model and a deployment come to before a layer's sizes are looked at.

In the order in which the release would refuse: arguments, ParallelConfig, ModelConfig and
VllmConfig, then the model class. LoRA's own checks are in `layers`.
"""

from __future__ import annotations

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.eras import ByEra
from moe_doctor.core.kept import Kept
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.query import Parallel
from moe_doctor.core.release import Release, format_release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import AttentionSpec, ModelSpec
from moe_doctor.oracle.engines.vllm import layer_options as options
from moe_doctor.oracle.engines.vllm import layer_refusals as refusals
from moe_doctor.oracle.engines.vllm import start_refusals as start
from moe_doctor.oracle.engines.vllm.architectures import lora as lora_table
from moe_doctor.oracle.engines.vllm.architectures import registered
from moe_doctor.oracle.engines.vllm.architectures.index import find_row
from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow
from moe_doctor.oracle.engines.vllm.interned import one_parallel
from moe_doctor.oracle.engines.vllm.layer_lists import (
    refuse_head_sizes,
    refuse_layer_list,
    refuse_null,
)
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.linear.tower import refuse_audio, refuse_tower


class Settled(NamedTuple):
    """What does not depend on the layer's geometry."""

    row: ClassRow
    """The model class, as the release states it."""
    parallel: Parallel
    """Group sizes of the experts."""
    dtype: str
    """Dtype of the hidden states."""
    moe_backend: str
    """`--moe-backend` as the argument parser hands it on."""
    unasked: str
    """Why the model class asks no oracle at all, when it does not."""


class ServedBy(NamedTuple):
    """What a release makes of a model's class, whatever the deployment."""

    refused: EngineRefusal | None
    """No class, or a list in the config that it does not take."""
    row: ClassRow | None
    """The model class; None where its text model is not known."""
    hidden_act: EngineRefusal | None
    """An activation that the class does not have."""
    lora: EngineRefusal | None
    """What is raised with adapters, once the config is read."""
    lora_crash: EngineError | None
    """What is raised with adapters, once the weights are loaded."""


# vLLM's own configs hold the multimodal type alone (transformers_utils/config.py), and Transformers
# 4.57 neither.
_TEXT_TYPE = "qwen3_5_moe_text"
_TEXT_TYPE_FIRST: Release = (0, 19, 0)
_SERVED: Kept[ByEra[ServedBy]] = Kept(256)


def served_by(model: ModelSpec, release: Release) -> ServedBy:
    """The model's class under a release; looked up once."""
    known = _SERVED.find(model, None) or _SERVED.keep(model, None, ByEra())
    return known.ask(release, _serve, model)


def _serve(model: ModelSpec, release: Release) -> ServedBy:
    architecture, crash = model.architecture, None
    if not lora_table.supports_lora(registered.registered_name(architecture, release), release):
        crash = lora_table.refused_at_load(architecture)
    # vLLM guesses a missing architecture from the model type (transformers_utils/config.py).
    backend = registered.serving_class(architecture, release) if architecture else "native"
    unread = model.model_type == _TEXT_TYPE and not model.own_config and release < _TEXT_TYPE_FIRST
    if backend is None or unread:
        refused = refusals.refuse_architecture(
            architecture, model.model_type, model.own_config, release
        )
        return ServedBy(refused, None, None, refusals.refuse_lora(model, None, release), crash)
    listed = refuse_layer_list(model, release) or refuse_null(model, release)
    listed = listed or refuse_head_sizes(model, release)
    row = find_row(architecture, release, backend, model.text_architecture)
    hidden_act = None if row is None else refusals.refuse_hidden_act(model, row, release)
    return ServedBy(listed, row, hidden_act, refusals.refuse_lora(model, row, release), crash)


def settle(
    model: ModelSpec,
    deployment: Deployment,
    release: Release,
    platform: str,
    capability: tuple[int, int] | None,
) -> Settled | EngineRefusal:
    """Everything that does not depend on the layer's geometry, without LoRA.

    `capability` is the CUDA compute capability, where it is known.
    """
    architecture, attention = model.architecture, model.attention
    error = options.refuse_arguments(deployment, release)
    if error is not None:
        return EngineRefusal("args", error, f"vLLM {format_release(release)} has no such value")
    served = served_by(model, release)
    if served.refused is not None:
        return served.refused
    row = served.row
    refused = _refuse_config(row, attention, deployment, release, platform)
    if refused is not None:
        return refused
    asked = options.normalize_moe_backend(deployment.moe_backend)
    refused = start.refuse_megakernel(asked, architecture, release)
    if refused is not None:
        return refused
    all2all = options.effective_all2all(deployment, release)
    if isinstance(all2all, EngineError):
        return _late_config(all2all, "the two options exclude each other")
    dtype = options.resolve_dtype(deployment.dtype, model.dtype, platform, capability)
    if all2all == "moonep" and not isinstance(dtype, EngineError):
        error = options.rejects_moonep(deployment, dtype)
        if error is not None:
            return _late_config(error, "moonep does not carry that deployment")
    error = options.rejects_dbo(deployment, all2all, platform, release)
    if error is not None:
        return _late_config(error, "that all2all backend does not overlap with computing")
    refused = start.refuse_context_parallel(attention, deployment, release)
    if refused is not None:
        return refused
    if isinstance(dtype, EngineError):  # said by the worker, before it builds the model
        return _late_config(dtype, "this GPU cannot compute in bfloat16")
    if row is None:
        return refusals.refuse_text_architecture(model.text_architecture, release)
    shares = options.uses_sequence_parallel(deployment, all2all, release)
    refused = refusals.refuse_class(row, deployment, sequence_parallel=shares)
    if refused is None:
        refused = refusals.refuse_scale_format(model, row, release)
    if refused is None:
        refused = refuse_audio(model, deployment.tensor_parallel_size, release)
    if refused is None:
        refused = start.refuse_mega_moe(asked, row, deployment)
    if refused is None:
        refused = refuse_tower(model, deployment.tower_ranks)
    if refused is None:
        refused = start.refuse_attention(attention, row, deployment)
    if refused is None:
        refused = served.hidden_act
    if refused is not None:
        return refused
    unasked = row.unasked
    if start.serves_mega_moe(asked, row):
        unasked = "runs DeepGEMM's megakernel itself"
    return Settled(
        row=row,
        parallel=_parallel(row, deployment, all2all, release),
        dtype=dtype,
        moe_backend=asked,
        unasked=f"{row.source} {unasked}" if unasked else "",
    )


def _refuse_config(
    row: ClassRow | None,
    attention: AttentionSpec,
    deployment: Deployment,
    release: Release,
    platform: str,
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
    if sequence and not row.sequence_parallel:
        sequence = release < (0, 17, 0)
    return one_parallel(
        tp_size=1 if use_ep else ranks,
        dp_size=data,
        pcp_size=prefill,
        ep_size=ranks if use_ep else 1,
        sp_size=tensor if sequence else 1,
        use_ep=use_ep,
        all2all_backend=all2all,
        enable_eplb=deployment.enable_eplb,
    )
