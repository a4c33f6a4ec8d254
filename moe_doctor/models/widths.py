"""Widths of the linear layers around the experts: attention's and a vision tower's.

No answer about experts depends on them, but quantized weights have to fit each rank's share, and an
engine that cannot split them does not start. What the config leaves out stays None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.spec import VisionSpec, WidthsSpec
from moe_doctor.models.fields import MAX_COUNT
from moe_doctor.models.sections import Sections


def read_widths(sections: Sections) -> WidthsSpec:
    """Read the language model's section and the vision tower's."""
    text = sections.text
    hidden, heads = _size(text, "hidden_size"), _size(text, "num_attention_heads")
    head = _size(text, "qk_nope_head_dim", "head_dim", "attention_head_dim")
    if head is None and hidden is not None and heads is not None:
        head = hidden // heads
    vision = sections.outer.get("vision_config")
    return WidthsSpec(
        hidden=hidden,
        head=head,
        value=_size(text, "v_head_dim"),
        query_rank=_size(text, "q_lora_rank"),
        key_rank=_size(text, "kv_lora_rank"),
        rotated=_size(text, "qk_rope_head_dim"),
        gates_output=text.get("attn_output_gate", True) is not False,
        vision=_vision(vision) if isinstance(vision, Mapping) else VisionSpec(),
    )


def _vision(section: Mapping[str, Any]) -> VisionSpec:
    hidden = _size(section, "hidden_size", "vt_hidden_size")
    merge = _size(section, "spatial_merge_size")
    return VisionSpec(
        hidden=hidden,
        mlp=_size(section, "intermediate_size", "vt_intermediate_size"),
        merged=None if hidden is None or merge is None else hidden * merge * merge,
        out=_size(section, "out_hidden_size"),
    )


def _size(section: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = section.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_COUNT:
            return value
    return None
