"""Sizes of the MLPs beside attention and routed experts: shared, dense and of a vision tower.

No answer about experts depends on them, but an engine may refuse to build them. What the config
leaves out stays None: nothing here fails on a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.spec import BesideSpec
from moe_doctor.models.fields import MAX_COUNT, MAX_LAYERS, read_size
from moe_doctor.models.sections import Sections
from moe_doctor.models.shared_experts import COUNT_KEYS

_SHARED_WIDTHS = (
    "shared_expert_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "shared_intermediate_size",
)
_ACTIVATIONS = ("hidden_activation", "hidden_act")
# Keys whose lists Transformers compares with the number of layers.
_LAYER_LISTS = ("layer_types", "mlp_layer_types")
# Words that every Transformers from 5.5 on takes in `layer_types`, older spellings included.
_PLAIN_WORDS = frozenset(
    {
        "attention",
        "chunked_attention",
        "conv",
        "full_attention",
        "hybrid",
        "linear_attention",
        "mamba",
        "moe",
        "sliding_attention",
    }
)


def read_beside(sections: Sections) -> BesideSpec:
    """Read what the language model's section and the vision tower's say."""
    text = sections.text
    vision = sections.outer.get("vision_config")
    return BesideSpec(
        hidden_act=_hidden_act(text),
        shared_width=_shared_width(text),
        dense_width=read_size(
            text, "dense_intermediate_size", "intermediate_size", "ffn_hidden_size"
        ),
        vision_width=read_size(vision, "intermediate_size")
        if isinstance(vision, Mapping)
        else None,
        uneven_list=_uneven_list(text),
        odd_words=_odd_words(text),
        tied=_tied(sections),
        null_quantization=any(
            "quantization_config" in one and one["quantization_config"] is None
            for one in sections.chain
        ),
    )


def _tied(sections: Sections) -> bool:
    """vLLM ties LFM2's head whatever the config says (lfm2_moe.py), Gemma 4's by default; a
    wrapper's word goes before its language model's (config/vllm.py with_hf_config)."""
    kind = sections.text.get("model_type")
    return kind == "lfm2_moe" or (
        kind == "gemma4_text" and sections.outer.get("tie_word_embeddings", True) is True
    )


def _hidden_act(text: Mapping[str, Any]) -> str:
    found = (text[key] for key in _ACTIVATIONS if isinstance(text.get(key), str))
    return str(next(found, ""))[:64]


def _shared_width(text: Mapping[str, Any]) -> int | None:
    count = next((text[key] for key in COUNT_KEYS if _is_number(text.get(key))), None)
    # openpangu.py multiplies the routed experts' width, whatever the other keys say.
    widths = () if str(text.get("model_type")).lower().startswith("pangu") else _SHARED_WIDTHS
    for key in widths:
        if _is_number(text.get(key)):
            return int(text[key]) * (1 if count is None else int(count))
    # Step-3, 3.5 and Granite: the width alone is given.
    for key in ("share_expert_dim", "shared_intermediate_size"):
        if _is_number(text.get(key)):
            return int(text[key])
    width = read_size(text, "moe_intermediate_size")
    return None if width is None or count is None else width * int(count)


def _uneven_list(text: Mapping[str, Any]) -> tuple[str, tuple[str, ...]] | None:
    layers = read_size(text, "num_hidden_layers")
    for key in _LAYER_LISTS:
        words = text.get(key)
        if layers is not None and isinstance(words, (list, tuple)) and len(words) != layers:
            return key, tuple(str(word)[:64] for word in words[:MAX_LAYERS])
    return None


def _odd_words(text: Mapping[str, Any]) -> tuple[str, ...]:
    words = text.get("layer_types")
    if not isinstance(words, (list, tuple)):
        return ()
    found = dict.fromkeys(str(word)[:64] for word in words[:MAX_LAYERS])
    return tuple(word for word in found if word not in _PLAIN_WORDS)[:8]


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
