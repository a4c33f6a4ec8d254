"""The grouped GEMM of sm_90 in Gluon: persistent, with copying and multiplying in separate warps.

Weights reach shared memory through the tensor memory accelerator (TMA), up to STAGES steps ahead
and across the borders of tiles: no tile waits for its first bytes, and memory is busy during an
epilogue. Warps of three kinds share a program, and barriers in shared memory hand stages on:

    first GEMM    gather        4 warps   TMA for weights; copies of 16 bytes for tokens' rows
    second GEMM   copy_weights  1 warp    TMA
                  copy_rows     1 warp    TMA: a tile's rows lie side by side
    both          multiply      4 or 8    wgmma out of shared memory, then the epilogue

With its first stage a tile hands on a note of which row of the output each of its rows is, and of
the router's weight: whoever copies looks that up, so `multiply` never waits for it. A note may be
written anew once a step of the next tile is multiplied, so there are 1 + STAGES / steps of them,
rounded up. With programmatic dependent launch `copy_weights` starts while the first GEMM still
runs: only rows depend on it.
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.ampere import async_copy
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from moe_doctor.kernels.fused_moe_details._epilogue_hopper import finish, note_layout
from moe_doctor.kernels.fused_moe_details._rows import tile_of


@gluon.jit(do_not_specialize=["max_tiles"])
def hopper_gemm_kernel(
    x,  # [T, K], or the descriptor of [places, K] for the second GEMM
    w,  # descriptor of [E * (N or 2N), K]
    out,  # [places, N] or [T*k, N]
    sorted_pairs,
    tiles,
    num_tiles_ptr,
    pair_weights,  # [T*k] float32, read by the second GEMM
    max_tiles,
    num_experts,
    N,
    stride_x_row,
    K: gl.constexpr,
    TOP_K: gl.constexpr,
    FIRST: gl.constexpr,
    GATED: gl.constexpr,
    ACTIVATION: gl.constexpr,
    PDL: gl.constexpr,
    BLOCK_M: gl.constexpr,
    BLOCK_N: gl.constexpr,
    BLOCK_K: gl.constexpr,
    STAGES: gl.constexpr,
    GROUP_M: gl.constexpr,
    SWAP: gl.constexpr,
):
    """out[place] = act(x[token] @ w13[e].T), then out[pair] = weight * x[place] @ w2[e].T."""
    COLUMNS: gl.constexpr = 2 * BLOCK_N if GATED else BLOCK_N
    if PDL:
        # What comes before wrote the routing. The second GEMM starts after the first one has seen
        # it; .cg loads of it pass by an L1 that may hold an older routing's lines.
        if FIRST:
            gdc_wait()
        gdc_launch_dependents()
    x_bufs = gl.allocate_shared_memory(w.dtype, [STAGES, BLOCK_M, BLOCK_K], w.layout)
    w_bufs = gl.allocate_shared_memory(w.dtype, [STAGES, COLUMNS, BLOCK_K], w.layout)
    flat: gl.constexpr = gl.SwizzledSharedLayout(1, 1, 1, order=[0])
    STEPS: gl.constexpr = triton.cdiv(K, BLOCK_K)
    NOTES: gl.constexpr = 1 + triton.cdiv(STAGES, STEPS)
    row_notes = gl.allocate_shared_memory(gl.int32, [NOTES, BLOCK_M], flat)
    weight_notes = gl.allocate_shared_memory(gl.float32, [NOTES, BLOCK_M], flat)
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for stage in gl.static_range(STAGES):
        # One arrival for the weights and one for the rows' note; of each thread that gathers, too.
        mbarrier.init(full.index(stage), count=130 if FIRST else 2)
        mbarrier.init(empty.index(stage), count=1)
    buffers = (x_bufs, w_bufs, row_notes, weight_notes, full, empty)
    where = (tiles, num_tiles_ptr, max_tiles, num_experts)
    # fmt: off
    if FIRST:
        gl.warp_specialize(
            [
                (multiply, (buffers, where, out, N, K, FIRST, GATED, ACTIVATION,
                            BLOCK_M, BLOCK_N, BLOCK_K, STAGES, NOTES, GROUP_M, SWAP)),
                (gather, (buffers, where, sorted_pairs, x, w, N, stride_x_row, K, TOP_K, GATED,
                          BLOCK_M, BLOCK_N, BLOCK_K, STAGES, NOTES, GROUP_M)),
            ],
            [4],
            [56],
        )
    else:
        gl.warp_specialize(
            [
                (multiply, (buffers, where, out, N, K, FIRST, GATED, ACTIVATION,
                            BLOCK_M, BLOCK_N, BLOCK_K, STAGES, NOTES, GROUP_M, SWAP)),
                (copy_rows, (buffers, where, sorted_pairs, pair_weights, x, N, K, PDL,
                             BLOCK_M, BLOCK_N, BLOCK_K, STAGES, NOTES, GROUP_M)),
                (copy_weights, (buffers, where, w, N, K, GATED,
                                BLOCK_N, BLOCK_K, STAGES, GROUP_M)),
            ],
            [1, 1],
            [72, 40],
        )
    # fmt: on


@gluon.jit
def gather(
    buffers,
    where,
    sorted_pairs,
    x,
    w,
    N,
    stride_x_row,
    K: gl.constexpr,
    TOP_K: gl.constexpr,
    GATED: gl.constexpr,
    BLOCK_M: gl.constexpr,
    BLOCK_N: gl.constexpr,
    BLOCK_K: gl.constexpr,
    STAGES: gl.constexpr,
    NOTES: gl.constexpr,
    GROUP_M: gl.constexpr,
):
    """Fill every stage: weights, and the rows of the tokens that a tile names."""
    x_bufs, w_bufs, row_notes, weight_notes, full, empty = buffers
    STEPS: gl.constexpr = triton.cdiv(K, BLOCK_K)
    num_tiles_m = _count_tiles(where)
    num_tiles_n = gl.cdiv(N, BLOCK_N)
    # A thread copies 8 values: 8 threads a row of 64, 16 rows at a time.
    spread: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [gl.num_warps(), 1], [1, 0])
    k = gl.expand_dims(gl.arange(0, BLOCK_K, gl.SliceLayout(0, spread)), 0)
    count = 0
    note = 0
    for program in range(gl.program_id(0), num_tiles_m * num_tiles_n, gl.num_programs(0)):
        tile_m, tile_n = tile_of(program, num_tiles_m, num_tiles_n, GROUP_M)
        expert, first, rows = _place_tile(where, tile_m)
        w_row = expert * (2 * N if GATED else N) + tile_n * BLOCK_N
        # The first step's weights are on their way before the rows are known.
        stage = count % STAGES
        ready = full.index(stage)
        mbarrier.wait(empty.index(stage), (count // STAGES & 1) ^ 1)
        _copy_columns(w, w_row, 0, N, ready, w_bufs.index(stage), GATED, BLOCK_N, BLOCK_K)
        m = gl.arange(0, BLOCK_M, gl.SliceLayout(1, spread))
        is_row = m < rows
        token = gl.load(sorted_pairs + first + m, mask=is_row, other=0) // TOP_K
        row_notes.index(note % NOTES).store(gl.where(is_row, first + m, -1))
        gl.thread_barrier()
        ptrs = gl.expand_dims(x + token.to(gl.int64) * stride_x_row, 1) + k
        mask = gl.expand_dims(is_row, 1) & (k < K)
        async_copy.async_copy_global_to_shared(x_bufs.index(stage), ptrs, mask)
        async_copy.mbarrier_arrive(ready, increment_count=False)
        mbarrier.arrive(ready, count=1)
        count += 1
        for index in range(1, STEPS):
            step = index * BLOCK_K
            stage = count % STAGES
            ready = full.index(stage)
            mbarrier.wait(empty.index(stage), (count // STAGES & 1) ^ 1)
            _copy_columns(w, w_row, step, N, ready, w_bufs.index(stage), GATED, BLOCK_N, BLOCK_K)
            inside = mask
            if K % BLOCK_K != 0:
                inside = mask & (k < K - step)
            async_copy.async_copy_global_to_shared(x_bufs.index(stage), ptrs + step, inside)
            async_copy.mbarrier_arrive(ready, increment_count=False)
            mbarrier.arrive(ready, count=1)
            count += 1
        note += 1


@gluon.jit
def copy_weights(
    buffers,
    where,
    w,
    N,
    K: gl.constexpr,
    GATED: gl.constexpr,
    BLOCK_N: gl.constexpr,
    BLOCK_K: gl.constexpr,
    STAGES: gl.constexpr,
    GROUP_M: gl.constexpr,
):
    """Fill the weights' half of every stage."""
    x_bufs, w_bufs, row_notes, weight_notes, full, empty = buffers
    STEPS: gl.constexpr = triton.cdiv(K, BLOCK_K)
    num_tiles_m = _count_tiles(where)
    num_tiles_n = gl.cdiv(N, BLOCK_N)
    count = 0
    for program in range(gl.program_id(0), num_tiles_m * num_tiles_n, gl.num_programs(0)):
        tile_m, tile_n = tile_of(program, num_tiles_m, num_tiles_n, GROUP_M)
        expert, first, rows = _place_tile(where, tile_m)
        w_row = expert * (2 * N if GATED else N) + tile_n * BLOCK_N
        for index in range(STEPS):
            step = index * BLOCK_K
            stage = count % STAGES
            ready = full.index(stage)
            mbarrier.wait(empty.index(stage), (count // STAGES & 1) ^ 1)
            _copy_columns(w, w_row, step, N, ready, w_bufs.index(stage), GATED, BLOCK_N, BLOCK_K)
            count += 1


@gluon.jit
def _copy_columns(
    w,
    w_row,
    step,
    N,
    ready,
    buffer,
    GATED: gl.constexpr,
    BLOCK_N: gl.constexpr,
    BLOCK_K: gl.constexpr,
):
    """Start the copies of one step of a tile's weights, gate's before up's."""
    BOX: gl.constexpr = w.block_type.shape[0]
    PARTS: gl.constexpr = 2 if GATED else 1
    mbarrier.expect(ready, PARTS * BLOCK_N * BLOCK_K * 2)
    for part in gl.static_range(PARTS):
        for start in gl.static_range(0, BLOCK_N, BOX):
            box = buffer.slice(part * BLOCK_N + start, BOX)
            tma.async_copy_global_to_shared(w, [w_row + part * N + start, step], ready, box)


@gluon.jit
def copy_rows(
    buffers,
    where,
    sorted_pairs,
    pair_weights,
    x,
    N,
    K: gl.constexpr,
    PDL: gl.constexpr,
    BLOCK_M: gl.constexpr,
    BLOCK_N: gl.constexpr,
    BLOCK_K: gl.constexpr,
    STAGES: gl.constexpr,
    NOTES: gl.constexpr,
    GROUP_M: gl.constexpr,
):
    """Fill the rows' half of every stage."""
    x_bufs, w_bufs, row_notes, weight_notes, full, empty = buffers
    line: gl.constexpr = gl.BlockedLayout([1], [32], [gl.num_warps()], [0])
    if PDL:
        gdc_wait()
    STEPS: gl.constexpr = triton.cdiv(K, BLOCK_K)
    num_tiles_m = _count_tiles(where)
    num_tiles_n = gl.cdiv(N, BLOCK_N)
    count = 0
    note = 0
    for program in range(gl.program_id(0), num_tiles_m * num_tiles_n, gl.num_programs(0)):
        tile_m, tile_n = tile_of(program, num_tiles_m, num_tiles_n, GROUP_M)
        expert, first, rows = _place_tile(where, tile_m)
        m = gl.arange(0, BLOCK_M, line)
        pair = gl.load(sorted_pairs + first + m, mask=m < rows, other=-1)
        weight = gl.load(pair_weights + pair, mask=m < rows, other=0.0)
        stage = count % STAGES
        mbarrier.wait(empty.index(stage), (count // STAGES & 1) ^ 1)
        row_notes.index(note % NOTES).store(pair)
        weight_notes.index(note % NOTES).store(weight)
        gl.thread_barrier()
        for index in range(STEPS):
            step = index * BLOCK_K
            stage = count % STAGES
            ready = full.index(stage)
            mbarrier.wait(empty.index(stage), (count // STAGES & 1) ^ 1)
            mbarrier.expect(ready, BLOCK_M * BLOCK_K * 2)
            tma.async_copy_global_to_shared(x, [first, step], ready, x_bufs.index(stage))
            count += 1
        note += 1


@gluon.jit
def multiply(
    buffers,
    where,
    out,
    N,
    K: gl.constexpr,
    FIRST: gl.constexpr,
    GATED: gl.constexpr,
    ACTIVATION: gl.constexpr,
    BLOCK_M: gl.constexpr,
    BLOCK_N: gl.constexpr,
    BLOCK_K: gl.constexpr,
    STAGES: gl.constexpr,
    NOTES: gl.constexpr,
    GROUP_M: gl.constexpr,
    SWAP: gl.constexpr,
):
    """Multiply stage after stage; activate or weigh, and store, at the end of every tile."""
    x_bufs, w_bufs, row_notes, weight_notes, full, empty = buffers
    COLUMNS: gl.constexpr = 2 * BLOCK_N if GATED else BLOCK_N
    HEIGHT: gl.constexpr = COLUMNS if SWAP else BLOCK_M
    WIDTH: gl.constexpr = BLOCK_M if SWAP else COLUMNS
    products: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [gl.num_warps(), 1], [16, WIDTH, 16])
    along_m: gl.constexpr = note_layout(SWAP, gl.num_warps())
    STEPS: gl.constexpr = triton.cdiv(K, BLOCK_K)
    num_tiles_m = _count_tiles(where)
    num_tiles_n = gl.cdiv(N, BLOCK_N)
    count = 0
    note = 0
    for program in range(gl.program_id(0), num_tiles_m * num_tiles_n, gl.num_programs(0)):
        tile_m, tile_n = tile_of(program, num_tiles_m, num_tiles_n, GROUP_M)
        acc = gl.zeros([HEIGHT, WIDTH], gl.float32, products)
        # Steps are counted: with range(0, K, BLOCK_K) Triton 3.6 makes this up to 7 % slower.
        for index in range(STEPS):
            stage = count % STAGES
            mbarrier.wait(full.index(stage), count // STAGES & 1)
            if FIRST:
                fence_async_shared()  # ordinary copies wrote the rows
            if SWAP:
                x_tile = x_bufs.index(stage).permute((1, 0))
                acc = warpgroup_mma(w_bufs.index(stage), x_tile, acc, is_async=True)
            else:
                w_tile = w_bufs.index(stage).permute((1, 0))
                acc = warpgroup_mma(x_bufs.index(stage), w_tile, acc, is_async=True)
            # This step's product runs on; the one before it has read its stage.
            acc = warpgroup_mma_wait(num_outstanding=1, deps=(acc,))
            if index > 0:
                mbarrier.arrive(empty.index((count - 1) % STAGES), count=1)
            count += 1
        acc = warpgroup_mma_wait(num_outstanding=0, deps=(acc,))
        mbarrier.arrive(empty.index((count - 1) % STAGES), count=1)
        row = row_notes.index(note % NOTES).load(along_m)
        weight = weight_notes.index(note % NOTES).load(along_m)
        note += 1
        finish(acc, row, weight, tile_n, out, N, FIRST, GATED, ACTIVATION, BLOCK_M, BLOCK_N, SWAP)


@gluon.jit
def _count_tiles(where):
    """Row tiles of this routing."""
    tiles, num_tiles_ptr, max_tiles, num_experts = where
    return gl.load(num_tiles_ptr, cache_modifier=".cg")


@gluon.jit
def _place_tile(where, tile_m):
    """Expert, first place and rows of a row tile."""
    tiles, num_tiles_ptr, max_tiles, num_experts = where
    expert = gl.load(tiles + tile_m, cache_modifier=".cg") % num_experts
    first = gl.load(tiles + max_tiles + tile_m, cache_modifier=".cg")
    rows = gl.load(tiles + 2 * max_tiles + tile_m, cache_modifier=".cg")
    return expert, first, rows
