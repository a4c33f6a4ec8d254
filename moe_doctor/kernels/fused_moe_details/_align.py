"""Stage 1: sort the T x k (token, expert) pairs by group, and cut every group into tiles of rows.

A group is an expert, or an (adapter, expert) when LoRA is on: group = (adapter + 1) * E + expert,
adapter -1 being "none". A tile is at most BLOCK_M rows of one group, so it reads one weight. All on
the device and of a size known beforehand, so a CUDA graph can capture it. Worked example, T=3, k=2,
E=4, BLOCK_M=2, no LoRA:

    topk_ids      [[2, 0], [2, 3], [0, 2]]      pair p = token * k + slot, six of them
    sorted_pairs  [1, 4, 0, 2, 5, 3]            by expert, in order of p: no padding
    tiles         group [0, 2, 2, 3], first row [0, 2, 4, 5], rows [2, 2, 1, 1]
    num_tiles     4

An expert without tokens has no tile. An id outside 0..E-1 (an expert of another rank) is left out.
Up to ONE_LAUNCH pairs one launch does it, every group reading all pairs. Beyond that there are
three: the groups of every chunk of pairs are counted; for every group the counts are summed up
chunk by chunk; each chunk places its pairs, by what lies before its own and their order in it.
"""

# Loops over runtime bounds are `while`: `range` needs __index__, which the interpreter of triton
# 3.6 and older cannot give with numpy 2.4 and newer.
# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from moe_doctor.kernels.fused_moe_details.hopper import gdc_launch_dependents, gdc_wait

ONE_LAUNCH = 4096
"""Most pairs that one launch sorts."""
_CHUNK = 128
"""Pairs of a program beyond that."""
_BLOCK_G = 32
"""Groups that a program sums up."""
_BLOCK_C = 128
"""Chunks that it reads at a time."""
_BLOCK_T = 64
"""Tiles that are listed at a time."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the grouped GEMM finds its rows; see the module's worked example."""

    sorted_pairs: Tensor
    """[T * k] int32; pairs of absent experts are missing at the end."""
    tiles: Tensor
    """[3, max_tiles] int32: group, first row in `sorted_pairs`, rows."""
    num_tiles: Tensor
    """[1] int32: how many of `tiles` are in use."""
    max_tiles: int
    """Upper bound of the number of tiles, known without asking the device."""


def align(
    topk_ids: Tensor,  # [T, k] int32
    lora_ids: Tensor | None,  # [T] int32
    *,
    num_experts: int,
    max_loras: int,
    block_m: int,
    one_launch: int = ONE_LAUNCH,
    chunk: int = _CHUNK,
    pdl: bool = False,
) -> Alignment:
    """Sort the pairs by (adapter, expert) and list tiles of at most `block_m` rows.

    `one_launch` and `chunk` exist for tests. `pdl`: a kernel may be launched before the one before
    it ends.
    """
    num_pairs = topk_ids.numel()
    groups = num_experts * (max_loras + 1 if lora_ids is not None else 1)
    max_tiles = (num_pairs + min(groups, num_pairs) * (block_m - 1)) // block_m
    sizes = [num_pairs, 3 * max_tiles, 1]
    scratch = torch.empty(sum(sizes), dtype=torch.int32, device=topk_ids.device)
    sorted_pairs, tiles, num_tiles = scratch.split(sizes)
    block_g = triton.next_power_of_2(groups + 1)
    ids = topk_ids if lora_ids is None else lora_ids
    options: dict[str, Any] = {"PDL": pdl, **({"launch_pdl": True} if pdl else {})}
    routes: dict[str, Any] = {
        "num_pairs": num_pairs,
        "top_k": topk_ids.shape[1],
        "num_experts": num_experts,
        "max_loras": max_loras,
        "HAS_LORA": lora_ids is not None,
        "BLOCK_G": block_g,
        **options,
    }
    placed = (sorted_pairs, tiles, num_tiles, max_tiles, groups)
    if num_pairs <= one_launch:
        _place_kernel[(groups,)](
            topk_ids,
            ids,
            *placed,
            **routes,
            BLOCK_P=max(2, triton.next_power_of_2(num_pairs)),
            BLOCK_M=block_m,
            BLOCK_T=_BLOCK_T,
        )
    else:
        chunks = triton.cdiv(num_pairs, chunk)
        counts = torch.empty((chunks + 1) * block_g, dtype=torch.int32, device=topk_ids.device)
        _count_kernel[(chunks,)](topk_ids, ids, counts, **routes, BLOCK_P=chunk)
        _sum_kernel[(triton.cdiv(block_g, _BLOCK_G),)](
            counts, chunks, ALL_G=block_g, BLOCK_C=_BLOCK_C, BLOCK_G=_BLOCK_G, **options
        )
        _place_chunks_kernel[(chunks,)](
            topk_ids,
            ids,
            counts,
            *placed,
            chunks,
            **routes,
            BLOCK_P=chunk,
            BLOCK_M=block_m,
            BLOCK_S=min(_CHUNK, block_g),
            BLOCK_T=_BLOCK_T,
        )
    return Alignment(sorted_pairs, tiles.view(3, max_tiles), num_tiles, max_tiles)


