"""Which rows a tile of the sm_90 GEMM works on: by the alignment, or straight from the ids.

Straight from the ids (DIRECT, at most SLOT_ROWS tokens) there is a row tile for each expert that
has a token, in the order of experts; row m is token m, and its place SLOT_ROWS * tile + m.
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from moe_doctor.kernels.fused_moe_details import hopper_tiles

SLOT_ROWS = gl.constexpr(hopper_tiles.SLOT_ROWS)
"""Most tokens of a batch whose rows are not aligned."""


@gluon.jit
def _add(a, b):
    return a + b


@gluon.jit
def rank_experts(topk_ids, num_pairs, num_experts, BLOCK_E: gl.constexpr):
    """[BLOCK_E]: how many experts up to and with each one have a token."""
    STEP: gl.constexpr = 4096 // BLOCK_E
    grid: gl.constexpr = gl.BlockedLayout([STEP, 1], [1, 32], [1, gl.num_warps()], [1, 0])
    line: gl.constexpr = gl.BlockedLayout([1], [32], [gl.num_warps()], [0])
    expert = gl.arange(0, BLOCK_E, gl.SliceLayout(0, grid))
    hit = gl.full([BLOCK_E], 0, gl.int32, gl.SliceLayout(0, grid))
    for start in range(0, num_pairs, STEP):
        pair = start + gl.arange(0, STEP, gl.SliceLayout(1, grid))
        ids = gl.load(topk_ids + pair, mask=pair < num_pairs, other=-1, cache_modifier=".cg")
        same = gl.expand_dims(ids, 1) == gl.expand_dims(expert, 0)
        hit = gl.maximum(hit, gl.max(same.to(gl.int32), axis=0))
    hit = gl.where(expert < num_experts, hit, 0)
    return gl.associative_scan(gl.convert_layout(hit, line), 0, _add)


@gluon.jit
def count_tiles(where, DIRECT: gl.constexpr):
    """Row tiles of this routing."""
    ranks, tiles, num_tiles_ptr, max_tiles, num_experts = where
    if DIRECT:
        line: gl.constexpr = gl.BlockedLayout([1], [32], [gl.num_warps()], [0])
        count = gl.max(ranks.load(line), axis=0)
    else:
        count = gl.load(num_tiles_ptr, cache_modifier=".cg")
    return count


@gluon.jit
def place_tile(where, tile_m, DIRECT: gl.constexpr):
    """Expert, first place and rows of a row tile."""
    ranks, tiles, num_tiles_ptr, max_tiles, num_experts = where
    if DIRECT:
        line: gl.constexpr = gl.BlockedLayout([1], [32], [gl.num_warps()], [0])
        expert = gl.sum((ranks.load(line) <= tile_m).to(gl.int32), axis=0)
        first = tile_m * SLOT_ROWS
        rows = tile_m * 0 + SLOT_ROWS
    else:
        expert = gl.load(tiles + tile_m, cache_modifier=".cg") % num_experts
        first = gl.load(tiles + max_tiles + tile_m, cache_modifier=".cg")
        rows = gl.load(tiles + 2 * max_tiles + tile_m, cache_modifier=".cg")
    return expert, first, rows


@gluon.jit
def _named_slots(pairs, expert, TOP_K: gl.constexpr, BLOCK_M: gl.constexpr):
    """[BLOCK_M, TOP_K and more] pairs of the batch, and which of them name the expert."""
    topk_ids, sorted_pairs, pair_weights, num_pairs = pairs
    WIDTH: gl.constexpr = 2 if TOP_K == 1 else triton.next_power_of_2(TOP_K)
    LANES: gl.constexpr = min(WIDTH, 32)
    grid: gl.constexpr = gl.BlockedLayout([1, 1], [32 // LANES, LANES], [gl.num_warps(), 1], [1, 0])
    m = gl.expand_dims(gl.arange(0, BLOCK_M, gl.SliceLayout(1, grid)), 1)
    slot = gl.expand_dims(gl.arange(0, WIDTH, gl.SliceLayout(0, grid)), 0)
    pair = m * TOP_K + slot
    # One load for all slots: one after the other they took longer than a tile's products.
    ids = gl.load(topk_ids + pair, mask=(slot < TOP_K) & (pair < num_pairs), other=-1)
    return pair, ids == expert


@gluon.jit
def gathered_rows(
    pairs,
    expert,
    first,
    rows,
    along_m: gl.constexpr,
    TOP_K: gl.constexpr,
    DIRECT: gl.constexpr,
    BLOCK_M: gl.constexpr,
):
    """[BLOCK_M] tokens of a row tile of the first GEMM, their places, and which of them exist."""
    topk_ids, sorted_pairs, pair_weights, num_pairs = pairs
    m = gl.arange(0, BLOCK_M, along_m)
    if DIRECT:
        token = m
        pair, named = _named_slots(pairs, expert, TOP_K, BLOCK_M)
        is_row = gl.convert_layout(gl.max(named.to(gl.int32), axis=1), along_m) > 0
    else:
        is_row = m < rows
        token = gl.load(sorted_pairs + first + m, mask=is_row, other=0) // TOP_K
    return token, first + m, is_row


@gluon.jit
def weighed_rows(
    pairs,
    expert,
    first,
    rows,
    along_m: gl.constexpr,
    TOP_K: gl.constexpr,
    DIRECT: gl.constexpr,
    BLOCK_M: gl.constexpr,
):
    """[BLOCK_M] pairs of a row tile of the second GEMM, -1 for none, and their weights.

    A token that names an expert twice has two pairs there: the first one takes both weights, and
    `reduce_pairs` leaves out the second.
    """
    topk_ids, sorted_pairs, pair_weights, num_pairs = pairs
    m = gl.arange(0, BLOCK_M, along_m)
    if DIRECT:
        every, named = _named_slots(pairs, expert, TOP_K, BLOCK_M)
        weights = gl.load(pair_weights + every, mask=named, other=0.0)
        weight = gl.convert_layout(gl.sum(weights, axis=1), along_m)
        earliest = gl.min(gl.where(named, every, num_pairs), axis=1)
        pair = gl.convert_layout(gl.where(earliest < num_pairs, earliest, -1), along_m)
    else:
        is_row = m < rows
        pair = gl.load(sorted_pairs + first + m, mask=is_row, other=-1)
        weight = gl.load(pair_weights + pair, mask=is_row, other=0.0)
    return pair, weight
