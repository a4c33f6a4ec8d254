"""What a release raises about an architecture or a layer before any oracle is asked.

Sources: model_executor/models/registry.py, config/lora.py, the model classes, fused_moe/layer.py
and fused_moe/config.py, releases 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.query import Parallel
from moe_doctor.core.record import record
from moe_doctor.core.release import Release, format_release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import ModelSpec, MoESpec
from moe_doctor.oracle.engines.vllm.architectures import lora as lora_table
from moe_doctor.oracle.engines.vllm.architectures import registered
from moe_doctor.oracle.engines.vllm.architectures.hidden_act import reject_hidden_act
from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow

# fused_moe/activation.py MoEActivation: what each release can name (gated forms).
_ACTIVATIONS: dict[str, Release] = {
    "silu": (0, 16, 0),
    "gelu": (0, 16, 0),
    "relu2": (0, 16, 0),
    "swigluoai": (0, 16, 0),
    "swiglustep": (0, 16, 0),
    "gelu_tanh": (0, 21, 0),
    "swigluoai_uninterleave": (0, 24, 0),
    "situ": (0, 27, 0),
}

_MULTIMEM = "INKLING_MULTIMEM_AR"
# deepseek_v4.py (later models/deepseek_v4/nvidia/model.py): quantization_config["scale_fmt"].
_SCALE_FORMAT_LAST: Release = (0, 23, 0)

UNGATED_FIRST: Release = (0, 24, 0)
"""From then on experts without a gate are refused before their method is made."""


@record
class EngineRefusal:
    """What the release raises before any oracle is asked."""

    stage: Literal["args", "config", "model"]
    """Argument parser, VllmConfig and its parts, or the model class."""
    error: EngineError
    """The exception."""
    reason: str
    """One sentence for a reader, with the first release that accepts it where one is known."""
    after: Literal["", "ModelConfig", "VllmConfig"] = ""
    """Whose reading of the quantization comes first; what it refuses is what the user meets."""
    by_linear: bool = False
    """Whether linear layers raise it: then it holds for experts that are left out as well."""
    by_experts: bool = False
    """Whether the experts raise it about rebalancing, once other layers are built."""


def refuse_architecture(
    architecture: str, model_type: str, own_config: bool, release: Release
) -> EngineRefusal:
    """What ModelConfig says about a name that the registry lacks."""
    error = registered.refusal(architecture, model_type, release, own_config=own_config)
    name = architecture or "a model without an architecture"
    first = registered.first_release(architecture, release)
    last = registered.last_release(architecture, release)
    reason = f"vLLM {format_release(release)} does not know {name}"
    if first is not None:
        reason += f"; {format_release(first)} is the first that does"
    elif last is not None:
        reason += f"; {format_release(last)} was the last that did"
    return EngineRefusal("config", error, reason)


def refuse_text_architecture(architecture: str, release: Release) -> EngineRefusal:
    """What a wrapper raises whose language model the registry lacks (registry.py)."""
    text = f"Model architectures ['{architecture}'] are not supported for now."
    name = format_release(release)
    reason = f"vLLM {name} does not know the language model {architecture}"
    first = registered.first_release(architecture, release)
    if first is not None:
        reason += f"; {format_release(first)} is the first that does"
    return EngineRefusal("model", EngineError("ValueError", text), reason)


def refuse_class(
    row: ClassRow, deployment: Deployment, *, sequence_parallel: bool
) -> EngineRefusal | None:
    """What the model class raises before it builds any layer; `sequence_parallel` as deployed."""
    if row.refused is not None:
        return EngineRefusal("model", EngineError(*row.refused), f"{row.source} cannot be built")
    used = (deployment.enable_eplb, sequence_parallel)
    said = (text for text, is_used in zip(row.rejects, used, strict=True) if is_used and text)
    text = next(said, "")
    if text:
        error = EngineError("NotImplementedError", text)
        return EngineRefusal("model", error, f"{row.source} was not tried in that deployment")
    if row.unsharded and deployment.tensor_parallel_size > 1:
        text = (
            f"<class '{row.unsharded}'> does not support tensor parallel. See "
            "https://docs.vllm.ai/en/latest/models/supported_models.html"
            "#writing-custom-models for instructions on how to add support yourself."
        )
        reason = "Transformers' class has no plan for tensor parallelism"
        return EngineRefusal("model", EngineError("ValueError", text), reason)
    return None


def refuse_scale_format(model: ModelSpec, row: ClassRow, release: Release) -> EngineRefusal | None:
    """Until 0.22 DeepSeek-V4 reads a key that its own FP8 checkpoints alone have."""
    declared = model.declared
    if declared is None or "deepseek_v4" not in row.source or release >= _SCALE_FORMAT_LAST:
        return None
    if declared.source != "config.json" or "scale_fmt" in declared.details:
        return None
    reason = "this release wants scale_fmt in quantization_config, however it is quantized"
    return EngineRefusal("model", EngineError("KeyError", "'scale_fmt'"), reason)


def refuse_hidden_act(model: ModelSpec, row: ClassRow, release: Release) -> EngineRefusal | None:
    """What the class raises about the activation of its shared experts and dense layers."""
    error = reject_hidden_act(model, row, release)
    if error is None:
        return None
    reason = (
        f"{row.source} has no {model.beside.hidden_act} for its shared experts and dense layers"
    )
    return EngineRefusal("model", error, reason)


def refuse_lora(model: ModelSpec, row: ClassRow | None, release: Release) -> EngineRefusal | None:
    """From 0.33 VllmConfig looks for SupportsLoRA; before, the worker does after loading."""
    file = "" if row is None else row.source.partition(" ")[0]
    if file in lora_table.READS_EXTRA_VOCABULARY and release < lora_table.EXTRA_VOCABULARY_LAST:
        text = "'LoRAConfig' object has no attribute 'lora_extra_vocab_size'"
        reason = f"{file} asks for an option of adapters that vLLM no longer has; 0.29.0 does not"
        return EngineRefusal("model", EngineError("AttributeError", text), reason)
    name = registered.registered_name(model.architecture, release)
    if lora_table.supports_lora(name, release) or release < lora_table.REFUSED_BY_CONFIG:
        return None
    error = lora_table.refused_by_config(model.architecture, model.id)
    reason = f"{model.architecture} has no LoRA support in vLLM"
    return EngineRefusal("config", error, reason, "ModelConfig")


def refuse_inkling_lora(model: ModelSpec, environment: Mapping[str, str]) -> EngineRefusal | None:
    """Inkling's all-reduce leaves adapters out, and LoRAConfig wants it off (0.26 on)."""
    if "Inkling" not in model.architecture or environment.get(_MULTIMEM, "1") == "0":
        return None
    text = (
        f"Inkling LoRA requires {_MULTIMEM}=0: the Lamport fused-collective path bypasses the "
        "LoRA-wrapped wo_ud and dense down_proj layers on decode-sized batches, silently dropping "
        f"their LoRA. Set {_MULTIMEM}=0."
    )
    message = f"1 validation error for VllmConfig\n  Value error, {text}"
    reason = f"adapters need {_MULTIMEM}=0 in the server's environment"
    return EngineRefusal("config", EngineError("ValidationError", message), reason, "ModelConfig")


