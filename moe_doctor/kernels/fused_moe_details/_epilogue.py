"""What follows a grouped GEMM's loop: LoRA's second half, bias, activation, the router's weight."""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

from moe_doctor.kernels.fused_moe_details._activation import activate, activate_and_multiply
from moe_doctor.kernels.fused_moe_details._encode import gather_largest, group_codes, to_code


@triton.jit
def split_halves(acc, SWAP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Gate's and up's halves; both lie in the registers of the same thread where tiles are wide."""
    if SWAP:
        pair = tl.permute(tl.reshape(acc, [2, BLOCK_N, BLOCK_M]), (1, 2, 0))
    else:
        pair = tl.permute(tl.reshape(acc, [BLOCK_M, 2, BLOCK_N]), (0, 2, 1))
    gate, up = tl.split(pair)
    return gate, up


@triton.jit
def add_adapter(
    acc,
    acc_up,
    shrunk,  # [T*k, R]
    lora_b,  # [L, E, N or 2N, R]
    group,
    place,
    is_row,
    n_wrapped,
    num_experts,
    N,
    stride_b_lora,
    stride_b_expert,
    stride_b_n,
    stride_b_r,
    R: tl.constexpr,
    GATED: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """Add shrunk[place] @ lora_b[l, e].T where the tile's group has an adapter."""
    adapter = (group // num_experts - 1).to(tl.int64)
    if adapter >= 0:
        expert = (group % num_experts).to(tl.int64)
        b_base = lora_b + adapter * stride_b_lora + expert * stride_b_expert
        b_up_offset = N.to(tl.int64) * stride_b_n
        for step in range(0, R, BLOCK_R):
            r = step + tl.arange(0, BLOCK_R)
            s_tile = tl.load(
                shrunk + place.to(tl.int64)[:, None] * R + r[None, :],
                mask=is_row[:, None] & (r[None, :] < R),
                other=0.0,
            )
            b_ptrs = b_base + n_wrapped[:, None] * stride_b_n + r[None, :] * stride_b_r
            b_tile = tl.load(b_ptrs, mask=r[None, :] < R, other=0.0)
            acc = tl.dot(s_tile, tl.trans(b_tile), acc, input_precision=PRECISION)
            if GATED:
                b_tile = tl.load(b_ptrs + b_up_offset, mask=r[None, :] < R, other=0.0)
                acc_up = tl.dot(s_tile, tl.trans(b_tile), acc_up, input_precision=PRECISION)
    return acc, acc_up


@triton.jit
def finish(
    acc,
    acc_up,
    bias,  # [E, N or 2N], read when HAS_BIAS
    pair_weights,  # [T*k] float32, read by the second GEMM
    out,  # [T*k, N]
    expert,
    place,
    pair,
    is_row,
    n,
    n_wrapped,
    N,
    HAS_BIAS: tl.constexpr,
    FIRST: tl.constexpr,
    GATED: tl.constexpr,
    ACTIVATION: tl.constexpr,
    LIMIT: tl.constexpr,
    ALPHA: tl.constexpr,
    BETA: tl.constexpr,
    largest=None,  # [1] int32, raised to the largest value when MEASURE
    MEASURE: tl.constexpr = False,
):
    """Bias, activation or the router's weight, and the store to places or to pairs."""
    result = _activated(
        acc, acc_up, bias, expert, n_wrapped, N, HAS_BIAS, GATED, ACTIVATION, LIMIT, ALPHA, BETA
    )
    out_row = place if FIRST else pair
    if not FIRST:
        result = result * tl.load(pair_weights + pair, mask=is_row, other=0.0)[:, None]
    result = result.to(out.dtype.element_ty)
    inside = is_row[:, None] & (n[None, :] < N)
    if MEASURE:
        gather_largest(tl.where(inside, result.to(tl.float32), 0.0), largest)
    out_ptrs = out + out_row.to(tl.int64)[:, None] * N + n[None, :]
    tl.store(out_ptrs, result, mask=inside)


@triton.jit
def finish_quantized(
    acc,
    acc_up,
    bias,  # [E, N or 2N], read when HAS_BIAS
    out,  # [T*k, N] fp8, its bytes, or int8
    out_scales,  # [T*k, groups], written when BY_GROUP; else [1] and read
    expert,
    place,
    is_row,
    n,
    n_wrapped,
    N,
    tile_n,
    HAS_BIAS: tl.constexpr,
    GATED: tl.constexpr,
    ACTIVATION: tl.constexpr,
    LIMIT: tl.constexpr,
    ALPHA: tl.constexpr,
    BETA: tl.constexpr,
    BY_GROUP: tl.constexpr,
    FLOOR: tl.constexpr,
    ROUND: tl.constexpr,
    IS_INT8: tl.constexpr,
    NATIVE: tl.constexpr,
):
    """Bias and activation, quantized for the second GEMM; with BY_GROUP a tile's row is a group."""
    result = _activated(
        acc, acc_up, bias, expert, n_wrapped, N, HAS_BIAS, GATED, ACTIVATION, LIMIT, ALPHA, BETA
    )
    # Rounded to the dtype of the hidden states first, as engines hand them over.
    result = tl.where(n[None, :] < N, result, 0.0).to(ROUND).to(tl.float32)
    place = place.to(tl.int64)
    if BY_GROUP:
        code, scale = group_codes(result, FLOOR, IS_INT8, NATIVE)
        tl.store(out_scales + place * ((N + n.shape[0] - 1) // n.shape[0]) + tile_n, scale, is_row)
    else:
        code = to_code(result, tl.load(out_scales), IS_INT8, NATIVE)
    out_ptrs = out + place[:, None] * N + n[None, :]
    tl.store(out_ptrs, code, mask=is_row[:, None] & (n[None, :] < N))


@triton.jit
def _activated(
    acc,
    acc_up,
    bias,
    expert,
    n_wrapped,
    N,
    HAS_BIAS: tl.constexpr,
    GATED: tl.constexpr,
    ACTIVATION: tl.constexpr,
    LIMIT: tl.constexpr,
    ALPHA: tl.constexpr,
    BETA: tl.constexpr,
):
    if HAS_BIAS:
        b_ptrs = bias + expert.to(tl.int64) * (2 * N if GATED else N) + n_wrapped
        acc += tl.load(b_ptrs).to(tl.float32)[None, :]
        if GATED:
            acc_up += tl.load(b_ptrs + N).to(tl.float32)[None, :]
    if GATED:
        result = activate_and_multiply(acc, acc_up, ACTIVATION, LIMIT, ALPHA, BETA)
    else:
        result = activate(acc, ACTIVATION)
    return result
