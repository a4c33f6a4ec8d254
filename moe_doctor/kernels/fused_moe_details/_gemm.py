"""Stages 2 and 3: the grouped GEMM, with what surrounds it fused in.

One kernel serves both GEMMs. The first reads tokens and writes places (see `_rows`), activated; the
second reads places and writes pairs, times the router's weight. K and R are constants of a model,
and compile-time ones here: a runtime bound of `range` breaks the interpreter of triton 3.6 and
older beside numpy 2.4 and newer.
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

from moe_doctor.kernels.fused_moe_details._epilogue import add_adapter, finish
from moe_doctor.kernels.fused_moe_details._rows import aligned_rows, direct_rows, tile_of
from moe_doctor.kernels.fused_moe_details.hopper import gdc_launch_dependents, gdc_wait


@triton.jit(do_not_specialize=["num_pairs", "max_tiles"])
def grouped_gemm_kernel(
    x,  # [rows, K], or its descriptor when X_TMA
    w,  # [E, N or 2N, K], or the descriptor of [E * rows, K] when W_TMA
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
    stride_w_expert,
    stride_w_n,
    stride_w_k,
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
    HAS_LORA: tl.constexpr,
    DIRECT: tl.constexpr,
    X_TMA: tl.constexpr,
    W_TMA: tl.constexpr,
    PDL: tl.constexpr,
    EVEN_K: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_S: tl.constexpr,
    GROUP_M: tl.constexpr,
    SWAP: tl.constexpr,
):
    """out[place] = act(x[token] @ w13[e].T), then out[pair] = weight * x[place] @ w2[e].T.

    With LoRA, shrunk[place] @ lora_b[l, e].T is added to either product.
    """
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
        # The grid is sized for the worst routing; what this routing does not need leaves here.
        num_tiles = tl.load(num_tiles_ptr)
        if program >= num_tiles * num_tiles_n:
            return
        tile_m, tile_n = tile_of(program, num_tiles, num_tiles_n, GROUP_M)
        group, first, pair, is_row = aligned_rows(sorted_pairs, tiles, max_tiles, tile_m, BLOCK_M)
        place = first + m
        token = pair // TOP_K
    expert = group % num_experts

    x_row = token if FIRST else place
    n = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    # 64-bit offsets: E * N * K passes 2^31 for every large model.
    if not X_TMA:
        x_ptrs = x + x_row.to(tl.int64)[:, None] * stride_x_row + k[None, :] * stride_x_k
    # Columns past N wrap around instead of being masked; they are not stored.
    n_wrapped = (n % N).to(tl.int64)
    if not W_TMA:
        w_ptrs = (
            w
            + expert.to(tl.int64) * stride_w_expert
            + n_wrapped[:, None] * stride_w_n
            + k[None, :] * stride_w_k
        )
        up_offset = N.to(tl.int64) * stride_w_n
    w_row = expert * (2 * N if GATED else N) + tile_n * BLOCK_N

    if SWAP:
        acc = tl.zeros([BLOCK_N, BLOCK_M], dtype=tl.float32)
    else:
        acc = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
    acc_up = acc
    for step in range(0, K, BLOCK_K):
        if X_TMA:
            x_tile = x.load([first, step])
        elif EVEN_K:
            x_tile = tl.load(x_ptrs, mask=is_row[:, None], other=0.0)
        else:
            x_tile = tl.load(x_ptrs, mask=is_row[:, None] & (k[None, :] < K - step), other=0.0)
        if W_TMA:
            w_tile = w.load([w_row, step])
        elif EVEN_K:
            w_tile = tl.load(w_ptrs)
        else:
            w_tile = tl.load(w_ptrs, mask=k[None, :] < K - step, other=0.0)
        if SWAP:
            acc = tl.dot(w_tile, tl.trans(x_tile), acc, input_precision=PRECISION)
        else:
            acc = tl.dot(x_tile, tl.trans(w_tile), acc, input_precision=PRECISION)
        if GATED:
            if W_TMA:
                up_tile = w.load([w_row + N, step])
            elif EVEN_K:
                up_tile = tl.load(w_ptrs + up_offset)
            else:
                up_tile = tl.load(w_ptrs + up_offset, mask=k[None, :] < K - step, other=0.0)
            if SWAP:
                acc_up = tl.dot(up_tile, tl.trans(x_tile), acc_up, input_precision=PRECISION)
            else:
                acc_up = tl.dot(x_tile, tl.trans(up_tile), acc_up, input_precision=PRECISION)
        if not X_TMA:
            x_ptrs += BLOCK_K * stride_x_k
        if not W_TMA:
            w_ptrs += BLOCK_K * stride_w_k
    if SWAP:
        acc = tl.trans(acc)
        acc_up = tl.trans(acc_up)

    if HAS_LORA:
        acc, acc_up = add_adapter(
            acc,
            acc_up,
            shrunk,
            lora_b,
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
            R,
            GATED,
            PRECISION,
            BLOCK_R,
        )
    finish(
        acc,
        acc_up,
        out,  # no bias
        pair_weights,
        out,
        expert,
        place,
        pair,
        is_row,
        n,
        n_wrapped,
        N,
        HAS_BIAS=False,
        FIRST=FIRST,
        GATED=GATED,
        ACTIVATION=ACTIVATION,
        LIMIT=0.0,
        ALPHA=1.0,
        BETA=0.0,
    )
