"""How the grouped GEMM of sm_90 is launched."""

# mypy: allow-untyped-calls
from __future__ import annotations

import functools
from typing import Any

import torch
import triton
from torch import Tensor

from moe_doctor.kernels.activations import Activation
from moe_doctor.kernels.fused_moe_details.hopper_tiles import HopperTile
from moe_doctor.kernels.fused_moe_details.launch import Rows

_BOX_ROWS = 128
"""Rows of weights that one TMA copy fetches; boxes of 256 took longer."""


def hopper_gemm(
    rows: Rows,
    x: Tensor,
    w: Tensor,
    out: Tensor,
    tile: HopperTile,
    act: Activation,
    *,
    first: bool,
) -> None:
    """One grouped GEMM: tokens to places, activated, or places to pairs, weighed."""
    from triton.experimental.gluon.language import NVMMASharedLayout
    from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

    from moe_doctor.kernels.fused_moe_details._gemm_hopper import hopper_gemm_kernel

    layout = NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)

    def describe(tensor: Tensor, height: int) -> Any:
        return TensorDescriptor.from_tensor(tensor, [height, tile.block_k], layout)

    width, depth = out.shape[1], x.shape[1]
    most = rows.max_tiles * triton.cdiv(width, tile.block_n)
    hopper_gemm_kernel[(min(most, tile.programs * _multiprocessors(x.device)),)](
        x if first else describe(x, tile.block_m),
        describe(w.flatten(0, 1), min(tile.block_n, _BOX_ROWS)),
        out,
        *rows.where,
        rows.topk_weights,
        rows.max_tiles,
        rows.num_experts,
        width,
        x.stride(0),
        K=depth,
        TOP_K=rows.topk_ids.shape[1],
        FIRST=first,
        GATED=act.gated,
        ACTIVATION=act.name,
        PDL=rows.pdl,
        BLOCK_M=tile.block_m,
        BLOCK_N=tile.block_n,
        BLOCK_K=tile.block_k,
        STAGES=tile.stages(act.gated),
        GROUP_M=tile.group_m,
        SWAP=tile.swap,
        num_warps=tile.num_warps,
        maxnreg=tile.registers,
        launch_pdl=rows.pdl,
    )


@functools.lru_cache(maxsize=16)
def _multiprocessors(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).multi_processor_count)