@triton.jit
def _load_group(
    topk_ids,
    lora_ids,
    pair,
    num_pairs,
    top_k,
    num_experts,
    max_loras,
    HAS_LORA: tl.constexpr,
    BLOCK_G: tl.constexpr,
):
    """Group of each pair; BLOCK_G - 1, which no group has, for padding and for absent experts."""
    inside = pair < num_pairs
    expert = tl.load(topk_ids + pair, mask=inside, other=-1)
    here = (expert >= 0) & (expert < num_experts)
    group = expert
    if HAS_LORA:
        adapter = tl.load(lora_ids + pair // top_k, mask=inside, other=-1)
        # An adapter id that is not loaded counts as none, as -1 does.
        adapter = tl.where((adapter >= 0) & (adapter < max_loras), adapter, -1)
        group = (adapter + 1) * num_experts + expert
    return tl.where(here, group, BLOCK_G - 1)


@triton.jit(do_not_specialize=["num_pairs", "max_tiles"])
def _place_kernel(
    topk_ids,
    lora_ids,
    sorted_pairs,
    tiles,
    num_tiles,
    max_tiles,
    groups,
    num_pairs,
    top_k,
    num_experts,
    max_loras,
    HAS_LORA: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_P: tl.constexpr,
    PDL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """One program a group: place its pairs and list its tiles."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    group = tl.program_id(0)
    pair = tl.arange(0, BLOCK_P)
    seen = _load_group(
        topk_ids, lora_ids, pair, num_pairs, top_k, num_experts, max_loras, HAS_LORA, BLOCK_G
    )
    every = tl.arange(0, BLOCK_G)
    # The last bin holds what has no group.
    total = tl.where(every < groups, tl.histogram(seen, BLOCK_G), 0)
    cut = (total + BLOCK_M - 1) // BLOCK_M
    start = tl.sum(tl.where(every < group, total, 0), axis=0)
    mine = tl.sum(tl.where(every == group, total, 0), axis=0)
    first_tile = tl.sum(tl.where(every < group, cut, 0), axis=0)
    if group == 0:
        tl.store(num_tiles, tl.sum(cut, axis=0))
    _list_tiles(tiles, max_tiles, group, first_tile, start, mine, BLOCK_M, BLOCK_T)
    hit = (seen == group).to(tl.int32)
    place = start + tl.cumsum(hit, axis=0) - 1
    tl.store(sorted_pairs + place, pair, mask=hit == 1)


@triton.jit
def _list_tiles(
    tiles, max_tiles, group, first_tile, start, rows, BLOCK_M: tl.constexpr, BLOCK_T: tl.constexpr
):
    """Write the tiles of a group that has `rows` rows from `start` on."""
    done = 0
    while done * BLOCK_M < rows:
        tile = done + tl.arange(0, BLOCK_T)
        row = tile * BLOCK_M
        entry = tiles + first_tile + tile
        tl.store(entry, group, mask=row < rows)
        tl.store(entry + max_tiles, start + row, mask=row < rows)
        tl.store(entry + 2 * max_tiles, tl.minimum(rows - row, BLOCK_M), mask=row < rows)
        done += BLOCK_T


@triton.jit(do_not_specialize=["num_pairs"])
def _count_kernel(
    topk_ids,
    lora_ids,
    counts,  # [1 + chunks, BLOCK_G]
    num_pairs,
    top_k,
    num_experts,
    max_loras,
    HAS_LORA: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_P: tl.constexpr,
    PDL: tl.constexpr,
):
    """One program a chunk: counts[1 + chunk, g] = its pairs of group g."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    chunk = tl.program_id(0)
    pair = chunk * BLOCK_P + tl.arange(0, BLOCK_P)
    seen = _load_group(
        topk_ids, lora_ids, pair, num_pairs, top_k, num_experts, max_loras, HAS_LORA, BLOCK_G
    )
    found = tl.histogram(seen, BLOCK_G)
    tl.store(counts + (1 + chunk) * BLOCK_G + tl.arange(0, BLOCK_G), found)


@triton.jit(do_not_specialize=["chunks"])
def _sum_kernel(
    counts,  # [1 + chunks, ALL_G]
    chunks,
    ALL_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_G: tl.constexpr,
    PDL: tl.constexpr,
):
    """counts[1 + chunk, g] becomes the pairs of chunks before it, counts[0, g] those of all."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    group = tl.program_id(0) * BLOCK_G + tl.arange(0, BLOCK_G)
    total = tl.zeros([BLOCK_G], dtype=tl.int32)
    done = 0
    while done < chunks:
        chunk = done + tl.arange(0, BLOCK_C)
        ptrs = counts + (1 + chunk[:, None]) * ALL_G + group[None, :]
        mask = (chunk[:, None] < chunks) & (group[None, :] < ALL_G)
        found = tl.load(ptrs, mask=mask, other=0)
        before = total[None, :] + tl.cumsum(found, axis=0) - found
        tl.store(ptrs, before, mask=mask)
        total += tl.sum(found, axis=0)
        done += BLOCK_C
    tl.store(counts + group, total, mask=group < ALL_G)


@triton.jit(do_not_specialize=["num_pairs", "max_tiles", "chunks"])
def _place_chunks_kernel(
    topk_ids,
    lora_ids,
    sums,  # [1 + chunks, BLOCK_G], as `_sum_kernel` leaves them
    sorted_pairs,
    tiles,
    num_tiles,
    max_tiles,
    groups,
    chunks,
    num_pairs,
    top_k,
    num_experts,
    max_loras,
    HAS_LORA: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_P: tl.constexpr,
    PDL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """One program a chunk: place its pairs, and list the tiles of every chunks-th group."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    chunk = tl.program_id(0)
    one = tl.arange(0, BLOCK_P)
    pair = chunk * BLOCK_P + one
    seen = _load_group(
        topk_ids, lora_ids, pair, num_pairs, top_k, num_experts, max_loras, HAS_LORA, BLOCK_G
    )
    earlier = (seen[:, None] == seen[None, :]) & (one[None, :] < one[:, None])
    here = seen < groups
    place = tl.sum(earlier.to(tl.int32), axis=1)
    place += tl.load(sums + (1 + chunk) * BLOCK_G + seen, mask=here, other=0)
    done = 0
    while done < groups:
        group = done + tl.arange(0, BLOCK_S)
        total = tl.load(sums + group, mask=group < groups, other=0)
        place += tl.sum(tl.where(group[None, :] < seen[:, None], total[None, :], 0), axis=1)
        done += BLOCK_S
    tl.store(sorted_pairs + place, pair, mask=here)

    mine = chunk
    while mine < groups:
        start, first_tile, rows, all_tiles = 0, 0, 0, 0
        done = 0
        while done < groups:
            group = done + tl.arange(0, BLOCK_S)
            total = tl.load(sums + group, mask=group < groups, other=0)
            cut = (total + BLOCK_M - 1) // BLOCK_M
            start += tl.sum(tl.where(group < mine, total, 0), axis=0)
            first_tile += tl.sum(tl.where(group < mine, cut, 0), axis=0)
            rows += tl.sum(tl.where(group == mine, total, 0), axis=0)
            all_tiles += tl.sum(cut, axis=0)
            done += BLOCK_S
        if mine == 0:
            tl.store(num_tiles, all_tiles)
        _list_tiles(tiles, max_tiles, mine, first_tile, start, rows, BLOCK_M, BLOCK_T)
        mine += chunks
