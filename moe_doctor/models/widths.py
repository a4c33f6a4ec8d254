"""Widths of the linear layers around the experts: attention's and a vision tower's.

No answer about experts depends on them, but quantized weights have to fit each rank's share, and an
engine that cannot split them does not start. What the config leaves out stays None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.spec import VisionSpec, WidthsSpec
from moe_doctor.models.fields import MAX_LAYERS, read_size
from moe_doctor.models.sections import Sections

_SOFTMAX = ("full_attention", "attention")


def read_widths(sections: Sections) -> WidthsSpec:
    """Read the language model's section and the vision tower's."""
    text = sections.text
    hidden, heads = read_size(text, "hidden_size"), read_size(text, "num_attention_heads")
    head = read_size(text, "qk_nope_head_dim", "head_dim", "attention_head_dim")
    if head is None and hidden is not None and heads is not None:
        head = hidden // heads
    vision = sections.outer.get("vision_config")
    return WidthsSpec(
        hidden=hidden,
        head=head,
        value=read_size(text, "v_head_dim"),
        query_rank=read_size(text, "q_lora_rank", "share_q_dim"),
        key_rank=read_size(text, "kv_lora_rank"),
        rotated=read_size(text, "qk_rope_head_dim"),
        gates_output=text.get("attn_output_gate", True) is not False,
        gates_heads=text.get("gating", True) in (True, "per-head"),
        softmax_layers=_softmax_layers(text),
        vision=_vision(vision) if isinstance(vision, Mapping) else VisionSpec(),
        audio_heads=_audio_heads(sections),
    )


def _softmax_layers(text: Mapping[str, Any]) -> frozenset[int] | None:
    """Nemotron-H's pattern, Kimi-Linear's numbers from 1, the words per layer of Qwen3-Next, LFM2
    and Granite, or every so many layers (Ling 2.5, too)."""
    pattern = text.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        return frozenset(number for number, mark in enumerate(pattern[:MAX_LAYERS]) if mark == "*")
    linear = text.get("linear_attn_config")
    listed = linear.get("kda_layers") if isinstance(linear, Mapping) else None
    layers = read_size(text, "num_hidden_layers")
    if layers is None or layers > MAX_LAYERS:
        return None
    if isinstance(listed, (list, tuple)):
        return frozenset(range(layers)) - {one - 1 for one in listed if isinstance(one, int)}
    group = read_size(text, "layer_group_size")
    if group is not None:
        return frozenset(range(group - 1, layers, group))
    by_words = text.get("model_type") in ("lfm2_moe", "granitemoehybrid")
    if not by_words and read_size(text, "linear_num_value_heads") is None:
        return None
    words = text.get("layer_types")
    if isinstance(words, (list, tuple)):
        found = (number for number, word in enumerate(words) if word in _SOFTMAX)
        return frozenset(number for number in found if number < layers)
    step = read_size(text, "full_attention_interval") or 4
    return frozenset(range(step - 1, layers, step))


def _vision(section: Mapping[str, Any]) -> VisionSpec:
    hidden = read_size(section, "hidden_size", "vt_hidden_size")
    merge = read_size(section, "spatial_merge_size")
    deep = section.get("deepstack_visual_indexes")
    return VisionSpec(
        hidden=hidden,
        mlp=read_size(section, "intermediate_size", "vt_intermediate_size"),
        merged=None if hidden is None or merge is None else hidden * merge * merge,
        out=read_size(section, "out_hidden_size"),
        heads=read_size(section, "num_heads", "num_attention_heads"),
        deep=min(len(deep), MAX_LAYERS) if isinstance(deep, (list, tuple)) else 0,
    )


def _audio_heads(sections: Sections) -> int | None:
    found = (section.get("audio_config") for section in sections.chain)
    tower = next((one for one in found if isinstance(one, Mapping)), {})
    return read_size(tower, "encoder_attention_heads")
