"""What a launch of a grouped GEMM over quantized weights needs to know, in a few records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from moe_doctor.kernels.activations import Activation


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
