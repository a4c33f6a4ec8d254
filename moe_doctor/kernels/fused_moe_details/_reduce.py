"""Stage 5: sum each token's k weighted expert outputs."""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def reduce_kernel(
    pairs,  # [T*k, H]
    topk_ids,  # [T, k]
    out,  # [T, H]
    num_experts,
    H,
    stride_out_row,
    TOP_K: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    """out[t] = sum over slots of pairs[t * k + slot], in fp32, for experts that are here."""
    token = tl.program_id(0).to(tl.int64)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    acc = tl.zeros([BLOCK_H], dtype=tl.float32)
    for slot in range(TOP_K):
        expert = tl.load(topk_ids + token * TOP_K + slot)
        # A pair of an expert that is not here was never written: reading it would be garbage.
        if (expert >= 0) & (expert < num_experts):
            row = pairs + (token * TOP_K + slot) * H
            acc += tl.load(row + h, mask=h < H, other=0.0).to(tl.float32)
    tl.store(out + token * stride_out_row + h, acc.to(out.dtype.element_ty), mask=h < H)
