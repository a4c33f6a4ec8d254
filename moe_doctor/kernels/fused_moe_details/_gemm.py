"""Stages 2 to 4: the grouped GEMM, with what surrounds it fused in, and LoRA's shrink.

One kernel serves both GEMMs. Row r of the output belongs to pair r; its input row is
pair // ROW_DIVISOR (top_k for GEMM 1, which reads tokens; 1 for GEMM 2, which reads pairs).
K and R are constants of a model, and compile-time ones here: a runtime bound of `range` breaks the
interpreter of triton 3.6 and older beside numpy 2.4 and newer.
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

from moe_doctor.kernels.fused_moe_details._activation import activate


@triton.jit
def _tile_of(program, num_padded, num_tiles_n, BLOCK_M: tl.constexpr, GROUP_M: tl.constexpr):
    """Tile (m, n) of a program: GROUP_M row tiles walk the columns together, to reuse L2."""
    num_tiles_m = num_padded // BLOCK_M
    per_group = GROUP_M * num_tiles_n
    first_m = program // per_group * GROUP_M
    rows = tl.maximum(tl.minimum(num_tiles_m - first_m, GROUP_M), 1)
    tile_m = first_m + program % per_group % rows
    tile_n = program % per_group // rows
    return tile_m, tile_n


@triton.jit(do_not_specialize=["num_pairs"])
def grouped_gemm_kernel(
    x,  # [rows, K]
    w,  # [E, N or 2N, K]
    out,  # [T*k, N]
    sorted_pairs,
    tile_group,
    num_padded_ptr,
    pair_weights,  # [T*k] float32, read when MUL_WEIGHT
    shrunk,  # [T*k, R], read when HAS_LORA
    lora_b,  # [L, E, N or 2N, R], read when HAS_LORA
    num_pairs,
    num_experts,
    N,
    stride_x_row,
    stride_x_k,
    stride_w_expert,
    stride_w_n,
    stride_w_k,
    stride_b_lora,
    stride_b_expert,
    stride_b_n,
    stride_b_r,
    K: tl.constexpr,
    R: tl.constexpr,
    ROW_DIVISOR: tl.constexpr,
    GATED: tl.constexpr,
    ACTIVATION: tl.constexpr,
    MUL_WEIGHT: tl.constexpr,
    HAS_LORA: tl.constexpr,
    EVEN_K: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_R: tl.constexpr,
    GROUP_M: tl.constexpr,
):
    """out[p] = weight[p] * act(x[row(p)] @ w[e].T + shrunk[p] @ lora_b[l, e].T)."""
    num_padded = tl.load(num_padded_ptr)
    program = tl.program_id(0)
    num_tiles_n = tl.cdiv(N, BLOCK_N)
    # The grid is sized for the worst routing; what this routing does not need leaves here.
    if program >= num_padded // BLOCK_M * num_tiles_n:
        return
    tile_m, tile_n = _tile_of(program, num_padded, num_tiles_n, BLOCK_M, GROUP_M)

    group = tl.load(tile_group + tile_m)
    # 64-bit from here on: E * N * K passes 2^31 for every large model.
    expert = (group % num_experts).to(tl.int64)
    pair = tl.load(sorted_pairs + tile_m * BLOCK_M + tl.arange(0, BLOCK_M))
    is_pair = pair < num_pairs
    row = (pair // ROW_DIVISOR).to(tl.int64)

    n = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    # Columns past N wrap around instead of being masked; they are not stored.
    n_wrapped = (n % N).to(tl.int64)
    k = tl.arange(0, BLOCK_K)
    x_ptrs = x + row[:, None] * stride_x_row + k[None, :] * stride_x_k
    w_ptrs = (
        w + expert * stride_w_expert + n_wrapped[:, None] * stride_w_n + k[None, :] * stride_w_k
    )
    up_offset = N.to(tl.int64) * stride_w_n

    acc = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
    acc_up = acc
    for first in range(0, K, BLOCK_K):
        if EVEN_K:
            x_tile = tl.load(x_ptrs, mask=is_pair[:, None], other=0.0)
            w_tile = tl.load(w_ptrs)
        else:
            x_tile = tl.load(x_ptrs, mask=is_pair[:, None] & (k[None, :] < K - first), other=0.0)
            w_tile = tl.load(w_ptrs, mask=k[None, :] < K - first, other=0.0)
        acc = tl.dot(x_tile, tl.trans(w_tile), acc, input_precision=PRECISION)
        if GATED:
            if EVEN_K:
                up_tile = tl.load(w_ptrs + up_offset)
            else:
                up_tile = tl.load(w_ptrs + up_offset, mask=k[None, :] < K - first, other=0.0)
            acc_up = tl.dot(x_tile, tl.trans(up_tile), acc_up, input_precision=PRECISION)
        x_ptrs += BLOCK_K * stride_x_k
        w_ptrs += BLOCK_K * stride_w_k

    if HAS_LORA:
        adapter = (group // num_experts - 1).to(tl.int64)
        if adapter >= 0:
            b_base = lora_b + adapter * stride_b_lora + expert * stride_b_expert
            b_up_offset = N.to(tl.int64) * stride_b_n
            for first in range(0, R, BLOCK_R):
                r = first + tl.arange(0, BLOCK_R)
                s_tile = tl.load(
                    shrunk + pair.to(tl.int64)[:, None] * R + r[None, :],
                    mask=is_pair[:, None] & (r[None, :] < R),
                    other=0.0,
                )
                b_ptrs = b_base + n_wrapped[:, None] * stride_b_n + r[None, :] * stride_b_r
                b_tile = tl.load(b_ptrs, mask=r[None, :] < R, other=0.0)
                acc = tl.dot(s_tile, tl.trans(b_tile), acc, input_precision=PRECISION)
                if GATED:
                    b_tile = tl.load(b_ptrs + b_up_offset, mask=r[None, :] < R, other=0.0)
                    acc_up = tl.dot(s_tile, tl.trans(b_tile), acc_up, input_precision=PRECISION)

    result = activate(acc, ACTIVATION)
    if GATED:
        result = result * acc_up
    if MUL_WEIGHT:
        weight = tl.load(pair_weights + pair, mask=is_pair, other=0.0)
        result = result * weight[:, None]
    out_ptrs = out + pair.to(tl.int64)[:, None] * N + n[None, :]
    tl.store(out_ptrs, result.to(out.dtype.element_ty), mask=is_pair[:, None] & (n[None, :] < N))


@triton.jit(do_not_specialize=["num_pairs"])
def lora_shrink_kernel(
    x,  # [rows, K]
    lora_a,  # [L, E, R, K]
    scaling,  # [L] float32
    shrunk,  # [T*k, R]
    sorted_pairs,
    tile_group,
    num_padded_ptr,
    num_pairs,
    num_experts,
    stride_x_row,
    stride_x_k,
    stride_a_lora,
    stride_a_expert,
    stride_a_r,
    stride_a_k,
    R: tl.constexpr,
    K: tl.constexpr,
    ROW_DIVISOR: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """shrunk[p] = scaling[l] * x[row(p)] @ lora_a[l, e].T, for pairs that have an adapter."""
    tile_m = tl.program_id(0)
    if tile_m * BLOCK_M >= tl.load(num_padded_ptr):
        return
    group = tl.load(tile_group + tile_m)
    adapter = (group // num_experts - 1).to(tl.int64)
    if adapter < 0:
        return
    expert = (group % num_experts).to(tl.int64)
    pair = tl.load(sorted_pairs + tile_m * BLOCK_M + tl.arange(0, BLOCK_M))
    is_pair = pair < num_pairs
    row = (pair // ROW_DIVISOR).to(tl.int64)
    r = tl.program_id(1) * BLOCK_R + tl.arange(0, BLOCK_R)
    a_base = lora_a + adapter * stride_a_lora + expert * stride_a_expert

    acc = tl.zeros([BLOCK_M, BLOCK_R], dtype=tl.float32)
    for first in range(0, K, BLOCK_K):
        k = first + tl.arange(0, BLOCK_K)
        x_tile = tl.load(
            x + row[:, None] * stride_x_row + k[None, :] * stride_x_k,
            mask=is_pair[:, None] & (k[None, :] < K),
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
        shrunk + pair.to(tl.int64)[:, None] * R + r[None, :],
        acc.to(shrunk.dtype.element_ty),
        mask=is_pair[:, None] & (r[None, :] < R),
    )
