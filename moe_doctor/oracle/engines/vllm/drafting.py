"""What a release makes of `--speculative-config`: whose layers draft, and what it refuses.

Sources: config/speculative.py (__post_init__, _verify_args), transformers_utils/configs/eagle.py
and the drafts' classes, releases 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Callable

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.record import replace
from moe_doctor.core.release import Release, format_release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import DraftSpec, ModelSpec
from moe_doctor.oracle.engines.vllm import drafting_tables as tables
from moe_doctor.oracle.engines.vllm import layer_options as options
from moe_doctor.oracle.engines.vllm import start_refusals as start
from moe_doctor.oracle.engines.vllm.architectures import registered
from moe_doctor.oracle.engines.vllm.drafting_tables import DraftClass, draft_class
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal

_HEADS = frozenset({"eagle", "eagle3", "dflash"})
# Until then a tree of tokens could stand for their number.
_LAST_TREE: Release = (0, 21, 0)

# Methods that take the served model's own config for the draft's (config/speculative.py).
_TARGETS_OWN = frozenset({"ngram", "ngram_gpu", "[ngram]", "custom_class"})


def deploy_draft(deployment: Deployment, model: ModelSpec) -> Deployment:
    """The deployment as the draft's layers see it (0.33 _create_draft_vllm_config)."""
    drafting = model.drafting
    if drafting is None or drafting.moe_backend is None:
        return deployment
    return replace(deployment, moe_backend=drafting.moe_backend)


def is_own(drafting: DraftSpec) -> bool:
    """Whether the served model's own MTP layers draft, where the release has a class for them."""
    if drafting.model is not None:
        return False
    if tables.names_mtp(drafting.method):
        return True
    return drafting.named and drafting.method in (None, "draft_model", "medusa", "mlp_speculator")


def refuse_drafting(
    model: ModelSpec,
    deployment: Deployment,
    release: Release,
    machine: MachineSnapshot,
    read: Callable[[ModelSpec, str], EngineRefusal | None],
) -> EngineRefusal | None:
    """What SpeculativeConfig says about the model's `drafting`, or None.

    `read`: what ModelConfig says to a name of `--quantization` for a checkpoint.
    """
    drafting = model.drafting
    if drafting is None:
        return None
    error = _refuse_fields(drafting, release)
    if error is not None:
        name = format_release(release)
        return _refused(error, f"vLLM {name} does not take that --speculative-config")
    method = "mtp" if tables.names_mtp(drafting.method) else drafting.method
    if method is None and release >= (0, 17, 0):
        method = "draft_model"
    count = drafting.num_tokens
    if not drafting.named and method not in {*tables.WITHOUT_MODEL, "mtp"} and count is not None:
        text = "num_speculative_tokens was provided but without speculative model."
        return _refused(_validation(text), f"{method or 'drafting'} needs a model of its own")
    if method == "suffix":
        if machine.version("arctic-inference") is not None:
            return None
        text = (
            "Arctic Inference is required for suffix decoding. "
            "Install via `pip install arctic-inference==0.1.1`."
        )
        return _refused(EngineError("ImportError", text), "suffix decoding needs that package")
    draft = drafting.other if drafting.model is not None else model
    asks = drafting.named or (method == "mtp" and count is not None)
    if asks and draft is not None and method not in tables.WITHOUT_MODEL:
        refused = _refuse_draft(model, draft, drafting, method, deployment, release, read)
        if refused is not None:
            return refused
    if count is None and (draft is model or method in tables.WITHOUT_MODEL):
        text = (
            "num_speculative_tokens must be provided with speculative model unless the draft "
            "model config contains an n_predict parameter."
        )
        return _refused(_validation(text), "add num_speculative_tokens to --speculative-config")
    if method in _TARGETS_OWN:
        return _refuse_sizes(model, deployment, release)
    return None


