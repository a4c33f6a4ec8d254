"""Fused MoE in the batched activation format: every expert has rows of its own.

    dispatch: [T, H] -> [E, M, H] with M = T, the rows in use, and where every pair went
    batched_moe: [E, M, H] -> [E, M, H]
    combine: [E, M, H] -> [T, H]

It is what engines use after an all-to-all that already sorted tokens by expert (vLLM's
BatchedExperts with DeepEP's low-latency kernels). Rows beyond an expert's count hold whatever was
there before; nothing of them may be read into a result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from moe_doctor.kernels.fused_moe import fused_moe
from moe_doctor.kernels.lora import LoRAWeights
from moe_doctor.kernels.quantized import QuantizedWeights


@dataclass(frozen=True, slots=True)
class Dispatched:
    """Tokens sorted into their experts' rows."""

    rows: Tensor
    """[E, M, H]."""
    counts: Tensor
    """[E] int64: rows in use."""
    where: Tensor
    """[T, k] int64: row of each pair in rows.flatten(0, 1); -1 for an absent expert."""
    tokens: Tensor
    """[E, M] int64: token of each row in use, 0 elsewhere."""


def dispatch(
    hidden_states: Tensor,  # [T, H]
    topk_ids: Tensor,  # [T, k], distinct per token; entries outside 0..E-1 go nowhere
    num_experts: int,
    fill: float = float("nan"),
) -> Dispatched:
    """Copy each token to its experts, with room for all tokens at each; other rows hold `fill`.

    Nothing waits for the device.
    """
    num_tokens, top_k = topk_ids.shape
    flat = topk_ids.long().flatten()
    nowhere = num_experts * num_tokens
    present = (flat >= 0) & (flat < num_experts)
    expert = flat.masked_fill(~present, num_experts)
    chosen = expert[:, None] == torch.arange(num_experts, device=flat.device)  # [T * k, E]
    ranks = chosen.cumsum(0)
    counts = ranks[-1]
    rank = ranks.gather(1, expert.clamp_max(num_experts - 1)[:, None])[:, 0] - 1
    where = torch.where(present, expert * num_tokens + rank, nowhere)
    token = torch.arange(num_tokens, device=flat.device).repeat_interleave(top_k)
    # One row more than there are, where pairs of absent experts land.
    rows = hidden_states.new_full((nowhere + 1, hidden_states.shape[1]), fill)
    rows[where] = hidden_states[token]
    tokens = torch.zeros(nowhere + 1, dtype=torch.long, device=flat.device)
    tokens[where] = token
    return Dispatched(
        rows[:nowhere].view(num_experts, num_tokens, -1),
        counts,
        torch.where(present, where, -1).view(topk_ids.shape),
        tokens[:nowhere].view(num_experts, num_tokens),
    )


def batched_moe(
    rows: Tensor,  # [E, M, H]
    counts: Tensor,  # [E] rows in use
    w13: Tensor | QuantizedWeights,  # [E, 2I or I, H]
    w2: Tensor | QuantizedWeights,  # [E, H, I]
    *,
    activation: str = "silu",
    gated: bool = True,
    limit: float | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    bias13: Tensor | None = None,
    bias2: Tensor | None = None,
    lora: LoRAWeights | None = None,  # with the ids of rows: [E * M]
) -> Tensor:  # [E, M, H]; rows not in use are zero
    """Every expert on its own rows, unweighted: one slot per row in `fused_moe`."""
    num_experts, max_tokens, _ = rows.shape
    slots = torch.arange(max_tokens, device=rows.device)
    experts = torch.arange(num_experts, device=rows.device, dtype=torch.int32)
    ids = torch.where(slots < counts[:, None], experts[:, None], -1).view(-1, 1)
    out = fused_moe(
        rows.flatten(0, 1),
        w13,
        w2,
        torch.ones(ids.shape, dtype=torch.float32, device=rows.device),
        ids,
        activation=activation,
        gated=gated,
        limit=limit,
        alpha=alpha,
        beta=beta,
        bias13=bias13,
        bias2=bias2,
        lora=lora,
    )
    return out.view_as(rows)


def lora_of_rows(lora: LoRAWeights, dispatched: Dispatched) -> LoRAWeights:
    """The adapters with the ids of dispatched rows instead of tokens."""
    ids = lora.lora_ids[dispatched.tokens.flatten()]
    return replace(lora, lora_ids=ids)


def combine(
    rows: Tensor,  # [E, M, H]
    where: Tensor,  # [T, k]
    topk_weights: Tensor,  # [T, k]
) -> Tensor:  # [T, H], dtype of rows
    """Weighted sum of each token's rows in fp32."""
    found = rows.flatten(0, 1)[where.clamp_min(0)].float()
    found = found.masked_fill((where < 0)[..., None], 0.0)
    return (found * topk_weights[..., None].float()).sum(1).to(rows.dtype)
