"""A list of one word per layer that has not as many words as the model has layers.

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


def refuse_layer_list(model: ModelSpec, release: Release) -> EngineRefusal | None:
    """What reading config.json raises about the list, or None."""
    uneven, kind = model.beside.uneven_list, model.model_type
    if uneven is None or model.own_config or kind in _UNCOUNTED:
        return None
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
    beyond = [n for n, word in enumerate(words) if n >= model.num_layers and word in _WIDE]
    if kind == "gemma4" and release >= _PER_LAYER and beyond:
        text = (
            "`per_layer_config` keys must be integer layer indices in the range "
            f"[0, {model.num_layers}); got {beyond}."
        )
        message = f"1 validation error for ModelConfig\n  Value error, {text}"
        error = EngineError("ValidationError", message)
    elif (kind in _WRAPPED and release < _UNWRAPPED) or release < _COUNTED_BY_ALL:
        message = f"1 validation error for ModelConfig\n  Value error, {text}"
        error = EngineError("ValidationError", message)
    else:
        message = (
            f"Class validation error for validator 'validate_layer_type':\n    ValueError: {text}"
        )
        error = EngineError("StrictDataclassClassValidationError", message)
    reason = f"{key} has {length} entries for {model.num_layers} layers; shorten the list as well"
    return EngineRefusal("config", error, reason)
