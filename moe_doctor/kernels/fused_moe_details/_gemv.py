"""The two products of one or two tokens, row by row, without tensor cores.

So few tokens read every weight for themselves, so a layer costs what its weights take to arrive.
Programs are many and small, and each asks for its next block before it multiplies the one at hand;
the second kernel asks for its first weights while the first one still works. It walks all experts
of a token, so no sum over pairs follows.
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

from moe_doctor.kernels.fused_moe_details._activation import activate, activate_and_multiply
from moe_doctor.kernels.fused_moe_details.hopper import gdc_launch_dependents, gdc_wait


@triton.jit
def first_gemv_kernel(
    x,  # [T, K]
    w,  # [E, N or 2N, K]
    bias,  # [E, N or 2N], read when HAS_BIAS
    out,  # [T*k, N]
    topk_ids,  # [T*k]
    num_experts,
    N,
    stride_x_row,
    stride_w_expert,
    stride_w_n,
    K: tl.constexpr,
    TOP_K: tl.constexpr,
    GATED: tl.constexpr,
    ACTIVATION: tl.constexpr,
    LIMIT: tl.constexpr,
    ALPHA: tl.constexpr,
    BETA: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    PDL: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """out[pair] = act(w13[e] @ x[token]); a program makes BLOCK_N values of one pair."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    program = tl.program_id(0)
    num_tiles_n = tl.cdiv(N, BLOCK_N)
    pair = program // num_tiles_n
    expert = tl.load(topk_ids + pair)
    if (expert < 0) | (expert >= num_experts):
        return
    n = program % num_tiles_n * BLOCK_N + tl.arange(0, BLOCK_N)
    # Columns past N wrap around instead of being masked; they are not stored.
    n_wrapped = (n % N).to(tl.int64)
    k = tl.arange(0, BLOCK_K)
    x_row = x + (pair // TOP_K).to(tl.int64) * stride_x_row
    w_rows = w + expert.to(tl.int64) * stride_w_expert + n_wrapped[:, None] * stride_w_n
    up_offset = N.to(tl.int64) * stride_w_n

    acc = tl.zeros([BLOCK_N, BLOCK_K], dtype=tl.float32)
    acc_up = acc
    w_tile = _block(w_rows, k, K)
    up_tile = w_tile
    if GATED:
        up_tile = _block(w_rows + up_offset, k, K)
    for step in range(0, K, BLOCK_K):
        x_part = tl.load(x_row + step + k, mask=k < K - step, other=0.0).to(tl.float32)[None, :]
        w_now = w_tile
        up_now = up_tile
        w_tile = _block(w_rows + step + BLOCK_K, k, K - step - BLOCK_K)
        if GATED:
            up_tile = _block(w_rows + up_offset + step + BLOCK_K, k, K - step - BLOCK_K)
        acc += w_now.to(tl.float32) * x_part
        if GATED:
            acc_up += up_now.to(tl.float32) * x_part
    result = tl.sum(acc, axis=1)
    up = tl.sum(acc_up, axis=1) if GATED else result
    if HAS_BIAS:
        b_ptrs = bias + expert.to(tl.int64) * (2 * N if GATED else N) + n_wrapped
        result += tl.load(b_ptrs).to(tl.float32)
        if GATED:
            up += tl.load(b_ptrs + N).to(tl.float32)
    if GATED:
        result = activate_and_multiply(result, up, ACTIVATION, LIMIT, ALPHA, BETA)
    else:
        result = activate(result, ACTIVATION)
    tl.store(out + pair.to(tl.int64) * N + n, result.to(out.dtype.element_ty), mask=n < N)


@triton.jit
def second_gemv_kernel(
    x,  # [T*k, K]
    w,  # [E, N, K]
    bias,  # [E, N], read when HAS_BIAS
    out,  # [T, N]
    topk_ids,  # [T*k]
    pair_weights,  # [T*k] float32
    num_experts,
    N,
    stride_w_expert,
    stride_w_n,
    stride_out_row,
    K: tl.constexpr,
    TOP_K: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    PDL: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """out[token] = sum over slots of weight * w2[e] @ x[pair]; a program makes BLOCK_N values."""
    program = tl.program_id(0)
    num_tiles_n = tl.cdiv(N, BLOCK_N)
    first_pair = program // num_tiles_n * TOP_K
    n = program % num_tiles_n * BLOCK_N + tl.arange(0, BLOCK_N)
    n_wrapped = (n % N).to(tl.int64)
    k = tl.arange(0, BLOCK_K)
    w_rows = w + n_wrapped[:, None] * stride_w_n
    BLOCKS: tl.constexpr = (K + BLOCK_K - 1) // BLOCK_K

    acc = tl.zeros([BLOCK_N, BLOCK_K], dtype=tl.float32)
    # Ids and weights do not come from the first kernel, which waited for what they come from.
    expert = tl.load(topk_ids + first_pair)
    is_here = (expert >= 0) & (expert < num_experts)
    w_tile = _block(w_rows + expert.to(tl.int64) * stride_w_expert, k, tl.where(is_here, K, 0))
    if PDL:
        gdc_wait()
    for step in range(TOP_K * BLOCKS):
        pair = first_pair + step // BLOCKS
        start = step % BLOCKS * BLOCK_K
        width = tl.where(is_here, K - start, 0)
        x_row = x + pair.to(tl.int64) * K + start
        x_part = tl.load(x_row + k, mask=k < width, other=0.0).to(tl.float32)
        x_part *= tl.load(pair_weights + pair)
        w_now = w_tile
        # After the last step nothing is asked for; the id is read from the start again.
        ahead = (step + 1) % (TOP_K * BLOCKS)
        expert = tl.load(topk_ids + first_pair + ahead // BLOCKS)
        is_here = (expert >= 0) & (expert < num_experts)
        start = ahead % BLOCKS * BLOCK_K
        width = tl.where(is_here & (step + 1 < TOP_K * BLOCKS), K - start, 0)
        w_tile = _block(w_rows + expert.to(tl.int64) * stride_w_expert + start, k, width)
        acc += w_now.to(tl.float32) * x_part[None, :]
    result = tl.sum(acc, axis=1)
    if HAS_BIAS:
        for slot in tl.static_range(TOP_K):
            expert = tl.load(topk_ids + first_pair + slot)
            width = tl.where((expert >= 0) & (expert < num_experts), N, 0)
            b_row = bias + expert.to(tl.int64) * N
            b = tl.load(b_row + n, mask=n < width, other=0.0).to(tl.float32)
            result += b * tl.load(pair_weights + first_pair + slot)
    token = (first_pair // TOP_K).to(tl.int64)
    tl.store(out + token * stride_out_row + n, result.to(out.dtype.element_ty), mask=n < N)


@triton.jit
def _block(rows, k, width):
    """Block of weights, zero from `width` on; used once, so the cache need not keep it."""
    return tl.load(
        rows + k[None, :], mask=k[None, :] < width, other=0.0, eviction_policy="evict_first"
    )
