"""Stage 1: sort the T x k (token, expert) pairs into tiles that belong to one group each.

A group is an expert, or an (adapter, expert) when LoRA is on: group = (adapter + 1) * E + expert,
adapter -1 being "none". Every group's pairs are padded to whole tiles of BLOCK_M rows, so that a
tile of the grouped GEMM reads one weight. All on the device and of a size known beforehand, so a
CUDA graph can capture it. Worked example, T=3, k=2, E=4, BLOCK_M=4, no LoRA:

    topk_ids      [[2, 0], [2, 3], [0, 2]]      pair p = token * k + slot, six of them
    sorted_pairs  [1, 4, 6, 6 | 0, 2, 5, 6 | 3, 6, 6, 6]     6 = T*k marks padding
    tile_group    [0, 2, 3]
    num_padded    12

An expert without tokens has no tile. An id outside 0..E-1 (an expert of another rank) is left out.
"""

# Loops over runtime bounds are `while`: `range` needs __index__, which the interpreter of triton
# 3.6 and older cannot give with numpy 2.4 and newer.
# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNK = 1024
"""Pairs that one step of the scan reads."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the grouped GEMM finds its rows; see the module's worked example."""

    sorted_pairs: Tensor
    """[max_tiles * BLOCK_M] int32."""
    tile_group: Tensor
    """[max_tiles] int32."""
    num_padded: Tensor
    """[1] int32: how much of `sorted_pairs` is in use."""
    max_tiles: int
    """Upper bound of the number of tiles, known without asking the device."""


def align(
    topk_ids: Tensor,  # [T, k] int32
    lora_ids: Tensor | None,  # [T] int32
    *,
    num_experts: int,
    max_loras: int,
    block_m: int,
) -> Alignment:
    """Group the pairs by (adapter, expert) in tiles of `block_m` rows."""
    num_pairs = topk_ids.numel()
    groups = num_experts * (max_loras + 1 if lora_ids is not None else 1)
    max_tiles = (num_pairs + min(groups, num_pairs) * (block_m - 1)) // block_m
    device = topk_ids.device
    counts = torch.empty(groups, dtype=torch.int32, device=device)
    sorted_pairs = torch.empty(max_tiles * block_m, dtype=torch.int32, device=device)
    tile_group = torch.empty(max_tiles, dtype=torch.int32, device=device)
    num_padded = torch.empty(1, dtype=torch.int32, device=device)
    chunk = min(CHUNK, triton.next_power_of_2(num_pairs))
    scan = {
        "num_pairs": num_pairs,
        "top_k": topk_ids.shape[1],
        "num_experts": num_experts,
        "max_loras": max_loras,
        "HAS_LORA": lora_ids is not None,
        "CHUNK": chunk,
    }
    ids = topk_ids if lora_ids is None else lora_ids
    _count_kernel[(groups,)](topk_ids, ids, counts, **scan)
    _scatter_kernel[(groups,)](
        topk_ids,
        ids,
        counts,
        sorted_pairs,
        tile_group,
        num_padded,
        groups,
        **scan,
        BLOCK_M=block_m,
        BLOCK_G=triton.next_power_of_2(groups),
    )
    return Alignment(sorted_pairs, tile_group, num_padded, max_tiles)


@triton.jit
def _load_group(
    topk_ids, lora_ids, pair, num_pairs, top_k, num_experts, max_loras, HAS_LORA: tl.constexpr
):
    """Group of each pair; -1 for padding and for experts that are not here."""
    inside = pair < num_pairs
    expert = tl.load(topk_ids + pair, mask=inside, other=-1)
    here = (expert >= 0) & (expert < num_experts)
    group = expert
    if HAS_LORA:
        adapter = tl.load(lora_ids + pair // top_k, mask=inside, other=-1)
        # An adapter id that is not loaded counts as none, as -1 does.
        adapter = tl.where((adapter >= 0) & (adapter < max_loras), adapter, -1)
        group = (adapter + 1) * num_experts + expert
    return tl.where(here, group, -1)


@triton.jit(do_not_specialize=["num_pairs"])
def _count_kernel(
    topk_ids,
    lora_ids,
    counts,
    num_pairs,
    top_k,
    num_experts,
    max_loras,
    HAS_LORA: tl.constexpr,
    CHUNK: tl.constexpr,
):
    group = tl.program_id(0)
    hits = tl.zeros([CHUNK], dtype=tl.int32)
    first = 0
    while first < num_pairs:
        pair = first + tl.arange(0, CHUNK)
        seen = _load_group(
            topk_ids, lora_ids, pair, num_pairs, top_k, num_experts, max_loras, HAS_LORA
        )
        hits += (seen == group).to(tl.int32)
        first += CHUNK
    tl.store(counts + group, tl.sum(hits, axis=0))


@triton.jit(do_not_specialize=["num_pairs"])
def _scatter_kernel(
    topk_ids,
    lora_ids,
    counts,
    sorted_pairs,
    tile_group,
    num_padded,
    groups,
    num_pairs,
    top_k,
    num_experts,
    max_loras,
    HAS_LORA: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_G: tl.constexpr,
):
    group = tl.program_id(0)
    every = tl.arange(0, BLOCK_G)
    count = tl.load(counts + every, mask=every < groups, other=0)
    padded = (count + BLOCK_M - 1) // BLOCK_M * BLOCK_M
    start = tl.sum(tl.where(every < group, padded, 0), axis=0)
    mine = tl.sum(tl.where(every == group, count, 0), axis=0)
    if group == 0:
        tl.store(num_padded, tl.sum(padded, axis=0))

    tiles = (mine + BLOCK_M - 1) // BLOCK_M
    done = 0
    while done < tiles:
        tile = done + tl.arange(0, CHUNK)
        tl.store(tile_group + start // BLOCK_M + tile, group, mask=tile < tiles)
        done += CHUNK

    written = start
    if mine > 0:
        first = 0
        while first < num_pairs:
            pair = first + tl.arange(0, CHUNK)
            seen = _load_group(
                topk_ids, lora_ids, pair, num_pairs, top_k, num_experts, max_loras, HAS_LORA
            )
            hit = (seen == group).to(tl.int32)
            place = written + tl.cumsum(hit, axis=0) - 1
            tl.store(sorted_pairs + place, pair, mask=hit == 1)
            written += tl.sum(hit, axis=0)
            first += CHUNK

    rest = mine + tl.arange(0, BLOCK_M)
    tl.store(sorted_pairs + start + rest, num_pairs, mask=rest < tiles * BLOCK_M)
