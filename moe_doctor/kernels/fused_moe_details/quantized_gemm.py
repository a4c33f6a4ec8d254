"""GEMMs over quantized weights seen from the host: choose the kernel, fit the tile, launch."""

# mypy: allow-untyped-calls
from __future__ import annotations

from dataclasses import replace

import torch
import triton
from torch import Tensor

from moe_doctor.kernels.fused_moe_details._gemm_quantized import quantized_gemm_kernel
from moe_doctor.kernels.fused_moe_details.eight_bit_gemm import eight_bit_gemm
from moe_doctor.kernels.fused_moe_details.hopper import has_tma
from moe_doctor.kernels.fused_moe_details.launch import (
    MeasuredRows,
    QuantizedRows,
    Rows,
    Step,
    launch_options,
)
from moe_doctor.kernels.fused_moe_details.quantized_tiles import kind_of
from moe_doctor.kernels.fused_moe_details.tiles import Tile
from moe_doctor.kernels.quantized import QuantizedWeights
from moe_doctor.kernels.schemes import Scheme


def quantized_gemm(
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
    """One grouped GEMM over quantized weights; `tile` is one of `fit_tile`."""
    if w.scheme.quantizes_activations:
        eight_bit_gemm(rows, x, w, out, tile, step, adapter, like=like)
        return
    if not isinstance(x, Tensor) or not isinstance(out, Tensor):
        raise TypeError(f"{w.scheme.name} has 16-bit activations; quantized ones were given")
    scheme, width, depth = w.scheme, out.shape[1], x.shape[1]
    shrunk, lora_b = adapter or (x, x)
    rank = 0 if adapter is None else shrunk.shape[1]
    quantized_gemm_kernel[(rows.max_tiles * triton.cdiv(width, tile.block_n),)](
        x,
        w.values,
        w.scales.view(torch.uint8) if scheme.weights == "nvfp4" else w.scales,
        w.scales if w.zeros is None else w.zeros,
        w.scales if w.expert_scales is None else w.expert_scales,
        w.scales if step.bias is None else step.bias,
        out,
        rows.topk_ids,
        *rows.where,
        rows.topk_weights,
        shrunk,
        lora_b,
        rows.topk_ids.numel(),
        rows.max_tiles,
        rows.num_experts,
        width,
        *x.stride(),
        *(lora_b.stride() if adapter is not None else (0, 0, 0, 0)),
        LIMIT=step.act.limit,
        ALPHA=step.act.alpha,
        BETA=step.act.beta,
        WEIGHTS=scheme.weights,
        GROUP_N=scheme.group_n,
        GROUP_K=scheme.group_k,
        HAS_ZEROS=w.zeros is not None,
        HAS_BIAS=step.bias is not None,
        PAIRS=_has_pairs(x, scheme),
        **launch_options(rows, step, tile, depth=depth, rank=rank, dtype=x.dtype),
    )


def _has_pairs(x: Tensor, scheme: Scheme) -> bool:
    """Whether two 16-bit values are unpacked and scaled together, as `_unpack` says: sm_80."""
    if x.device.type != "cuda" or torch.version.hip is not None or scheme.values_per_byte != 2:
        return False
    is_e2m1 = scheme.weights in ("mxfp4", "nvfp4")
    known = (torch.bfloat16,) if is_e2m1 else (torch.bfloat16, torch.float16)
    return x.dtype in known and torch.cuda.get_device_capability(x.device)[0] >= 8


def _has_wgmma(device: torch.device) -> bool:
    """Whether products of large tiles read both operands from shared memory: sm_90 and newer."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device)[0] >= 9


def why_not(scheme: Scheme, device: torch.device) -> str | None:
    """Why this device cannot hold the scheme; None where it can."""
    if scheme.weights != "fp8" or device.type != "cuda" or torch.version.hip is None:
        return None
    arch = torch.cuda.get_device_properties(device).gcnArchName.partition(":")[0]
    if not arch.startswith("gfx94"):
        return None
    return f"{arch} multiplies e4m3fnuz, whose values are half of e4m3's; this kernel has e4m3"


def tiles_kind(x: Tensor, w: QuantizedWeights) -> str | None:
    """Which of `quantized_tiles` these weights have on their device; None for `tiles`' own."""
    if not has_tma(w.device) or (not w.scheme.quantizes_activations and x.element_size() != 2):
        return None
    return kind_of(w.scheme)


def fit_for(tile: Tile, w: QuantizedWeights, x: Tensor, gated: bool) -> Tile:
    """`fit_tile` for these weights on their device.

    Tiles of `quantized_tiles` fit but for groups, and so do all in the interpreter. `x` is one of
    the layer's 16- or 32-bit tensors.
    """
    if x.device.type == "cpu" or tiles_kind(x, w) is not None:
        short = w.scheme.activations == "group" and w.scheme.group_k < tile.block_k
        return replace(tile, block_k=max(32, w.scheme.group_k)) if short else tile
    return fit_tile(tile, w.scheme, gated=gated, wide=_has_wgmma(w.device))


def fit_tile(tile: Tile, scheme: Scheme, *, gated: bool, wide: bool) -> Tile:
    """The table's tile cut to what this kernel has: pointers only, and room for its partial sums.

    fp8 takes every step's sum over into a second accumulator; with wider tiles that spills
    registers on sm_90 (Triton 3.6: 136 to 536 bytes). Without `wide` products, whose operands lie
    in shared memory (wgmma, sm_90), so does any unpacking into a wide tile (88 to 1744). Half the
    element size makes room for twice the depth, but a step lies within one group of activations.
    """
    block_n, block_k = tile.block_n, tile.block_k
    if scheme.weights == "fp8" and tile.block_m >= 64:
        block_n = min(block_n, 64 if scheme.activations == "group" else 128)
    if not wide and tile.block_m >= 128:
        block_n = min(block_n, 128 if not gated else 32 if scheme.activations == "group" else 64)
    if scheme.quantizes_activations and block_k < 128 <= tile.block_m:
        block_k = 128
    if scheme.activations == "group":
        block_k = min(block_k, scheme.group_k)
    swap = tile.swap and wide and not scheme.quantizes_activations and bool(scheme.bits)
    return Tile(
        tile.block_m,
        block_n,
        max(32, block_k),
        tile.group_m,
        tile.num_warps,
        tile.num_stages,
        swap=swap,
    )
