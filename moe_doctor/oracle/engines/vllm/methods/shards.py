"""Fused projections whose shards an ignore list treats differently: q, k and v are one layer.

Sources: should_ignore_layer of quark/utils.py and compressed_tensors/utils.py, 0.16.0 to 0.33.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from moe_doctor.core.release import Release
from moe_doctor.models.expert_modules import PREFIXES
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    by_linear,
    refused_by_method,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_SHARDS = ("q_proj", "k_proj", "v_proj")
_REWORDED: Release = (0, 30, 0)
# Latent attention has no such layer: what the list says of q_proj reaches nothing.
_LATENT = ("deepseek", "kimi", "glm_moe_dsa", "longcat", "glm4_moe_lite")
_LAYER = re.compile(r"layers\.(\d+)\.")


def refuse_shards(
    question: Question, ignore: tuple[str, ...], left_out: Callable[[tuple[str, ...]], bool]
) -> MethodRefused | None:
    """The refusal where only some of a layer's q, k and v are left out; None otherwise.

    `left_out` says whether the list takes out a module, given all spellings of its path.
    """
    speaking = [entry for entry in ignore if any(shard in entry for shard in _SHARDS)]
    if not speaking or question.model_type.startswith(_LATENT):
        return None
    numbers = {0} | {int(found) for entry in speaking for found in _LAYER.findall(entry)}
    for number in sorted(numbers):
        for block in ("self_attn", "attn"):
            paths = [
                tuple(f"{prefix}layers.{number}.{block}.{shard}" for prefix in PREFIXES)
                for shard in _SHARDS
            ]
            if len({left_out(spellings) for spellings in paths}) > 1:
                return _refusal(question.release, number)
    return None


def _refusal(release: Release, number: int) -> MethodRefused:
    text = f"Found a different quantization schemes for {list(_SHARDS)} in "
    if release >= _REWORDED:
        text = "Found different quantization schemes for the shards of "
    reason = f"layer {number}: vLLM fuses q, k and v, and the ignore list names only some of them"
    return by_linear(refused_by_method("ValueError", text, reason))
