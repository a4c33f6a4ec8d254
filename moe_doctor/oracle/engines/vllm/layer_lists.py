"""What Transformers does not read: words in a list of one per layer, their number, a null.

Sources: layer_type_validation of Transformers 4.57 (vLLM 0.16.0 to 0.18.1) and
PreTrainedConfig.validate_layer_type of the 5.x that came with 0.19.0 to 0.33.0; vLLM's own config
classes under transformers_utils/configs.
"""

from __future__ import annotations

from moe_doctor.core.release import Release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import ModelSpec
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal

# Until then each config class counted by itself, and few did.
_COUNTED_BY_ALL: Release = (0, 19, 0)
_COUNTED_EARLIER = frozenset({"gpt_oss", "qwen3_5_moe"})
# From then on the key is named, and `mlp_layer_types` is counted as well.
_KEY_NAMED: Release = (0, 23, 0)
# vLLM's own class counts until 0.31.0, where ModelConfig turns the error into its own.
_WRAPPED = frozenset({"qwen3_5_moe"})
_UNWRAPPED: Release = (0, 32, 0)
# Config classes of vLLM's own that count nothing.
_UNCOUNTED = frozenset(
    {
        "afmoe",
        "bailing_moe_v3_vl",
        "beam",
        "dory",
        "hy_v4",
        "laguna",
        "lfm2_moe",
        "muse_spark",
        "qwen3_next",
        "step3p5",
        "step5",
    }
)
# Words of `layer_types` -> the releases whose Transformers takes them (ALLOWED_LAYER_TYPES, later
# ALLOWED_ATTN_LAYER_TYPES and _LEGACY_LAYER_TYPE_REMAP of its configuration_utils.py).
_ALWAYS: Release = (999, 0, 0)
_WORDS: dict[str, tuple[Release, Release]] = {
    "compressed_sparse_attention": ((0, 20, 2), _ALWAYS),
    "heavily_compressed_attention": ((0, 20, 2), _ALWAYS),
    "deepseek_sparse_attention": ((0, 23, 0), _ALWAYS),
    "minimax_m3_sparse": ((0, 23, 0), _ALWAYS),
    "hybrid_sliding": ((0, 25, 0), _ALWAYS),
    "window_attention": ((0, 27, 0), _ALWAYS),
    "qwen_sparse_attention": ((0, 28, 0), _ALWAYS),
    "indexed_attention": ((0, 32, 0), _ALWAYS),
    "reference_sliding_attention": ((0, 33, 0), _ALWAYS),
    "dense": (_COUNTED_BY_ALL, (0, 27, 0)),
    "sparse": (_COUNTED_BY_ALL, (0, 27, 0)),
}
_NEVER: tuple[Release, Release] = (_ALWAYS, _ALWAYS)

# Transformers 5.15 keeps Gemma 4's head sizes per layer (they differ in layers of full attention),
# and refuses to name one for all.
_PER_LAYER: Release = (0, 27, 0)
_WIDE = ("full_attention",)
_GEMMA4: tuple[Release, Release] = ((0, 27, 0), (0, 28, 0))
_AMBIGUOUS = (
    "'head_dim' is a per-layer attribute and may vary across layers. Access it via the individual "
    "layer configs instead (e.g. config.per_layer_config[i].head_dim)."
)


def refuse_head_sizes(model: ModelSpec, release: Release) -> EngineRefusal | None:
    """What 0.27 raises about Gemma 4 with the Transformers of its day (get_head_size)."""
    since, until = _GEMMA4
    if not model.model_type.startswith("gemma4") or not since <= release < until:
        return None
    error = EngineError("AmbiguousGlobalPerLayerAttributeError", _AMBIGUOUS)
    reason = "Transformers 5.15 does not read Gemma 4 for this release; install an older one"
    return EngineRefusal("config", error, reason)


def refuse_null(model: ModelSpec, release: Release) -> EngineRefusal | None:
    """PretrainedConfig.to_dict of Transformers 4.57 calls whatever is no dictionary."""
    if not model.beside.null_quantization or release >= _COUNTED_BY_ALL:
        return None
    error = EngineError("AttributeError", "'NoneType' object has no attribute 'to_dict'")
    reason = "quantization_config is null, which Transformers 4.57 does not read; leave the key out"
    return EngineRefusal("config", error, reason)


def refuse_layer_list(model: ModelSpec, release: Release) -> EngineRefusal | None:
    """What reading config.json raises about the list, or None."""
    uneven, kind = model.beside.uneven_list, model.model_type
    if model.own_config or kind in _UNCOUNTED:
        return None
    odd = _refuse_words(model.beside.odd_words, kind, release)
    if odd is not None or uneven is None:
        return odd
    key, words = uneven
    length = len(words)
    if release < _COUNTED_BY_ALL and kind not in _COUNTED_EARLIER:
        return None
    if release < _KEY_NAMED and key != "layer_types":
        return None
    name = f"`{key}`" if release >= _KEY_NAMED else "layer types"
    text = (
        f"`num_hidden_layers` ({model.num_layers}) must be equal to the number of {name} ({length})"
    )
    reason = f"{key} has {length} entries for {model.num_layers} layers; shorten the list as well"
    beyond = [n for n, word in enumerate(words) if n >= model.num_layers and word in _WIDE]
    if kind == "gemma4" and release >= _PER_LAYER and beyond:
        text = (
            "`per_layer_config` keys must be integer layer indices in the range "
            f"[0, {model.num_layers}); got {beyond}."
        )
        message = f"1 validation error for ModelConfig\n  Value error, {text}"
        error = EngineError("ValidationError", message)
        return EngineRefusal("config", error, reason)
    return _validator(text, reason, kind, release)


def _refuse_words(words: tuple[str, ...], kind: str, release: Release) -> EngineRefusal | None:
    """Every word is looked at before they are counted."""
    if not words or release < _COUNTED_BY_ALL:
        return None
    for word in words:
        since, until = _WORDS.get(word, _NEVER)
        if not since <= release < until:
            reason = f"the Transformers of this release's day does not know {word!r} in layer_types"
            return _validator("The `layer_types` entries must be in (", reason, kind, release)
    return None


def _validator(text: str, reason: str, kind: str, release: Release) -> EngineRefusal:
    wrapped = kind in _WRAPPED and release < _UNWRAPPED
    if wrapped or release < _COUNTED_BY_ALL:
        message = f"1 validation error for ModelConfig\n  Value error, {text}"
        return EngineRefusal("config", EngineError("ValidationError", message), reason)
    message = f"Class validation error for validator 'validate_layer_type':\n    ValueError: {text}"
    error = EngineError("StrictDataclassClassValidationError", message)
    return EngineRefusal("config", error, reason)
