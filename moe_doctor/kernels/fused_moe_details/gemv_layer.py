"""The layer of one or two tokens with plain weights, by `_gemv`; see there."""

from __future__ import annotations

from typing import TypeAlias

import torch
import triton
from torch import Tensor

from moe_doctor.core.named import NamedTuple
from moe_doctor.kernels.activations import Activation
from moe_doctor.kernels.fused_moe_details._gemv import first_gemv_kernel, second_gemv_kernel

GEMV_TOKENS = 2
"""Most tokens of a batch whose weights are read token by token."""
_SPREAD = 8
"""Experts for each pair from which on two tokens seldom share one, whose weights both would read.

Two tokens of Mixtral's 8 experts took 308 us this way on an H200 and 277 with their pairs aligned;
of Qwen3's 128 experts 40 and 45.
"""


class Block(NamedTuple):
    """What a program works on at a time."""

    block_n: int
    """Values of the result that a program makes."""
    block_k: int
    """Depth of one step."""
    num_warps: int
    """Warps per program."""


Blocks: TypeAlias = tuple[Block, Block]


class _Row(NamedTuple):
    """The second product's block for one regime."""

    depth_up_to: float
    """Inner columns."""
    block: Block
    """As many columns as there are, or steps that divide them well."""


# Measured on an NVIDIA H200, 2026-11-29, over Qwen3-30B-A3B, Mixtral-8x7B, Nemotron-3-Nano and
# DeepSeek-V3 TP8 in bf16 (tests/gpu/MEASURED.md). One row a program was within 5 % of the best
# first block in all four; the second must neither mask much nor leave a last few programs waiting.
_FIRST = Block(1, 1024, 4)
_SECOND = (
    _Row(256, Block(4, 256, 2)),
    _Row(512, Block(4, 512, 4)),
    _Row(1024, Block(4, 1024, 4)),
    _Row(2048, Block(2, 1024, 4)),
    _Row(float("inf"), Block(2, 2048, 8)),
)


def choose_blocks(hidden_size: int, intermediate_size: int, device: torch.device) -> Blocks:
    """Blocks of both products."""
    if device.type == "cpu":
        # Triton's interpreter runs each operation as one numpy call: few, large ones.
        return _cover(intermediate_size, hidden_size), _cover(hidden_size, intermediate_size)
    second = next(row.block for row in _SECOND if intermediate_size <= row.depth_up_to)
    return _FIRST, second


def _cover(columns: int, depth: int) -> Block:
    """A block that holds the product, or the largest that Triton allows."""
    block_k = min(4096, triton.next_power_of_2(depth))
    return Block(min(2**20 // block_k, triton.next_power_of_2(columns)), block_k, 4)


def fits_gemv(x: Tensor, w13: Tensor, w2: Tensor, num_pairs: int) -> bool:
    """Whether a layer of plain weights can and should take this path; adapters are the caller's."""
    is_dense = x.stride(1) == w13.stride(2) == w2.stride(2) == 1
    is_apart = len(x) == 1 or num_pairs * _SPREAD <= len(w2)
    return len(x) <= GEMV_TOKENS and is_apart and is_dense and w13.dtype == w2.dtype == x.dtype


def gemv_layer(
    x: Tensor,  # [T, H]
    w13: Tensor,  # [E, 2I or I, H]
    w2: Tensor,  # [E, H, I]
    topk_weights: Tensor,  # [T, k] float32
    topk_ids: Tensor,  # [T, k] int32
    act: Activation,
    out: Tensor,  # [T, H]
    *,
    bias13: Tensor | None,  # [E, 2I or I]
    bias2: Tensor | None,  # [E, H]
    pdl: bool,
    blocks: Blocks | None = None,
) -> Tensor:
    """Write the layer's result to `out`, for a layer that `fits_gemv`, and return it.

    `blocks` overrides the table's choice.
    """
    num_experts, hidden_size, intermediate_size = w2.shape
    first, second = blocks or choose_blocks(hidden_size, intermediate_size, x.device)
    launch = {"launch_pdl": True} if pdl else {}
    inner = x.new_empty(topk_ids.numel(), intermediate_size)
    first_gemv_kernel[(len(inner) * triton.cdiv(intermediate_size, first.block_n),)](
        x,
        w13,
        x if bias13 is None else bias13,
        inner,
        topk_ids,
        num_experts,
        intermediate_size,
        x.stride(0),
        *w13.stride()[:2],
        K=hidden_size,
        TOP_K=topk_ids.shape[1],
        GATED=act.gated,
        ACTIVATION=act.name,
        LIMIT=act.limit,
        ALPHA=act.alpha,
        BETA=act.beta,
        HAS_BIAS=bias13 is not None,
        PDL=pdl,
        BLOCK_N=first.block_n,
        BLOCK_K=first.block_k,
        num_warps=first.num_warps,
        **launch,
    )
    second_gemv_kernel[(len(x) * triton.cdiv(hidden_size, second.block_n),)](
        inner,
        w2,
        x if bias2 is None else bias2,
        out,
        topk_ids,
        topk_weights,
        num_experts,
        hidden_size,
        *w2.stride()[:2],
        out.stride(0),
        K=intermediate_size,
        TOP_K=topk_ids.shape[1],
        HAS_BIAS=bias2 is not None,
        PDL=pdl,
        BLOCK_N=second.block_n,
        BLOCK_K=second.block_k,
        num_warps=second.num_warps,
        **launch,
    )
    return out
