"""LoRA's first half, before each GEMM: rows times A, for the rows that have an adapter."""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

from moe_doctor.kernels.fused_moe_details._rows import aligned_rows


@triton.jit(do_not_specialize=["max_tiles"])
def lora_shrink_kernel(
    x,  # [rows, K]
    lora_a,  # [L, E, R, K]
    scaling,  # [L] float32
    shrunk,  # [T*k, R]
    sorted_pairs,
    tiles,
    num_tiles,
    max_tiles,
    num_experts,
    stride_x_row,
    stride_x_k,
    stride_a_lora,
    stride_a_expert,
    stride_a_r,
    stride_a_k,
    R: tl.constexpr,
    K: tl.constexpr,
    TOP_K: tl.constexpr,
    FIRST: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """shrunk[place] = scaling[l] * x[token or place] @ lora_a[l, e].T."""
    tile_m = tl.program_id(0)
    if tile_m >= tl.load(num_tiles):
        return
    group, first, pair, is_row = aligned_rows(sorted_pairs, tiles, max_tiles, tile_m, BLOCK_M)
    adapter = (group // num_experts - 1).to(tl.int64)
    if adapter < 0:
        return
    expert = (group % num_experts).to(tl.int64)
    place = (first + tl.arange(0, BLOCK_M)).to(tl.int64)
    row = (pair // TOP_K).to(tl.int64) if FIRST else place
    r = tl.program_id(1) * BLOCK_R + tl.arange(0, BLOCK_R)
    a_base = lora_a + adapter * stride_a_lora + expert * stride_a_expert

    acc = tl.zeros([BLOCK_M, BLOCK_R], dtype=tl.float32)
    for step in range(0, K, BLOCK_K):
        k = step + tl.arange(0, BLOCK_K)
        x_tile = tl.load(
            x + row[:, None] * stride_x_row + k[None, :] * stride_x_k,
            mask=is_row[:, None] & (k[None, :] < K),
            other=0.0,
        )
        a_tile = tl.load(
            a_base + r[:, None].to(tl.int64) * stride_a_r + k[None, :] * stride_a_k,
            mask=(r[:, None] < R) & (k[None, :] < K),
            other=0.0,
        )
        acc = tl.dot(x_tile, tl.trans(a_tile), acc, input_precision=PRECISION)
    acc = acc * tl.load(scaling + adapter)
    tl.store(
        shrunk + place[:, None] * R + r[None, :],
        acc.to(shrunk.dtype.element_ty),
        mask=is_row[:, None] & (r[None, :] < R),
    )
