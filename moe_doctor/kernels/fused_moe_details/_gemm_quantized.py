"""The grouped GEMM over quantized weights: `_gemm`'s shape of work, another loop.

Weights alone are quantized: a tile is unpacked, scaled and rounded to the activations' dtype in
the loop, then multiplied (`_gemm_eight_bits` is for quantized activations). Plain weights come here
as well when the layer has biases or a clamp.
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

from moe_doctor.kernels.fused_moe_details._epilogue import add_adapter, finish, split_halves
from moe_doctor.kernels.fused_moe_details._rows import aligned_rows, direct_rows, tile_of
from moe_doctor.kernels.fused_moe_details._unpack import unpack
from moe_doctor.kernels.fused_moe_details.hopper import gdc_launch_dependents, gdc_wait


@triton.jit(do_not_specialize=["num_pairs", "max_tiles"])
def quantized_gemm_kernel(
    x,  # [rows, K]
    w,  # [E, N or 2N, K or K / 2]
    w_scales,  # [E, scale rows, scale columns]
    w_zeros,  # the same in uint8, read when HAS_ZEROS
    expert_scales,  # [E] float32, read for nvfp4
    bias,  # [E, N or 2N], read when HAS_BIAS
    out,  # [T*k, N]
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
    WEIGHTS: tl.constexpr,
    GROUP_N: tl.constexpr,
    GROUP_K: tl.constexpr,
    HAS_ZEROS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_LORA: tl.constexpr,
    DIRECT: tl.constexpr,
    PAIRS: tl.constexpr,
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
    expert = (group % num_experts).to(tl.int64)
    x_row = (token if FIRST else place).to(tl.int64)
    n = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    # Columns past N wrap around instead of being masked; they are not stored.
    n_wrapped = (n % N).to(tl.int64)
    k = tl.arange(0, BLOCK_K)
    x_ptrs = x + x_row[:, None] * stride_x_row + k[None, :] * stride_x_k

    # Gate and up are one operand, gate's rows above up's.
    HALVES: tl.constexpr = 2 if GATED else 1
    WIDTH: tl.constexpr = HALVES * BLOCK_N
    wide = tl.arange(0, WIDTH)
    wide_n = ((tile_n * BLOCK_N + wide % BLOCK_N) % N).to(tl.int64)
    half = wide // BLOCK_N
    FOUR_BITS: tl.constexpr = (WEIGHTS == "int4" or WEIGHTS == "mxfp4") or WEIGHTS == "nvfp4"
    PACKED: tl.constexpr = 2 if FOUR_BITS else 1
    ROW_BYTES: tl.constexpr = K // PACKED
    column = tl.arange(0, BLOCK_K // PACKED)
    w_ptrs = w + ((expert * HALVES + half) * N + wide_n)[:, None] * ROW_BYTES + column[None, :]

    COLUMNS: tl.constexpr = (K + GROUP_K - 1) // GROUP_K if GROUP_K else 1
    # Where gate's scales end and up's begin; one scale of a whole expert serves both.
    scale_rows = (N + GROUP_N - 1) // GROUP_N if GROUP_N else 0
    if GROUP_N:
        scale_row = (expert * HALVES + half) * scale_rows + wide_n // GROUP_N
    else:
        scale_row = expert + wide_n * 0
    # Groups of a step: several short ones, or a part of one.
    GROUPS: tl.constexpr = BLOCK_K // GROUP_K if (GROUP_K > 0 and GROUP_K < BLOCK_K) else 1
    group_index = tl.arange(0, GROUPS)
    where = scale_row[:, None] * COLUMNS + group_index[None, :]
    scale = 0
    zero = 0
    if GROUP_K:
        scale = tl.load(w_scales + where, mask=group_index[None, :] < COLUMNS, other=0)
    if HAS_ZEROS:
        zero = tl.load(w_zeros + where, mask=group_index[None, :] < COLUMNS, other=0)

    EVEN_K: tl.constexpr = K % BLOCK_K == 0
    acc = tl.zeros([WIDTH, BLOCK_M] if SWAP else [BLOCK_M, WIDTH], dtype=tl.float32)
    for step in range(0, K, BLOCK_K):
        if EVEN_K:
            x_tile = tl.load(x_ptrs, mask=is_row[:, None], other=0.0)
            code = tl.load(w_ptrs)
        else:
            x_tile = tl.load(x_ptrs, mask=is_row[:, None] & (k[None, :] < K - step), other=0.0)
            code = tl.load(w_ptrs, mask=column[None, :] < ROW_BYTES - step // PACKED, other=0.0)
        w_tile = unpack(
            code, scale, zero, x.dtype.element_ty, WEIGHTS, GROUP_K > 0, HAS_ZEROS, PAIRS, WIDTH,
            BLOCK_K, GROUPS,
        )  # fmt: skip
        if GROUP_K:
            # The next step's, so that nobody waits for them.
            index = (step + BLOCK_K) // GROUP_K + group_index
            inside = index[None, :] < COLUMNS
            where = scale_row[:, None] * COLUMNS + index[None, :]
            scale = tl.load(w_scales + where, mask=inside, other=0)
            if HAS_ZEROS:
                zero = tl.load(w_zeros + where, mask=inside, other=0)
        if SWAP:
            # Not into acc: weights go through registers, which the next step fills while products
            # of this one still read them (Triton 3.6 waits for all but three; seen as wrong sums).
            # As a product with one, because Triton makes a sum of acc and a product the former.
            part = tl.dot(w_tile, tl.trans(x_tile), input_precision=PRECISION)
            acc = tl.fma(part, tl.full(acc.shape, 1.0, tl.float32), acc)
        else:
            acc = tl.dot(x_tile, tl.trans(w_tile), acc, input_precision=PRECISION)
        x_ptrs += BLOCK_K * stride_x_k
        w_ptrs += BLOCK_K // PACKED

    if not GROUP_K and WEIGHTS != "plain":
        scale = tl.load(w_scales + scale_row).to(tl.float32)
        acc *= scale[:, None] if SWAP else scale[None, :]
    if WEIGHTS == "nvfp4":
        acc *= tl.load(expert_scales + expert)
    if GATED:
        acc, acc_up = split_halves(acc, SWAP, BLOCK_M, BLOCK_N)
    else:
        acc_up = acc
    if SWAP:
        acc = tl.trans(acc)
        acc_up = tl.trans(acc_up)

    if HAS_LORA:
        acc, acc_up = add_adapter(
            acc, acc_up, shrunk, lora_b, group, place, is_row, n_wrapped, num_experts, N,
            stride_b_lora, stride_b_expert, stride_b_n, stride_b_r, R, GATED, PRECISION, BLOCK_R,
        )  # fmt: skip
    finish(
        acc, acc_up, bias, pair_weights, out, expert, place, pair, is_row, n, n_wrapped, N,
        HAS_BIAS, FIRST, GATED, ACTIVATION, LIMIT, ALPHA, BETA,
    )  # fmt: skip
