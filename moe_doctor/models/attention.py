"""Sizes outside the experts: heads, vocabulary and recurrent layers.

No answer about experts depends on them, but an engine refuses to split a model whose heads do not
divide. What the config leaves out stays None: nothing here fails on a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.spec import AttentionSpec, RecurrentSpec
from moe_doctor.models.fields import read_size

_KV_HEADS = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num")
_MAMBA_HEADS = ("mamba_num_heads", "mamba_n_heads")
_MAMBA_SIZE = ("mamba_head_dim", "mamba_d_head")
_MAMBA_GROUPS = ("n_groups", "mamba_n_groups")
_MAMBA_STATE = ("ssm_state_size", "mamba_d_state")


def read_attention(section: Mapping[str, Any]) -> AttentionSpec:
    """Read the language model's section of a config."""
    return AttentionSpec(
        heads=read_size(section, "num_attention_heads", "n_heads", "n_head"),
        kv_heads=read_size(section, *_KV_HEADS, "num_attention_groups"),
        vocabulary=read_size(section, "vocab_size"),
        latent=read_size(section, "kv_lora_rank") is not None
        or section.get("model_type") == "deepseek_v4",
        recurrent=_recurrent(section),
        norm_groups=read_size(section, "group_norm_size"),
    )


def _recurrent(section: Mapping[str, Any]) -> RecurrentSpec | None:
    linear = section.get("linear_attn_config")
    if isinstance(linear, Mapping):  # Kimi Delta Attention: keys are as wide as values
        heads, width = read_size(linear, "num_heads"), read_size(linear, "head_dim")
        if heads is not None and width is not None:
            return RecurrentSpec(heads, width, heads, width)
    delta = (
        read_size(section, "linear_num_value_heads"),
        read_size(section, "linear_value_head_dim"),
        read_size(section, "linear_num_key_heads"),
        read_size(section, "linear_key_head_dim"),
    )
    mamba = tuple(
        read_size(section, *names)
        for names in (_MAMBA_HEADS, _MAMBA_SIZE, _MAMBA_GROUPS, _MAMBA_STATE)
    )
    width = _single_state(section)
    if width is not None:
        return RecurrentSpec(width, 1, 0, 0)
    for sizes, repeats in ((delta, False), (mamba, True)):
        known = tuple(size for size in sizes if size is not None)
        if len(known) == 4:
            return RecurrentSpec(*known, repeats_groups=repeats)
    return None


def _single_state(section: Mapping[str, Any]) -> int | None:
    """Width of layers whose state has no heads: Mamba 1 (Jamba) and short convolutions (LFM2)."""
    kind, hidden = section.get("model_type"), read_size(section, "hidden_size")
    if kind == "jamba" and hidden is not None:
        return hidden * (read_size(section, "mamba_expand") or 2)
    if kind == "lfm2_moe":
        return read_size(section, "conv_dim") or hidden
    return None