def _refuse_draft(
    model: ModelSpec,
    draft: ModelSpec,
    drafting: DraftSpec,
    method: str | None,
    deployment: Deployment,
    release: Release,
    read: Callable[[ModelSpec, str], EngineRefusal | None],
) -> EngineRefusal | None:
    """The same once the draft model's config is read, which may be the served model itself."""
    drafts = draft_class(draft.architecture, draft.model_type, release)
    if draft.model_type.startswith("nemotron_h") and not draft.num_mtp_layers:
        drafts = None
    architecture = draft.architecture if drafts is None else drafts.name
    unknown = drafts is None and registered.serving_class(architecture, release) is None
    if unknown and method not in _HEADS:
        return None  # a draft's own class, which these tables do not hold
    if drafting.quantization is not None:
        # hf_config_override comes first, so that no other method takes the checkpoint over.
        seen = draft if drafts is None else replace(draft, model_type="mtp")
        refused = read(seen, drafting.quantization)
        if refused is not None:
            return replace(refused, error=_for_draft(refused.error))
    steps = None
    if method in _HEADS and tables.knows_method(method, release):
        name, known = tables.head_class(method, architecture, release)
        if not known:
            text = f"Model architectures ['{name}'] are not supported for now."
            return _refused(_validation(text), f"{draft.id} is no draft of that kind")
    elif drafts is not None:
        if drafting.num_tokens is None:
            text = "'>' not supported between instances of 'NoneType' and 'int'"
            reason = "add num_speculative_tokens to --speculative-config"
            return _refused(EngineError("TypeError", text), reason)
        method, steps = "mtp", _steps(drafts, draft, release)
    elif method != "draft_model":
        text = f"Unsupported speculative method: '{method}'"
        reason = f"vLLM {format_release(release)} knows no MTP layers of {draft.architecture}"
        return _refused(EngineError("NotImplementedError", text), reason)
    return (
        _refuse_count(drafting.num_tokens, steps, release)
        or _refuse_ranks(draft, drafting, deployment, release)
        or (_refuse_vocabulary(model, draft) if method == "draft_model" else None)
    )


def _refuse_count(count: int | None, steps: int | None, release: Release) -> EngineRefusal | None:
    """The number of tokens beside the number of MTP layers."""
    if count is None:
        what = "`num_speculative_tokens` was not provided"
        if release < _LAST_TREE:
            what = "neither `speculative_token_tree` nor `num_speculative_tokens` was provided"
        error = _validation(f"A speculative model was provided, but {what}")
        if release < (0, 17, 0):
            text = "'NoneType' object cannot be interpreted as an integer"
            error = EngineError("TypeError", text)
        return _refused(error, "add num_speculative_tokens to --speculative-config")
    if steps == 0:
        error = EngineError("ZeroDivisionError", "integer modulo by zero")
        return _refused(error, "the model's config says that it has no MTP layers")
    if steps is not None and count > steps and count % steps:
        text = f"num_speculative_tokens:{count} must be divisible by n_predict={steps}"
        return _refused(_validation(text), f"the model has {steps} MTP layers, used in turn")
    return None


def _refuse_ranks(
    draft: ModelSpec, drafting: DraftSpec, deployment: Deployment, release: Release
) -> EngineRefusal | None:
    """The draft's tensor-parallel size."""
    ranks = drafting.tensor_parallel_size
    if ranks not in (None, 1, deployment.tensor_parallel_size):
        text = (
            f"speculative_draft_tensor_parallel_size={ranks} cannot be other value than 1 or "
            "target model tensor_parallel_size"
        )
        return _refused(_validation(text), "leave draft_tensor_parallel_size out")
    alone = replace(deployment, tensor_parallel_size=ranks or deployment.tensor_parallel_size)
    refused = _refuse_sizes(draft, alone, release)
    if refused is not None:
        return refused
    # 0.30 is the first to hand expert parallelism on; 0.31 asks first whether there are experts.
    if release[:2] == (0, 30) and deployment.expert_parallel and not draft.moe_layers:
        text = "Number of experts in the model must be greater than 0 when expert parallelism is"
        return _refused(_validation(f"{text} enabled."), f"{draft.id} has no experts")
    return None


def _refuse_sizes(
    draft: ModelSpec, deployment: Deployment, release: Release
) -> EngineRefusal | None:
    """What SpeculativeConfig says about a draft's heads, before VllmConfig says it of the model."""
    refused = start.refuse_sizes(draft.attention, deployment, release)
    if refused is None or refused.error.type != "ValidationError":
        return None
    return replace(refused, error=_for_draft(refused.error))


def _refuse_vocabulary(model: ModelSpec, draft: ModelSpec) -> EngineRefusal | None:
    ours, theirs = model.attention.vocabulary, draft.attention.vocabulary
    if ours is None or theirs is None or ours == theirs:
        return None
    text = (
        "Target and draft model should have the same vocabulary size. Target model "
        f"vocab_size={ours}. Draft model vocab_size={theirs}. Using models with different "
        "tokenizers can cause out-of-bounds errors during speculative decoding."
    )
    return _refused(_validation(text), f"{draft.id} has another vocabulary")


