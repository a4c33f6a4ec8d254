"""Orders of rows and scales that FlashInfer's Blackwell kernels read; child code, plain torch.

Stated here once more, instead of calling FlashInfer's own functions, so that a test can undo them
on any machine. Source: FlashInfer 0.6.13 utils.py (get_shuffle_matrix_a_row_indices), fused_moe/
core.py (reorder_rows_for_gated_act_gemm, convert_to_block_layout), and for tiles of scales vLLM
0.20.0 quantization/utils/nvfp4_utils.py (swizzle_blockscale).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

SCALE_ROWS, SCALE_COLUMNS = 128, 4
"""Size of a tile of block scales."""


def up_first(rows: Tensor) -> Tensor:  # [E, 2I, ...]
    """Gate then up, as up then gate."""
    gate, up = rows.view(torch.uint8).chunk(2, 1) if rows.element_size() == 1 else rows.chunk(2, 1)
    return torch.cat((up, gate), dim=1).view(rows.dtype)


def in_turns(rows: Tensor) -> Tensor:  # [E, 2I, ...]
    """First half and second half as row 0 of each, row 1 of each, ..."""
    return torch.stack(rows.chunk(2, dim=1), dim=2).flatten(1, 2)


def shuffled_rows(rows: Tensor, tile_m: int) -> Tensor:  # [E, M, ...]
    """Rows of every block in the order in which a transposed product of `tile_m` rows needs them.

    In blocks of 32 (16 where 128 does not divide `tile_m`), old row r goes to place
    r // (block / 8) + 8 * (r % (block / 8)).
    """
    block = 32 if tile_m % 128 == 0 else 16
    runs = block // 8
    shape = rows.shape
    split = rows.reshape(shape[0], shape[1] // block, 8, runs, *shape[2:])
    return split.transpose(2, 3).reshape(shape)


def block_major(rows: Tensor, columns: int) -> Tensor:  # [E, M, K] to [E, K / columns, M, columns]
    """Blocks of columns outermost."""
    experts, height, width = rows.shape
    split = rows.view(experts, height, width // columns, columns)
    return split.transpose(1, 2).contiguous()


def tiled_scales(scales: Tensor) -> Tensor:  # [E, M, groups] of one byte; M, groups padded
    """Block scales in tiles of 128 rows and 4 columns, each row by row of 32 and those by 4.

    Within a tile, (m, k) lies at 16 * (m % 32) + 4 * (m // 32) + k. The shape is the padded one.
    """
    experts, rows, columns = scales.shape
    missing = (0, -columns % SCALE_COLUMNS, 0, -rows % SCALE_ROWS)
    padded = pad(scales.view(torch.uint8), missing)
    _, height, width = padded.shape
    tiles = padded.view(experts, height // 128, 4, 32, width // 4, 4).permute(0, 1, 4, 3, 2, 5)
    return tiles.reshape(experts, height, width).contiguous()
