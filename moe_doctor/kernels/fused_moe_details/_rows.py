"""Which rows a program of the grouped GEMM works on: by the alignment, or straight from the ids.

A row has a pair (token * k + slot), which says where the final result belongs, and a place, the row
of the layer's inner activations. With an alignment the place is the position among the sorted
pairs, so that a tile's inner rows lie side by side; without one it is the pair itself.
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tile_of(program, num_tiles_m, num_tiles_n, GROUP_M: tl.constexpr):
    """Tile (m, n) of a program: GROUP_M row tiles walk the columns together, to reuse L2."""
    per_group = GROUP_M * num_tiles_n
    first_m = program // per_group * GROUP_M
    rows = tl.maximum(tl.minimum(num_tiles_m - first_m, GROUP_M), 1)
    tile_m = first_m + program % per_group % rows
    tile_n = program % per_group // rows
    return tile_m, tile_n


@triton.jit
def aligned_rows(sorted_pairs, tiles, max_tiles, tile_m, BLOCK_M: tl.constexpr):
    """Group, first place, pairs, and which of BLOCK_M rows exist."""
    group = tl.load(tiles + tile_m)
    first = tl.load(tiles + max_tiles + tile_m)
    rows = tl.load(tiles + 2 * max_tiles + tile_m)
    m = tl.arange(0, BLOCK_M)
    is_row = m < rows
    pair = tl.load(sorted_pairs + first + m, mask=is_row, other=0)
    return group, first, pair, is_row


@triton.jit
def direct_rows(
    topk_ids, tile_m, num_pairs, TOP_K: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_S: tl.constexpr
):
    """Group, pairs, rows that exist, and 0 where there is work; tile = pair, row = token.

    T is at most BLOCK_M. The tile of a pair takes every token's slot for the same expert, unless an
    earlier pair's tile does. A token that names an expert twice has two such slots: the n-th ones
    go together.
    """
    group = tl.load(topk_ids + tile_m)
    slot = tl.arange(0, BLOCK_S)
    before = tl.load(topk_ids + tile_m // TOP_K * TOP_K + slot, mask=slot < TOP_K, other=-1)
    nth = tl.sum(((before == group) & (slot <= tile_m % TOP_K)).to(tl.int32), axis=0)
    m = tl.arange(0, BLOCK_M)
    pair = tl.full([BLOCK_M], -1, dtype=tl.int32)
    seen = tl.zeros([BLOCK_M], dtype=tl.int32)
    for index in tl.static_range(TOP_K):
        mine = m * TOP_K + index
        same = tl.load(topk_ids + mine, mask=mine < num_pairs, other=-1) == group
        seen += same.to(tl.int32)
        pair = tl.where(same & (seen == nth), mine, pair)
    is_row = (pair >= 0) & (m * TOP_K < num_pairs)
    earliest = tl.min(tl.where(is_row, pair, num_pairs), axis=0)
    return group, pair, is_row, earliest - tile_m
