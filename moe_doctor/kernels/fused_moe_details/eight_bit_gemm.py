"""The GEMM of 8-bit operands seen from the host: where rows are quantized, and the launch."""

# mypy: allow-untyped-calls
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from moe_doctor.kernels.fused_moe_details._gemm_eight_bits import eight_bit_gemm_kernel
from moe_doctor.kernels.fused_moe_details._quantize_rows import quantize_rows
from moe_doctor.kernels.fused_moe_details.hopper import describe, fits_tma
from moe_doctor.kernels.fused_moe_details.launch import (
    MeasuredRows,
    QuantizedRows,
    Rows,
    Step,
    launch_options,
)
from moe_doctor.kernels.fused_moe_details.tiles import Tile
from moe_doctor.kernels.quantized import QuantizedWeights

_NATIVE_FP8 = (8, 9)
"""First NVIDIA compute capability with e4m3 products."""
_DEEPEST_LIVE = 2048
"""Longest rows that a GEMM quantizes on the way: every step waits for its largest value."""
_ROUND = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16, torch.float32: tl.float32}


def has_native_fp8(device: torch.device) -> bool:
    """Whether Triton converts and multiplies e4m3 on this device: sm_89 and newer, gfx950."""
    if device.type != "cuda":
        return False
    if torch.version.hip is not None:
        return torch.cuda.get_device_properties(device).gcnArchName.startswith("gfx95")
    return torch.cuda.get_device_capability(device) >= _NATIVE_FP8


def quantized_inner(
    like: Tensor,  # [T, H]
    w2: QuantizedWeights,
    pairs: int,
    block_n: int,
    *,
    direct: bool,
) -> QuantizedRows | None:
    """Room for inner activations that the first GEMM quantizes; None where it cannot.

    It can with a stored scale, and with groups that are as wide as its tile (`block_n`).
    """
    scheme, width = w2.scheme, w2.shape[2]
    native = has_native_fp8(like.device)
    dtype = torch.float8_e4m3fn if native else torch.uint8
    if scheme.activations == "static" and w2.input_scale is not None:
        scales = w2.input_scale.view(1, 1)
    elif scheme.activations == "group" and scheme.group_k == block_n and not direct:
        scales = torch.empty(pairs, -(-width // block_n), dtype=torch.float32, device=like.device)
    else:
        return None
    return QuantizedRows(torch.empty(pairs, width, dtype=dtype, device=like.device), scales)


def eight_bit_gemm(
    rows: Rows,
    x: Tensor | QuantizedRows | MeasuredRows,  # [T or T*k, K]
    w: QuantizedWeights,  # [E, N or 2N, K]
    out: Tensor | QuantizedRows | MeasuredRows,  # [T*k, N]
    tile: Tile,
    step: Step,
    adapter: tuple[Tensor, Tensor] | None,  # shrunk [T*k, R], B [L, E, N or 2N, R]
    *,
    like: Tensor,  # [T, H]
) -> None:
    """One grouped GEMM of quantized activations and quantized weights."""
    scheme, native = w.scheme, has_native_fp8(like.device)
    decode = scheme.weights == "fp8" and not native
    live = not isinstance(x, QuantizedRows) and rows.direct and _fits_live(w, tile)
    if isinstance(x, QuantizedRows):
        values, scales = x
    elif live and isinstance(x, MeasuredRows):
        values, scales = x.values, x.largest.view(torch.float32).view(1, 1)
    elif live and isinstance(x, Tensor):
        values, scales = x, w.scales if w.input_scale is None else w.input_scale.view(1, 1)
    else:
        values, scales = quantize_rows(x, scheme, w.input_scale, native_fp8=native, pdl=rows.pdl)
    quantizes = isinstance(out, QuantizedRows)
    written, out_scales = (out, scales) if isinstance(out, Tensor) else out
    width, depth = written.shape[1], values.shape[1]
    gated = step.act.gated
    x_tma = tile.x_tma and not (step.is_first or rows.direct or live) and fits_tma(values)
    w_tma = tile.w_tma and not decode and fits_tma(w.values)
    weights: Any = w.values.view(torch.uint8) if decode else w.values
    if w_tma:
        halves = 2 if gated else 1
        weights = describe(w.values.view(-1, width, depth), [halves, tile.block_n, tile.block_k])
    shrunk, lora_b = adapter or (like, like)
    rank = 0 if adapter is None else shrunk.shape[1]
    eight_bit_gemm_kernel[(rows.max_tiles * triton.cdiv(width, tile.block_n),)](
        describe(values, [tile.block_m, tile.block_k]) if x_tma else values,
        scales,
        weights,
        w.scales,
        w.scales if step.bias is None else step.bias,
        written,
        out_scales,
        rows.topk_ids,
        *rows.where,
        rows.topk_weights,
        shrunk,
        lora_b,
        rows.topk_ids.numel(),
        rows.max_tiles,
        rows.num_experts,
        width,
        *values.stride(),
        scales.stride(0) if scales.shape[0] > 1 else 0,
        *(lora_b.stride() if adapter is not None else (0, 0, 0, 0)),
        LIMIT=step.act.limit,
        ALPHA=step.act.alpha,
        BETA=step.act.beta,
        IS_INT8=scheme.weights == "int8",
        DECODE=decode,
        NATIVE=native,
        GROUP_N=scheme.group_n,
        GROUP_K=scheme.group_k,
        LIVE=live,
        MEASURED=isinstance(x, MeasuredRows),
        FLOOR=scheme.scale_floor,
        OUT_GROUP=quantizes and scheme.activations == "group",
        OUT_STATIC=quantizes and scheme.activations == "static",
        OUT_MEASURE=isinstance(out, MeasuredRows),
        ROUND=_ROUND[like.dtype],
        PROMOTE=0 if tile.fast else tile.block_k,
        HAS_BIAS=step.bias is not None,
        X_TMA=x_tma,
        W_TMA=w_tma,
        **launch_options(rows, step, tile, depth=depth, rank=rank, dtype=like.dtype),
    )


def _fits_live(w: QuantizedWeights, tile: Tile) -> bool:
    """Whether the GEMM can quantize its rows: one scale for all, or groups that are a step long."""
    scheme = w.scheme
    if scheme.activations in ("static", "tensor"):
        return True
    return (
        scheme.activations == "group"
        and scheme.group_k == tile.block_k
        and w.shape[2] <= _DEEPEST_LIVE
    )
