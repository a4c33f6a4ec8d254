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
Up to CHUNK pairs one launch does it, every group reading all pairs. Beyond that the pairs are cut
into chunks, which are counted first: a program then knows what lies before its group's pairs of its
chunk, and reads no other chunk's pairs.
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

CHUNK = 4096
"""Most pairs that one program reads."""
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
    chunk: int = CHUNK,
) -> Alignment:
    """Sort the pairs by (adapter, expert) and list tiles of at most `block_m` rows.

    `chunk` exists for tests.
    """
    num_pairs = topk_ids.numel()
    groups = num_experts * (max_loras + 1 if lora_ids is not None else 1)
    max_tiles = (num_pairs + min(groups, num_pairs) * (block_m - 1)) // block_m
    scratch = torch.empty(num_pairs + 3 * max_tiles + 1, dtype=torch.int32, device=topk_ids.device)
    sorted_pairs, tiles, num_tiles = scratch.split([num_pairs, 3 * max_tiles, 1])
    chunks = triton.cdiv(num_pairs, chunk)
    block_g = triton.next_power_of_2(groups + 1)
    routes: dict[str, Any] = {
        "num_pairs": num_pairs,
        "top_k": topk_ids.shape[1],
        "num_experts": num_experts,
        "max_loras": max_loras,
        "HAS_LORA": lora_ids is not None,
        "BLOCK_G": block_g,
        "BLOCK_P": chunk if chunks > 1 else max(2, triton.next_power_of_2(num_pairs)),
    }
    ids = topk_ids if lora_ids is None else lora_ids
    counts = topk_ids
    if chunks > 1:
        counts = torch.empty(chunks * block_g, dtype=torch.int32, device=topk_ids.device)
        _count_kernel[(chunks,)](topk_ids, ids, counts, **routes)
    _place_kernel[(groups, chunks)](
        topk_ids,
        ids,
        counts,
        sorted_pairs,
        tiles,
        num_tiles,
        max_tiles,
        groups,
        chunks,
        **routes,
        ONE_CHUNK=chunks == 1,
        BLOCK_M=block_m,
        BLOCK_C=max(1, 4096 // block_g),
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


@triton.jit(do_not_specialize=["num_pairs"])
def _count_kernel(
    topk_ids,
    lora_ids,
    counts,  # [chunks, BLOCK_G]
    num_pairs,
    top_k,
    num_experts,
    max_loras,
    HAS_LORA: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    chunk = tl.program_id(0)
    seen = _load_group(
        topk_ids,
        lora_ids,
        chunk * BLOCK_P + tl.arange(0, BLOCK_P),
        num_pairs,
        top_k,
        num_experts,
        max_loras,
        HAS_LORA,
        BLOCK_G,
    )
    tl.store(counts + chunk * BLOCK_G + tl.arange(0, BLOCK_G), tl.histogram(seen, BLOCK_G))


@triton.jit(do_not_specialize=["num_pairs", "max_tiles", "chunks"])
def _place_kernel(
    topk_ids,
    lora_ids,
    counts,  # [chunks, BLOCK_G], read unless ONE_CHUNK
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
    ONE_CHUNK: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """One program a group and chunk: place its pairs; the first chunk's lists the group's tiles."""
    group = tl.program_id(0)
    chunk = tl.program_id(1)
    pair = chunk * BLOCK_P + tl.arange(0, BLOCK_P)
    seen = _load_group(
        topk_ids,
        lora_ids,
        pair,
        num_pairs,
        top_k,
        num_experts,
        max_loras,
        HAS_LORA,
        BLOCK_G,
    )
    every = tl.arange(0, BLOCK_G)
    before = tl.zeros([BLOCK_G], dtype=tl.int32)
    if ONE_CHUNK:
        # The last bin holds what has no group.
        total = tl.where(every < groups, tl.histogram(seen, BLOCK_G), 0)
    else:
        total = before
        done = 0
        while done < chunks:
            row = done + tl.arange(0, BLOCK_C)
            found = tl.load(
                counts + row[:, None] * BLOCK_G + every[None, :],
                mask=(row[:, None] < chunks) & (every[None, :] < groups),
                other=0,
            )
            total += tl.sum(found, axis=0)
            before += tl.sum(tl.where(row[:, None] < chunk, found, 0), axis=0)
            done += BLOCK_C
    cut = (total + BLOCK_M - 1) // BLOCK_M
    start = tl.sum(tl.where(every < group, total, 0), axis=0)
    mine = tl.sum(tl.where(every == group, total, 0), axis=0)

    if chunk == 0:
        first_tile = tl.sum(tl.where(every < group, cut, 0), axis=0)
        if group == 0:
            tl.store(num_tiles, tl.sum(cut, axis=0))
        done = 0
        while done * BLOCK_M < mine:
            tile = done + tl.arange(0, BLOCK_T)
            row = tile * BLOCK_M
            entry = tiles + first_tile + tile
            tl.store(entry, group, mask=row < mine)
            tl.store(entry + max_tiles, start + row, mask=row < mine)
            tl.store(entry + 2 * max_tiles, tl.minimum(mine - row, BLOCK_M), mask=row < mine)
            done += BLOCK_T

    hit = (seen == group).to(tl.int32)
    place = start + tl.sum(tl.where(every == group, before, 0), axis=0) + tl.cumsum(hit, axis=0) - 1
    tl.store(sorted_pairs + place, pair, mask=hit == 1)
