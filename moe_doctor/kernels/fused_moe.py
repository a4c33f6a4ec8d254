"""Fused MoE in Triton: align, grouped GEMM with activation, grouped GEMM with weight, reduce.

    topk_ids -> align -> [shrink] -> GEMM 1 + LoRA + activation -> [shrink] -> GEMM 2 + LoRA -> sum

Everything runs on the device and nothing waits for it, so a CUDA graph can capture the call. On a
machine without a GPU the same kernels run in Triton's interpreter: TRITON_INTERPRET=1 must be set
before triton is imported, and bfloat16 gives wrong numbers there because numpy has no such type.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from moe_doctor.kernels.fused_moe_details._activation import ACTIVATIONS
from moe_doctor.kernels.fused_moe_details._align import Alignment, align
from moe_doctor.kernels.fused_moe_details._gemm import grouped_gemm_kernel, lora_shrink_kernel
from moe_doctor.kernels.fused_moe_details._reduce import reduce_kernel
from moe_doctor.kernels.fused_moe_details.tiles import Tile, choose_tile, interpreter_tile
from moe_doctor.kernels.lora import LoRAWeights

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
"""Types of hidden states and weights; accumulation is always fp32."""

_LORA_BLOCK_R = 64
_REDUCE_BLOCK_H = 1024


def fused_moe(
    hidden_states: Tensor,  # [T, H]
    w13: Tensor,  # [E, 2I, H] gate rows then up rows; [E, I, H] when not gated
    w2: Tensor,  # [E, H, I]
    topk_weights: Tensor,  # [T, k] float32
    topk_ids: Tensor,  # [T, k] int32; entries outside 0..E-1 contribute nothing
    *,
    activation: str = "silu",
    gated: bool = True,
    lora: LoRAWeights | None = None,
    out: Tensor | None = None,  # [T, H]
) -> Tensor:  # [T, H], dtype of hidden_states
    """Return sum over slots of weight * w2[e] @ act(w13[e] @ x), with adapters where given.

    Raises ValueError, naming the argument and both shapes, for anything that does not fit.
    """
    _check(hidden_states, w13, w2, topk_weights, topk_ids, activation, gated)
    num_tokens, hidden_size = hidden_states.shape
    num_experts, _, intermediate_size = w2.shape
    top_k = topk_ids.shape[1]
    if lora is not None:
        lora.check(num_tokens, w13, w2, hidden_states.dtype)
    if out is None:
        out = torch.empty_like(hidden_states, memory_format=torch.contiguous_format)
    elif out.shape != hidden_states.shape or out.stride(1) != 1:
        raise ValueError(
            f"out has shape {tuple(out.shape)} and strides {out.stride()}; "
            f"expected {tuple(hidden_states.shape)} with dense rows"
        )
    if num_tokens == 0:
        return out
    topk_ids = topk_ids.to(torch.int32).contiguous()
    topk_weights = topk_weights.to(torch.float32).contiguous()

    first, second = _tiles(hidden_states, w2, num_tokens * top_k, gated)
    alignment = align(
        topk_ids,
        None if lora is None else lora.lora_ids.to(torch.int32).contiguous(),
        num_experts=num_experts,
        max_loras=0 if lora is None else lora.max_loras,
        block_m=first.block_m,
    )
    batch = _Batch(alignment, num_tokens * top_k, num_experts, hidden_states)
    inner = batch.empty(intermediate_size)  # [T*k, I]
    batch.gemm(
        hidden_states,
        w13,
        inner,
        first,
        row_divisor=top_k,
        activation=activation,
        gated=gated,
        adapters=None if lora is None else (lora.a13, lora.b13, lora.scaling),
    )
    pairs = batch.empty(hidden_size)  # [T*k, H]
    batch.gemm(
        inner,
        w2,
        pairs,
        second,
        row_divisor=1,
        pair_weights=topk_weights,
        adapters=None if lora is None else (lora.a2, lora.b2, lora.scaling),
    )
    block_h = min(_REDUCE_BLOCK_H, triton.next_power_of_2(hidden_size))
    reduce_kernel[(num_tokens, triton.cdiv(hidden_size, block_h))](
        pairs, topk_ids, out, num_experts, hidden_size, out.stride(0), TOP_K=top_k, BLOCK_H=block_h
    )
    return out


def is_interpreted() -> bool:
    """Whether kernels of this process run in Triton's interpreter instead of on a GPU."""
    return os.environ.get("TRITON_INTERPRET", "0") not in ("", "0")


