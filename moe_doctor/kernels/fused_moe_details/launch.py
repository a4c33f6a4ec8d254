"""What a launch of a grouped GEMM needs to know, in a few records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from moe_doctor.core.named import NamedTuple
from moe_doctor.kernels.activations import Activation
from moe_doctor.kernels.fused_moe_details.tiles import Tile

_LORA_BLOCK_R = 64


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows the GEMM works on, as `_rows` reads it."""

    topk_ids: Tensor
    """[T, k] int32."""
    topk_weights: Tensor
    """[T, k] float32."""
    where: tuple[Tensor, Tensor, Tensor]
    """Sorted pairs, tiles and their number; ignored when `direct`."""
    max_tiles: int
    """Bound of the number of tiles."""
    num_experts: int
    """E."""
    direct: bool
    """Whether every pair is a tile."""
    pdl: bool
    """Whether a kernel may be launched before the one before it ends."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one GEMM does with its product."""

    is_first: bool
    """Tokens to places and an activation, or places to pairs and the router's weight."""
    act: Activation
    """`none` for the second."""
    bias: Tensor | None
    """[E, N or 2N]."""


class QuantizedRows(NamedTuple):
    """Activations as the GEMM multiplies them."""

    values: Tensor
    """[rows, K] fp8, its bytes, or int8."""
    scales: Tensor
    """[rows or 1, groups] float32."""


class MeasuredRows(NamedTuple):
    """Activations whose largest value gives them one scale."""

    values: Tensor
    """[rows, K] in 16 or 32 bits."""
    largest: Tensor
    """[1] int32: the bits of the largest absolute value as float32, which compare as it does."""


def launch_options(
    rows: Rows, step: Step, tile: Tile, *, depth: int, rank: int, dtype: torch.dtype
) -> dict[str, Any]:
    """The keywords that every grouped GEMM takes; `rank` is 0 without adapters."""
    top_k = rows.topk_ids.shape[1]
    options = {
        "K": depth,
        "R": rank,
        "TOP_K": top_k,
        "FIRST": step.is_first,
        "GATED": step.act.gated,
        "ACTIVATION": step.act.name,
        "HAS_LORA": rank > 0,
        "DIRECT": rows.direct,
        "PDL": rows.pdl,
        "PRECISION": precision(dtype),
        "BLOCK_M": tile.block_m,
        "BLOCK_N": tile.block_n,
        "BLOCK_K": tile.block_k,
        "BLOCK_R": lora_block(rank),
        "BLOCK_S": triton.next_power_of_2(top_k),
        "GROUP_M": tile.group_m,
        "SWAP": tile.swap,
        "num_warps": tile.num_warps,
        "num_stages": tile.num_stages,
    }
    return {**options, "launch_pdl": True} if rows.pdl else options


def precision(dtype: torch.dtype) -> str:
    """How `tl.dot` multiplies: 32-bit layers are exact, the others never see 32-bit operands."""
    return "ieee" if dtype == torch.float32 else "tf32"


def lora_block(rank: int) -> int:
    """Block over the adapter's rank: tl.dot needs at least 16."""
    return max(16, min(_LORA_BLOCK_R, 1 << (max(rank, 1) - 1).bit_length()))
