"""The layer by the grouped GEMM of sm_90: plain 16-bit weights, no adapters, no biases.

Its language, Gluon, changes from one Triton release to the next; `SUPPORTED` names those that it
was run on. Everywhere else `_gemm.grouped_gemm_kernel` does the work.
"""

from __future__ import annotations

import functools

import torch
import triton
from torch import Tensor

from moe_doctor.kernels.activations import Activation
from moe_doctor.kernels.fused_moe_details._align import align
from moe_doctor.kernels.fused_moe_details._reduce import reduce_pairs
from moe_doctor.kernels.fused_moe_details.hopper import fits_tma
from moe_doctor.kernels.fused_moe_details.hopper_gemm import hopper_gemm
from moe_doctor.kernels.fused_moe_details.hopper_tiles import HopperTile, choose_hopper_tiles
from moe_doctor.kernels.fused_moe_details.launch import Rows

SUPPORTED = ("3.6.",)
"""Beginnings of the versions of Triton whose Gluon the kernel was run on."""


@functools.lru_cache(maxsize=16)
def has_gluon(device: torch.device) -> bool:
    """Whether this device and this Triton run the kernel: sm_90 and a release of SUPPORTED."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    is_hopper = torch.cuda.get_device_capability(device) == (9, 0)
    return is_hopper and triton.__version__.startswith(SUPPORTED)


def fits_hopper(x: Tensor, w13: Tensor, w2: Tensor, act: Activation) -> bool:
    """Whether a layer of plain weights can take this path; biases and adapters are the caller's."""
    return (
        has_gluon(x.device)
        and x.element_size() == 2
        and w13.dtype == w2.dtype == x.dtype
        and x.stride(0) % 16 == 0  # Triton copies 16 bytes where it knows rows to be aligned
        and w2.shape[2] % 8 == 0  # inner rows start at multiples of 16 bytes, for TMA
        and act == Activation(act.name, act.gated)
        and fits_tma(x)
        and fits_tma(w13)
        and fits_tma(w2)
    )


def hopper_layer(
    x: Tensor,  # [T, H]
    w13: Tensor,  # [E, 2I or I, H]
    w2: Tensor,  # [E, H, I]
    topk_weights: Tensor,  # [T, k] float32
    topk_ids: Tensor,  # [T, k] int32
    act: Activation,
    out: Tensor,  # [T, H]
    tiles: tuple[HopperTile, HopperTile] | None = None,
) -> Tensor:
    """Write the layer's result to `out`, for a layer that `fits_hopper`, and return it.

    `tiles` overrides the table's choice; both need the same block_m.
    """
    num_experts, hidden_size, intermediate_size = w2.shape
    num_pairs = topk_ids.numel()
    first, second = tiles or choose_hopper_tiles(
        num_pairs, num_experts, intermediate_size, gated=act.gated
    )
    found = align(
        topk_ids, None, num_experts=num_experts, max_loras=0, block_m=first.block_m, pdl=True
    )
    where = (found.sorted_pairs, found.tiles, found.num_tiles)
    rows = Rows(topk_ids, topk_weights, where, found.max_tiles, num_experts, direct=False, pdl=True)
    inner = x.new_empty(num_pairs, intermediate_size)
    hopper_gemm(rows, x, w13, inner, first, act, first=True)
    pairs = x.new_empty(num_pairs, hidden_size)
    hopper_gemm(rows, inner, w2, pairs, second, Activation("none", gated=False), first=False)
    reduce_pairs(pairs, topk_ids, out, num_experts, pdl=True)
    return out
