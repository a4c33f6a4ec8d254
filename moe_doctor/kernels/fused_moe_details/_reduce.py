"""Stage 5: sum each token's k weighted expert outputs."""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from moe_doctor.kernels.fused_moe_details.hopper import gdc_wait

_BLOCK_H = 1024
_FEW_TOKENS = 128


def reduce_pairs(
    pairs: Tensor,  # [T*k, H]
    topk_ids: Tensor,  # [T, k]
    out: Tensor,  # [T, H]
    num_experts: int,
    *,
    pdl: bool,
) -> None:
    """Sum each token's weighted pairs of experts that are here into `out`."""
    num_tokens, hidden_size = out.shape
    # Few tokens: smaller blocks, so that the sum is spread over the GPU all the same.
    block_h = min(_BLOCK_H, triton.next_power_of_2(hidden_size))
    if num_tokens < _FEW_TOKENS:
        block_h = min(block_h, 256)
    launch = {"launch_pdl": True} if pdl else {}
    reduce_kernel[(num_tokens, triton.cdiv(hidden_size, block_h))](
        pairs,
        topk_ids,
        out,
        num_experts,
        hidden_size,
        out.stride(0),
        TOP_K=topk_ids.shape[1],
        BLOCK_H=block_h,
        PDL=pdl,
        **launch,
    )


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
    PDL: tl.constexpr,
):
    """out[t] = sum over slots of pairs[t * k + slot], in fp32, for experts that are here."""
    if PDL:
        gdc_wait()
    token = tl.program_id(0).to(tl.int64)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    acc = tl.zeros([BLOCK_H], dtype=tl.float32)
    # Unrolled, so that all loads are in flight together.
    for slot in tl.static_range(TOP_K):
        expert = tl.load(topk_ids + token * TOP_K + slot)
        # A pair of an expert that is not here was never written: reading it would be garbage.
        width = tl.where((expert >= 0) & (expert < num_experts), H, 0)
        row = pairs + (token * TOP_K + slot) * H
        acc += tl.load(row + h, mask=h < width, other=0.0).to(tl.float32)
    tl.store(out + token * stride_out_row + h, acc.to(out.dtype.element_ty), mask=h < H)