def refuse_draft_class(model: ModelSpec, release: Release) -> EngineRefusal | None:
    """What the class of the model's own draft raises whatever its experts are."""
    drafting = model.drafting
    if drafting is None or not is_own(drafting):
        return None
    drafts = draft_class(model.architecture, model.model_type, release)
    if drafts is None:
        return None
    if drafts.name == "ExaoneMoeMTP" and release < (0, 20, 0):
        text = "ExaoneMoeMTP currently does not support prefix caching"
        reason = "before 0.20.0 it needs --no-enable-prefix-caching"
        return EngineRefusal("model", EngineError("AssertionError", text), reason)
    if drafts.name == "NemotronHMTPModel" and model.num_mtp_layers != 1:
        text = "Only one MTP layer is supported for NemotronH-MTP"
        return EngineRefusal("model", EngineError("AssertionError", text), text)
    if drafts.name == "Qwen3_5MoeMTP" and model.num_mtp_layers == 0:
        # Before 0.30.0 the number inside text_config is not found, and divides nothing.
        text = "No Qwen3Next layer found in the model.layers."
        reason = "the model's config says that it has no MTP layers"
        return EngineRefusal("model", EngineError("RuntimeError", text), reason)
    if drafts.name == "DeepSeekMTPModel" and not model.mtp_declared and release < (0, 26, 0):
        # Transformers' class names a number from the versions of that day on.
        text = "'DeepseekV3Config' object has no attribute 'num_nextn_predict_layers'"
        reason = "the model's config does not say how many MTP layers it has"
        return EngineRefusal("model", EngineError("AttributeError", text), reason)
    return None


def _steps(drafts: DraftClass, model: ModelSpec, release: Release) -> int | None:
    """`n_predict`, or None where the release does not find it."""
    steps = model.num_mtp_layers if model.mtp_declared else None
    match drafts.steps:
        case "one":
            return 1
        case "or one":
            return 1 if steps is None else steps
        case "or none":
            return steps or 0
        case "nested" if release < (0, 30, 0):
            return None
        case _:
            return steps


def _refuse_fields(drafting: DraftSpec, release: Release) -> EngineError | None:
    """What pydantic says about single keys, before they are looked at together."""
    found: list[str] = []
    if drafting.method is not None and not tables.knows_method(drafting.method, release):
        found.append(f"method\n  Input should be {_listed(tables.methods(release))}")
    if drafting.num_tokens is not None and drafting.num_tokens <= 0:
        found.append("num_speculative_tokens\n  Input should be greater than 0")
    ranks = drafting.tensor_parallel_size
    if ranks is not None and ranks < 1:
        text = "Input should be greater than or equal to 1"
        found.append(f"draft_tensor_parallel_size\n  {text}")
    backends = options.moe_backends(release)
    asked = drafting.moe_backend
    if asked is not None and release >= tables.KEYS["moe_backend"][0] and asked not in backends:
        found.append(f"moe_backend\n  Input should be {_listed(backends)}")
    for key in drafting.keys:
        since, gone = tables.KEYS.get(key, (release, None))
        if release < since or (gone is not None and release >= gone):
            found.append(f"{key}\n  Unexpected keyword argument")
    if not found:
        return None
    head = f"{len(found)} validation error{'s' * (len(found) > 1)} for SpeculativeConfig"
    return EngineError("ValidationError", "\n".join((head, *found)))


def _for_draft(error: EngineError) -> EngineError:
    """A config's error, as the config that holds the draft's passes it on."""
    message = error.message
    for name in ("ModelConfig", "VllmConfig"):
        message = message.replace(f"for {name}", "for SpeculativeConfig")
    return EngineError(error.type, message)


def _listed(values: tuple[str, ...]) -> str:
    return f"{', '.join(map(repr, values[:-1]))} or {values[-1]!r}"


def _validation(text: str) -> EngineError:
    head = "1 validation error for SpeculativeConfig"
    return EngineError("ValidationError", f"{head}\n  Value error, {text}")


def _refused(error: EngineError, reason: str) -> EngineRefusal:
    return EngineRefusal("config", error, reason, "ModelConfig")
