"""The grouped GEMM of two 8-bit operands, fp8 or int8: activations are quantized too.

Scales per group of columns come in after every step, all others after the loop. Activations come
quantized, or, for few tokens (`LIVE`), plain and are quantized on the way: two launches less. The
first GEMM may hand its rows over quantized (`OUT_GROUP`, `OUT_STATIC`), which saves writing and
reading them in 16 bits. With weights through TMA a tile of gate and one of up are one operand
(`JOIN`): half the products, twice as wide, and half the waiting for them. `DECODE` is for machines
without fp8: e4m3 then comes as bytes and is multiplied as fp16, which holds it exactly.
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

from moe_doctor.kernels.fused_moe_details._decode import decode_e4m3
from moe_doctor.kernels.fused_moe_details._encode import group_codes, scale_of, to_code
from moe_doctor.kernels.fused_moe_details._epilogue import (
    add_adapter,
    finish,
    finish_quantized,
    split_halves,
)
from moe_doctor.kernels.fused_moe_details._rows import aligned_rows, direct_rows, tile_of
from moe_doctor.kernels.fused_moe_details.hopper import gdc_launch_dependents, gdc_wait


@triton.jit(do_not_specialize=["num_pairs", "max_tiles"])
def eight_bit_gemm_kernel(
    x,  # [rows, K] fp8 or int8, or its descriptor when X_TMA; 16 bits when LIVE
    x_scales,  # [rows or 1, groups] float32; not read when LIVE makes them; the largest value
    # when LIVE and MEASURED
    w,  # [E, N or 2N, K], or the descriptor of [E, N, K] or [E * 2, N, K] when W_TMA
    w_scales,  # [E, scale rows, scale columns] float32
    bias,  # [E, N or 2N], read when HAS_BIAS
    out,  # [T*k, N], 8 bits when OUT_GROUP or OUT_STATIC
    out_scales,  # [T*k, groups], written when OUT_GROUP; [1] and read when OUT_STATIC; the bits of
    # the largest value when OUT_MEASURE
    topk_ids,  # [T*k], read when DIRECT
    sorted_pairs,
    tiles,
    num_tiles_ptr,
    pair_weights,  # [T*k] float32, read by the second GEMM
    shrunk,  # [T*k, R], read when HAS_LORA
    lora_b,  # [L, E, N or 2N, R], read when HAS_LORA
    num_pairs,
    max_tiles,
    num_experts,
    N,
    stride_x_row,
    stride_x_k,
    stride_xs_row,  # 0 when one scale serves every row
    stride_b_lora,
    stride_b_expert,
    stride_b_n,
    stride_b_r,
    K: tl.constexpr,
    R: tl.constexpr,
    TOP_K: tl.constexpr,
    FIRST: tl.constexpr,
    GATED: tl.constexpr,
    ACTIVATION: tl.constexpr,
    LIMIT: tl.constexpr,
    ALPHA: tl.constexpr,
    BETA: tl.constexpr,
    IS_INT8: tl.constexpr,
    DECODE: tl.constexpr,
    NATIVE: tl.constexpr,
    GROUP_N: tl.constexpr,
    GROUP_K: tl.constexpr,
    LIVE: tl.constexpr,
    MEASURED: tl.constexpr,
    FLOOR: tl.constexpr,
    OUT_GROUP: tl.constexpr,
    OUT_STATIC: tl.constexpr,
    OUT_MEASURE: tl.constexpr,
    ROUND: tl.constexpr,
    PROMOTE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_LORA: tl.constexpr,
    DIRECT: tl.constexpr,
    X_TMA: tl.constexpr,
    W_TMA: tl.constexpr,
    PDL: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_S: tl.constexpr,
    GROUP_M: tl.constexpr,
    SWAP: tl.constexpr,
):
    """out[place] = act(x[token] @ w13[e].T), then out[pair] = weight * x[place] @ w2[e].T."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    program = tl.program_id(0)
    num_tiles_n = tl.cdiv(N, BLOCK_N)
    m = tl.arange(0, BLOCK_M)
    if DIRECT:
        tile_n = program % num_tiles_n
        group, pair, is_row, idle = direct_rows(
            topk_ids, program // num_tiles_n, num_pairs, TOP_K, BLOCK_M, BLOCK_S
        )
        if (idle != 0) | (group < 0) | (group >= num_experts):
            return
        first = 0
        place = pair
        token = m
    else:
        num_tiles = tl.load(num_tiles_ptr)
        if program >= num_tiles * num_tiles_n:
            return
        tile_m, tile_n = tile_of(program, num_tiles, num_tiles_n, GROUP_M)
        group, first, pair, is_row = aligned_rows(sorted_pairs, tiles, max_tiles, tile_m, BLOCK_M)
        place = first + m
        token = pair // TOP_K
    expert = group % num_experts
    x_row = (token if FIRST else place).to(tl.int64)
    n = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    # Columns past N wrap around instead of being masked; they are not stored.
    n_wrapped = (n % N).to(tl.int64)
    k = tl.arange(0, BLOCK_K)
    EVEN_K: tl.constexpr = K % BLOCK_K == 0
    if not X_TMA:
        x_ptrs = x + x_row[:, None] * stride_x_row + k[None, :] * stride_x_k
    JOIN: tl.constexpr = GATED and W_TMA
    HALVES: tl.constexpr = 2 if JOIN else 1
    if not W_TMA:
        rows = (2 * N if GATED else N).to(tl.int64)
        w_ptrs = w + (expert * rows + n_wrapped)[:, None] * K + k[None, :]
        up_offset = N.to(tl.int64) * K

    COLUMNS: tl.constexpr = (K + GROUP_K - 1) // GROUP_K if GROUP_K else 1
    # Whether one weight scale serves all columns of the tile.
    SCALAR: tl.constexpr = GROUP_N == 0 or GROUP_N % BLOCK_N == 0
    # Gate's and up's sums apart in the loop, or one above the other until it ends.
    APART: tl.constexpr = (JOIN and GROUP_K > 0) and (SCALAR and not SWAP)
    # Where gate's scales end and up's begin; one scale of a whole expert serves both.
    scale_rows = (N + GROUP_N - 1) // GROUP_N if GROUP_N else 0
    scale_row = expert.to(tl.int64) * (scale_rows * (2 if GATED else 1) if GROUP_N else 1)
    if JOIN and not APART:
        joined = tl.arange(0, 2 * BLOCK_N)
        joined_n = (tile_n * BLOCK_N + joined % BLOCK_N) % N
        scale_row += joined // BLOCK_N * scale_rows
        if GROUP_N:
            scale_row += joined_n // GROUP_N
    elif GROUP_N:
        scale_row += (tile_n * BLOCK_N // GROUP_N) if SCALAR else n_wrapped // GROUP_N
    ONE: tl.constexpr = SCALAR and (APART or not JOIN)
    ws_ptrs = w_scales + scale_row * COLUMNS
    up_scale_offset = scale_rows * COLUMNS
    xs_ptrs = x_scales + x_row * stride_xs_row
    if LIVE and not GROUP_K:
        live_scale = tl.load(x_scales)
        if MEASURED:
            live_scale = scale_of(live_scale, FLOOR, IS_INT8)

    SUM: tl.constexpr = tl.int32 if IS_INT8 else tl.float32
    WIDTH: tl.constexpr = BLOCK_N if APART else HALVES * BLOCK_N
    acc = tl.zeros([WIDTH, BLOCK_M] if SWAP else [BLOCK_M, WIDTH], dtype=SUM)
    acc_up = acc
    for step in range(0, K, BLOCK_K):
        if GROUP_K:
            # Before the products, so that these loads are over when the sums are there.
            w_scale = tl.load(ws_ptrs + step // GROUP_K)
            if APART or (GATED and not JOIN):
                up_scale = tl.load(ws_ptrs + up_scale_offset + step // GROUP_K)
            if not LIVE:
                x_scale = tl.load(xs_ptrs + step // GROUP_K, mask=is_row, other=0.0)
        if X_TMA:
            x_tile = x.load([first, step])
        elif EVEN_K:
            x_tile = tl.load(x_ptrs, mask=is_row[:, None], other=0.0)
        else:
            x_tile = tl.load(x_ptrs, mask=is_row[:, None] & (k[None, :] < K - step), other=0.0)
        if LIVE and GROUP_K:
            x_tile, x_scale = group_codes(x_tile.to(tl.float32), FLOOR, IS_INT8, NATIVE)
        elif LIVE:
            x_tile = to_code(x_tile.to(tl.float32), live_scale, IS_INT8, NATIVE)
        if DECODE:
            x_tile = decode_e4m3(x_tile)
        if W_TMA:
            w_tile = w.load([expert * HALVES, tile_n * BLOCK_N, step])
            w_tile = tl.reshape(w_tile, [HALVES * BLOCK_N, BLOCK_K])
        elif EVEN_K:
            w_tile = tl.load(w_ptrs)
        else:
            w_tile = tl.load(w_ptrs, mask=k[None, :] < K - step, other=0.0)
        if DECODE:
            w_tile = decode_e4m3(w_tile)
        if GROUP_K:
            part = _multiply(x_tile, w_tile, SWAP)
            if APART:
                part, part_up = split_halves(part, SWAP, BLOCK_M, BLOCK_N)
                acc = _add_scaled(part, acc, x_scale, w_scale, ONE, SWAP)
                acc_up = _add_scaled(part_up, acc_up, x_scale, up_scale, ONE, SWAP)
            else:
                acc = _add_scaled(part, acc, x_scale, w_scale, ONE, SWAP)
        else:
            acc = _add(x_tile, w_tile, acc, IS_INT8, SWAP, PROMOTE)
        if GATED and not JOIN:
            if EVEN_K:
                up_tile = tl.load(w_ptrs + up_offset)
            else:
                up_tile = tl.load(w_ptrs + up_offset, mask=k[None, :] < K - step, other=0.0)
            if DECODE:
                up_tile = decode_e4m3(up_tile)
            if GROUP_K:
                part = _multiply(x_tile, up_tile, SWAP)
                acc_up = _add_scaled(part, acc_up, x_scale, up_scale, ONE, SWAP)
            else:
                acc_up = _add(x_tile, up_tile, acc_up, IS_INT8, SWAP, PROMOTE)
        if not X_TMA:
            x_ptrs += BLOCK_K * stride_x_k
        if not W_TMA:
            w_ptrs += BLOCK_K

    if not GROUP_K:
        x_scale = is_row * live_scale if LIVE else tl.load(xs_ptrs, mask=is_row, other=0.0)
        acc = _scaled(acc, x_scale, tl.load(ws_ptrs), ONE, SWAP)
        if GATED and not JOIN:
            acc_up = _scaled(acc_up, x_scale, tl.load(ws_ptrs + up_scale_offset), ONE, SWAP)
    if JOIN and not APART:
        acc, acc_up = split_halves(acc, SWAP, BLOCK_M, BLOCK_N)
    if SWAP:
        acc = tl.trans(acc)
        acc_up = tl.trans(acc_up)

    if HAS_LORA:
        acc, acc_up = add_adapter(
            acc, acc_up, shrunk, lora_b, group, place, is_row, n_wrapped, num_experts, N,
            stride_b_lora, stride_b_expert, stride_b_n, stride_b_r, R, GATED, PRECISION, BLOCK_R,
        )  # fmt: skip
    if OUT_GROUP or OUT_STATIC:
        finish_quantized(
            acc, acc_up, bias, out, out_scales, expert, place, is_row, n, n_wrapped, N, tile_n,
            HAS_BIAS, GATED, ACTIVATION, LIMIT, ALPHA, BETA, OUT_GROUP, FLOOR, ROUND, IS_INT8,
            NATIVE,
        )  # fmt: skip
    else:
        finish(
            acc, acc_up, bias, pair_weights, out, expert, place, pair, is_row, n, n_wrapped, N,
            HAS_BIAS, FIRST, GATED, ACTIVATION, LIMIT, ALPHA, BETA, out_scales, OUT_MEASURE,
        )  # fmt: skip


@triton.jit
def _multiply(x_tile, w_tile, SWAP: tl.constexpr):
    """x_tile @ w_tile.T, or the same transposed."""
    if SWAP:
        part = tl.dot(w_tile, tl.trans(x_tile), out_dtype=tl.float32)
    else:
        part = tl.dot(x_tile, tl.trans(w_tile), out_dtype=tl.float32)
    return part


@triton.jit
def _scaled(
    part,
    x_scale,  # [BLOCK_M]
    w_scale,  # [width], or one when ONE
    ONE: tl.constexpr,
    SWAP: tl.constexpr,
):
    """Part times both scales, in float32."""
    if ONE:
        scale = (x_scale * w_scale)[None, :] if SWAP else (x_scale * w_scale)[:, None]
    elif SWAP:
        scale = w_scale[:, None] * x_scale[None, :]
    else:
        scale = x_scale[:, None] * w_scale[None, :]
    return part.to(tl.float32) * scale


@triton.jit
def _add_scaled(part, acc, x_scale, w_scale, ONE: tl.constexpr, SWAP: tl.constexpr):
    """acc + part times both scales: one fused multiply-add a value where ONE."""
    return acc + _scaled(part, x_scale, w_scale, ONE, SWAP)


@triton.jit
def _add(
    x_tile,
    w_tile,
    acc,
    IS_INT8: tl.constexpr,
    SWAP: tl.constexpr,
    PROMOTE: tl.constexpr,
):
    """acc + x_tile @ w_tile.T; 8-bit operands as they are.

    Hopper's fp8 units add with 14 bits: with PROMOTE their sums are taken over into fp32 after so
    many columns.
    """
    if SWAP:
        # Not into acc: weights go through registers, which the next step fills while products of
        # this one still read them (Triton 3.6 waits for all but three; seen as wrong sums).
        if IS_INT8:
            acc += tl.dot(w_tile, tl.trans(x_tile), out_dtype=tl.int32)
        else:
            acc += tl.dot(w_tile, tl.trans(x_tile), out_dtype=tl.float32)
    elif IS_INT8:
        acc = tl.dot(x_tile, tl.trans(w_tile), acc, out_dtype=tl.int32)
    elif PROMOTE:
        acc = tl.dot(x_tile, tl.trans(w_tile), acc, max_num_imprecise_acc=PROMOTE)
    else:
        acc = tl.dot(x_tile, tl.trans(w_tile), acc)
    return acc