@dataclass(frozen=True, slots=True)
class _Batch:
    """What both GEMMs of one call share."""

    alignment: Alignment
    num_pairs: int
    num_experts: int
    like: Tensor

    def empty(self, width: int) -> Tensor:
        return torch.empty(self.num_pairs, width, dtype=self.like.dtype, device=self.like.device)

    def gemm(
        self,
        x: Tensor,
        w: Tensor,
        out: Tensor,
        tile: Tile,
        *,
        row_divisor: int,
        activation: str = "none",
        gated: bool = False,
        pair_weights: Tensor | None = None,
        adapters: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> None:
        width, depth = out.shape[1], x.shape[1]
        where = (self.alignment.sorted_pairs, self.alignment.tile_group, self.alignment.num_padded)
        precision = "ieee" if x.dtype == torch.float32 else "tf32"
        rank, lora_b, shrunk = 0, w, x
        strides: tuple[int, ...] = (0, 0, 0, 0)
        if adapters is not None:
            rank, lora_b, strides = adapters[0].shape[2], adapters[1], adapters[1].stride()
            shrunk = self._shrink(x, adapters[0], adapters[2], tile, row_divisor, precision)
        launch: dict[str, Any] = {"num_warps": tile.num_warps, "num_stages": tile.num_stages}
        grouped_gemm_kernel[(self.alignment.max_tiles * triton.cdiv(width, tile.block_n),)](
            x,
            w,
            out,
            *where,
            x if pair_weights is None else pair_weights,
            shrunk,
            lora_b,
            self.num_pairs,
            self.num_experts,
            width,
            *x.stride(),
            *w.stride(),
            *strides,
            K=depth,
            R=rank,
            ROW_DIVISOR=row_divisor,
            GATED=gated,
            ACTIVATION=activation,
            MUL_WEIGHT=pair_weights is not None,
            HAS_LORA=adapters is not None,
            EVEN_K=depth % tile.block_k == 0,
            PRECISION=precision,
            BLOCK_M=tile.block_m,
            BLOCK_N=tile.block_n,
            BLOCK_K=tile.block_k,
            BLOCK_R=_block_r(rank),
            GROUP_M=tile.group_m,
            **launch,
        )

    def _shrink(
        self, x: Tensor, a: Tensor, scaling: Tensor, tile: Tile, row_divisor: int, precision: str
    ) -> Tensor:
        rank, depth = a.shape[2], a.shape[3]
        # Rows without an adapter stay unwritten: the expand step never reads them.
        shrunk = self.empty(rank)
        block_r = _block_r(rank)
        lora_shrink_kernel[(self.alignment.max_tiles, triton.cdiv(rank, block_r))](
            x,
            a,
            scaling,
            shrunk,
            self.alignment.sorted_pairs,
            self.alignment.tile_group,
            self.alignment.num_padded,
            self.num_pairs,
            self.num_experts,
            *x.stride(),
            *a.stride(),
            R=rank,
            K=depth,
            ROW_DIVISOR=row_divisor,
            PRECISION=precision,
            BLOCK_M=tile.block_m,
            BLOCK_R=block_r,
            BLOCK_K=tile.block_k,
            num_warps=4,
            num_stages=2,
        )
        return shrunk


def _block_r(rank: int) -> int:
    """Block over the adapter's rank: tl.dot needs at least 16."""
    return max(16, min(_LORA_BLOCK_R, 1 << (max(rank, 1) - 1).bit_length()))


def _tiles(x: Tensor, w2: Tensor, num_pairs: int, gated: bool) -> tuple[Tile, Tile]:
    """Tiles of GEMM 1 and GEMM 2; both have the same block_m, that of the alignment."""
    num_experts, hidden_size, intermediate_size = w2.shape
    if x.device.type == "cpu":
        return (
            interpreter_tile(intermediate_size, hidden_size),
            interpreter_tile(hidden_size, intermediate_size),
        )
    rows = num_pairs / min(num_experts, num_pairs)
    limit = _shared_memory_limit(x.device)
    size = x.element_size()
    first = choose_tile(rows, gated=gated, element_bytes=size, limit_bytes=limit)
    second = choose_tile(rows, gated=False, element_bytes=size, limit_bytes=limit)
    return first, second


def _shared_memory_limit(device: torch.device) -> int | None:
    properties = torch.cuda.get_device_properties(device)
    if torch.version.hip is not None:
        return None
    limit = getattr(properties, "shared_memory_per_block_optin", None)
    return None if limit is None else int(limit)


def _check(
    hidden_states: Tensor,
    w13: Tensor,
    w2: Tensor,
    topk_weights: Tensor,
    topk_ids: Tensor,
    activation: str,
    gated: bool,
) -> None:
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}; expected one of {', '.join(ACTIVATIONS)}")
    if hidden_states.dtype not in DTYPES:
        raise ValueError(f"hidden_states is {hidden_states.dtype}; expected one of {DTYPES}")
    if hidden_states.device.type == "cpu" and not is_interpreted():
        raise ValueError(
            "hidden_states is on the CPU; set TRITON_INTERPRET=1 before triton is imported"
        )
    num_tokens, hidden_size = hidden_states.shape
    num_experts, _, intermediate_size = w2.shape
    rows = intermediate_size * (2 if gated else 1)
    expected = {
        "w13": (w13, (num_experts, rows, hidden_size)),
        "w2": (w2, (num_experts, hidden_size, intermediate_size)),
        "topk_ids": (topk_ids, (num_tokens, topk_ids.shape[-1])),
        "topk_weights": (topk_weights, (num_tokens, topk_ids.shape[-1])),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected {shape}")
    for name, tensor in (("w13", w13), ("w2", w2)):
        if tensor.dtype != hidden_states.dtype:
            raise ValueError(f"{name} is {tensor.dtype}; expected {hidden_states.dtype}")
