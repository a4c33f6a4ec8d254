"""Rows to fp8 or int8 before a GEMM of quantized activations, with a scale per row, group or all.

A scale is the largest value over the type's largest, or the one that the checkpoint stores; values
beyond it saturate (vLLM 0.20 quantization/input_quant_fp8.py, utils/int8_utils.py).
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from moe_doctor.kernels.fused_moe_details._encode import to_code
from moe_doctor.kernels.fused_moe_details.hopper import gdc_launch_dependents, gdc_wait
from moe_doctor.kernels.fused_moe_details.launch import QuantizedRows
from moe_doctor.kernels.quantized import FP8_MAX, INT8_MAX
from moe_doctor.kernels.schemes import Scheme

_BLOCK_K = 1024


def quantize_rows(
    x: Tensor,  # [rows, K]
    scheme: Scheme,
    input_scale: Tensor | None,  # [1] float32
    *,
    native_fp8: bool,
    pdl: bool = False,
) -> QuantizedRows:
    """Quantize activations by the scheme's rule, which `quantized.requantize_rows` states."""
    rows, depth = x.shape
    is_int8 = scheme.weights == "int8"
    limit = INT8_MAX if is_int8 else FP8_MAX
    fp8 = torch.float8_e4m3fn if native_fp8 else torch.uint8
    values = torch.empty(rows, depth, dtype=torch.int8 if is_int8 else fp8, device=x.device)
    if scheme.activations == "tensor":
        largest = torch.linalg.vector_norm(x, float("inf"), dtype=torch.float32)
        # By a tensor, so that it is a division also on CUDA (see `quantized.requantize_rows`).
        largest = largest.clamp_min(scheme.scale_floor)
        input_scale = (largest / torch.full_like(largest, limit)).view(1)
    group = scheme.group_k if scheme.activations == "group" else depth
    block_k = max(group, _BLOCK_K) if scheme.activations == "group" else _BLOCK_K
    block_k = min(block_k, triton.next_power_of_2(depth))
    if input_scale is not None:
        scales = input_scale.view(1, 1)
    else:
        scales = torch.empty(rows, triton.cdiv(depth, group), dtype=torch.float32, device=x.device)
    whole_row = scheme.activations == "token"
    quantize_rows_kernel[(rows, 1 if whole_row else triton.cdiv(depth, block_k))](
        x,
        values,
        scales,
        *x.stride(),
        K=depth,
        # A group past the end of a short row is as long as the row's block.
        GROUP=min(group, block_k) if scheme.activations == "group" else 0,
        WHOLE_ROW=whole_row,
        LIMIT=limit,
        FLOOR=scheme.scale_floor,
        IS_INT8=is_int8,
        NATIVE=native_fp8,
        PDL=pdl,
        BLOCK_K=block_k,
        **({"launch_pdl": True} if pdl else {}),
    )
    return QuantizedRows(values, scales)


@triton.jit
def quantize_rows_kernel(
    x,  # [rows, K]
    values,  # [rows, K]
    scales,  # [rows, groups], written; [1] and read when neither GROUP nor WHOLE_ROW
    stride_x_row,
    stride_x_k,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    WHOLE_ROW: tl.constexpr,
    LIMIT: tl.constexpr,
    FLOOR: tl.constexpr,
    IS_INT8: tl.constexpr,
    NATIVE: tl.constexpr,
    PDL: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One program a row, or a block of its groups."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    row = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, BLOCK_K)
    x_ptrs = x + row * stride_x_row + k * stride_x_k
    out = values + row * K
    if WHOLE_ROW:
        largest = tl.zeros([BLOCK_K], dtype=tl.float32)
        for step in range(0, K, BLOCK_K):
            part = tl.load(x_ptrs + step * stride_x_k, mask=k < K - step, other=0.0)
            largest = tl.maximum(largest, tl.abs(part.to(tl.float32)))
        scale = tl.div_rn(tl.maximum(tl.max(largest, axis=0), FLOOR), LIMIT)
        tl.store(scales + row, scale)
        for step in range(0, K, BLOCK_K):
            inside = k < K - step
            part = tl.load(x_ptrs + step * stride_x_k, mask=inside, other=0.0).to(tl.float32)
            code = to_code(part, scale, IS_INT8, NATIVE)
            tl.store(out + step + k, code, mask=inside)
    else:
        step = tl.program_id(1) * BLOCK_K
        inside = k < K - step
        part = tl.load(x_ptrs + step * stride_x_k, mask=inside, other=0.0).to(tl.float32)
        if GROUP:
            GROUPS: tl.constexpr = BLOCK_K // GROUP
            groups = tl.reshape(part, [GROUPS, GROUP])
            scale = tl.div_rn(tl.maximum(tl.max(tl.abs(groups), axis=1), FLOOR), LIMIT)
            index = step // GROUP + tl.arange(0, GROUPS)
            ALL: tl.constexpr = (K + GROUP - 1) // GROUP
            tl.store(scales + row * ALL + index, scale, mask=index < ALL)
            code = tl.reshape(to_code(groups, scale[:, None], IS_INT8, NATIVE), [BLOCK_K])
        else:
            code = to_code(part, tl.load(scales), IS_INT8, NATIVE)
        tl.store(out + step + k, code, mask=inside)
