"""A large batch in parts that a backend's buffers hold; child code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from moe_doctor.core.record import replace

if TYPE_CHECKING:
    from moe_doctor.proof.inputs import Batch

BATCHED_TOKENS = 256
"""Tokens for which the batched activation format has room, per expert.

vLLM's own default (config/scheduler.py, DEFAULT_MAX_NUM_BATCHED_TOKENS_FOR_BATCHED_DP); a larger
batch is handed over in several calls.
"""


def in_parts(
    batch: Batch, call: Callable[[Batch], torch.Tensor], size: int = BATCHED_TOKENS
) -> torch.Tensor:  # [T, H]
    """`call` on at most `size` tokens at a time, in order."""
    num_tokens = batch.hidden_states.shape[0]
    if num_tokens <= size:
        return call(batch)
    parts = [call(_part(batch, slice(start, start + size))) for start in range(0, num_tokens, size)]
    return torch.cat(parts)


def _part(batch: Batch, tokens: slice) -> Batch:
    lora = batch.lora
    if lora is not None:
        lora = type(lora)(lora.a13, lora.b13, lora.a2, lora.b2, lora.scaling, lora.lora_ids[tokens])
    return replace(
        batch,
        hidden_states=batch.hidden_states[tokens],
        topk_weights=batch.topk_weights[tokens],
        topk_ids=batch.topk_ids[tokens],
        lora=lora,
    )