def refuse_layer(
    spec: MoESpec,
    row: ClassRow,
    activation: str,
    width: int,
    deployment: Deployment,
    parallel: Parallel,
    platform: str,
    release: Release,
) -> EngineRefusal | None:
    """What the model class and FusedMoE raise while they build the layer."""
    tensor = deployment.tensor_parallel_size
    if row.experts_bound_tp and tensor > spec.num_experts:
        text = f"Tensor parallel size {tensor} is greater than the number of experts"
        error = EngineError("ValueError", f"{text} {spec.num_experts}.")
        return EngineRefusal("model", error, "each rank needs at least one expert")
    rebalances = parallel.enable_eplb and row.passes_eplb(release)
    experts = spec.num_experts + (deployment.num_redundant_experts if rebalances else 0)
    if rebalances and experts % parallel.ep_size:
        text = "EPLB currently only supports even distribution of experts across ranks."
        error = EngineError("AssertionError", text)
        if release >= (0, 22, 0):
            ranks = f" Got {experts} experts and {parallel.ep_size} EP ranks."
            error = EngineError("ValueError", text + ranks)
        reason = "the experts do not divide evenly"
        return EngineRefusal("model", error, reason, by_experts=True)
    if width % parallel.tp_size:
        reason = (
            f"the expert width {width} does not divide by the "
            f"{parallel.tp_size} ranks that share it"
        )
        return EngineRefusal("model", EngineError("AssertionError", ""), reason)
    return _refuse_activation(activation, platform, release)


def _refuse_activation(activation: str, platform: str, release: Release) -> EngineRefusal | None:
    since = _ACTIVATIONS.get(activation.removesuffix("_no_mul"))
    if (since is None or since > release) and release >= (0, 17, 0):
        # The class adds `_no_mul` to the names that it knows, and to no other.
        name = activation if since is not None else activation.removesuffix("_no_mul")
        error = EngineError("ValueError", f"Unknown MoE activation: {name!r}.")
        reason = f"vLLM {format_release(release)} has no MoE activation {activation}"
        return EngineRefusal("model", error, reason)
    if not activation.endswith("_no_mul") or release < UNGATED_FIRST:
        return None
    return refuse_ungated(platform, release)


def refuse_ungated(platform: str, release: Release) -> EngineRefusal | None:
    """What FusedMoE raises about experts without a gate on a platform, or None.

    From 0.24.0 its config looks at it first; until then the layer does, once it has its method.
    """
    widened = release >= UNGATED_FIRST
    if platform in (("cuda", "rocm", "xpu") if widened else ("cuda", "rocm")):
        return None
    text = "is_act_and_mul=False is supported only for CUDA"
    text += ", XPU and ROCm for now" if widened else " and ROCm for now"
    error = EngineError("NotImplementedError", text)
    return EngineRefusal("model", error, f"experts without a gate do not run on {platform}")
