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

from moe_doctor.kernels.fused_moe_details._encode import gather_largest, scale_of, to_code
from moe_doctor.kernels.fused_moe_details.hopper import gdc_launch_dependents, gdc_wait
from moe_doctor.kernels.fused_moe_details.launch import MeasuredRows, QuantizedRows
from moe_doctor.kernels.schemes import Scheme

_BLOCK_K = 1024
_MEASURED_ROWS = 8


def measure_rows(x: Tensor, largest: Tensor, *, pdl: bool = False) -> MeasuredRows:
    """Rows [rows, K] with their largest value, for which `largest` ([1] int32) is zero before."""
    rows, depth = x.shape
    measure_rows_kernel[(triton.cdiv(rows, _MEASURED_ROWS), triton.cdiv(depth, _BLOCK_K))](
        x,
        largest,
        rows,
        *x.stride(),
        K=depth,
        PDL=pdl,
        BLOCK_M=_MEASURED_ROWS,
        BLOCK_K=min(_BLOCK_K, triton.next_power_of_2(depth)),
        **({"launch_pdl": True} if pdl else {}),
    )
    return MeasuredRows(x, largest)


def quantize_rows(
    x: Tensor | MeasuredRows,  # [rows, K]
    scheme: Scheme,
    input_scale: Tensor | None,  # [1] float32
    *,
    native_fp8: bool,
    pdl: bool = False,
) -> QuantizedRows:
    """Quantize activations by the scheme's rule, which `quantized.requantize_rows` states."""
    largest = input_scale
    if scheme.activations == "tensor":
        if isinstance(x, Tensor):
            x = measure_rows(x, torch.zeros(1, dtype=torch.int32, device=x.device), pdl=pdl)
        largest = x.largest.view(torch.float32)
    if isinstance(x, MeasuredRows):
        x = x.values
    rows, depth = x.shape
    is_int8 = scheme.weights == "int8"
    fp8 = torch.float8_e4m3fn if native_fp8 else torch.uint8
    values = torch.empty(rows, depth, dtype=torch.int8 if is_int8 else fp8, device=x.device)
    group = scheme.group_k if scheme.activations == "group" else depth
    block_k = max(group, _BLOCK_K) if scheme.activations == "group" else _BLOCK_K
    block_k = min(block_k, triton.next_power_of_2(depth))
    if input_scale is not None:
        scales = input_scale.view(1, 1)
    else:
        one = scheme.activations == "tensor"
        size = (1, 1) if one else (rows, triton.cdiv(depth, group))
        scales = torch.empty(size, dtype=torch.float32, device=x.device)
    whole_row = scheme.activations == "token"
    quantize_rows_kernel[(rows, 1 if whole_row else triton.cdiv(depth, block_k))](
        x,
        values,
        scales,
        scales if largest is None else largest,
        *x.stride(),
        K=depth,
        # A group past the end of a short row is as long as the row's block.
        GROUP=min(group, block_k) if scheme.activations == "group" else 0,
        WHOLE_ROW=whole_row,
        MEASURED=scheme.activations == "tensor",
        FLOOR=scheme.scale_floor,
        IS_INT8=is_int8,
        NATIVE=native_fp8,
        PDL=pdl,
        BLOCK_K=block_k,
        **({"launch_pdl": True} if pdl else {}),
    )
    return QuantizedRows(values, scales)


@triton.jit
def measure_rows_kernel(
    x,  # [rows, K]
    largest,  # [1] int32
    rows,
    stride_x_row,
    stride_x_k,
    K: tl.constexpr,
    PDL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Gather the largest value of a block."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    row = (tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    k = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)
    inside = (row[:, None] < rows) & (k[None, :] < K)
    x_ptrs = x + row[:, None] * stride_x_row + k[None, :] * stride_x_k
    gather_largest(tl.load(x_ptrs, mask=inside, other=0.0).to(tl.float32), largest)


@triton.jit
def quantize_rows_kernel(
    x,  # [rows, K]
    values,  # [rows, K]
    scales,  # [rows, groups], written; [1] and read when neither GROUP, WHOLE_ROW nor MEASURED
    largest,  # [1] float32, read when MEASURED
    stride_x_row,
    stride_x_k,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    WHOLE_ROW: tl.constexpr,
    MEASURED: tl.constexpr,
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
        high = tl.zeros([BLOCK_K], dtype=tl.float32)
        for step in range(0, K, BLOCK_K):
            part = tl.load(x_ptrs + step * stride_x_k, mask=k < K - step, other=0.0)
            high = tl.maximum(high, tl.abs(part.to(tl.float32)))
        scale = scale_of(tl.max(high, axis=0), FLOOR, IS_INT8)
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
            scale = scale_of(tl.max(tl.abs(groups), axis=1), FLOOR, IS_INT8)
            index = step // GROUP + tl.arange(0, GROUPS)
            ALL: tl.constexpr = (K + GROUP - 1) // GROUP
            tl.store(scales + row * ALL + index, scale, mask=index < ALL)
            code = tl.reshape(to_code(groups, scale[:, None], IS_INT8, NATIVE), [BLOCK_K])
        else:
            if MEASURED:
                scale = scale_of(tl.load(largest), FLOOR, IS_INT8)
                # Every program writes the same.
                tl.store(scales, scale)
            else:
                scale = tl.load(scales)
            code = to_code(part, scale, IS_INT8, NATIVE)
        tl.store(out + step + k, code, mask=inside)
