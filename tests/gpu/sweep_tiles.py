"""Time every tile of a grid for both GEMMs of every shape, to fill `tiles.py`.

    python tests/gpu/sweep_tiles.py --output sweep.json [--shape NAME ...] [--tokens T ...]

GEMMs are timed alone, each with the alignment of its block_m, over eight routings in turn. Kernels
are compiled beforehand by one process per core. The best three of each cell are printed last.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from moe_doctor.kernels import fused_moe as ours
from moe_doctor.kernels.activations import Activation
from moe_doctor.kernels.fused_moe_details._align import align
from moe_doctor.kernels.fused_moe_details.tiles import Tile
from tests.gpu.graph_time import graph_us
from tests.gpu.layers import ROUTINGS, SHAPES, TOKENS, Batch, Layer, Shape, make_batches, make_layer

LIMIT_BYTES = 227 * 1024


def grid(block_m: int, gated: bool) -> Iterator[Tile]:
    """Tiles worth a try for `block_m`; `gated` = two weight tiles a step."""
    bools = (False, True)
    axes: tuple[tuple[Any, ...], ...]
    if block_m == 16:
        axes = ((16, 32, 64, 128), (128, 256), (3, 5), (4,), bools, bools)
    elif block_m == 32:
        axes = ((64, 128), (64, 128), (4,), (4,), bools, bools)
    elif block_m == 64:
        axes = ((64, 128, 256), (64,), (3, 4), (4, 8), bools, bools)
    else:
        axes = ((64, 128, 256), (64,), (3, 4), (4, 8), bools, (False,))
    for block_n, block_k, stages, warps, w_tma, swap in itertools.product(*axes):
        if (swap and not w_tma) or block_n * block_k > 128 * 128:
            continue
        columns = block_n * (2 if gated else 1)
        if columns > 256 or (swap and block_n < 64):
            continue
        # fp32 accumulators of one thread; more spills.
        if block_m * columns / (32 * warps) > 128:
            continue
        if block_m * columns / (32 * warps) < 32 and block_m >= 64 and warps == 8:
            continue
        x_tma, group_m = (w_tma, 8) if block_m >= 64 else (False, 1)
        tile = Tile(block_m, block_n, block_k, group_m, warps, stages, w_tma, x_tma, swap)
        if tile.shared_memory_bytes(gated, 2) <= LIMIT_BYTES:
            yield tile


def block_ms(shape: Shape, num_tokens: int) -> tuple[int, ...]:
    """Row blocks worth a try."""
    rows = num_tokens * shape.top_k / shape.num_experts
    if num_tokens <= 16:
        return (16,)
    if rows <= 12:
        return (16, 32)
    if rows <= 40:
        return (16, 32, 64)
    return (32, 64, 128) if rows <= 100 else (64, 128)


def batch_of(layer: Layer, batch: Batch, block_m: int) -> Any:
    """What `fused_moe` makes of a batch before its GEMMs."""
    alignment = None
    if batch.x.shape[0] > ours.DIRECT_TOKENS:
        alignment = align(
            batch.topk_ids, None, num_experts=layer.shape.num_experts, max_loras=0, block_m=block_m
        )
    return ours._Batch(
        batch.topk_ids, batch.topk_weights, alignment, layer.shape.num_experts, batch.x
    )


def run_gemm(layer: Layer, batch: Batch, prepared: Any, tile: Tile, first: bool, inner: Any) -> Any:
    """One GEMM; `inner` is what the second one reads."""
    shape = layer.shape
    if first:
        out = prepared.empty(shape.intermediate_size)
        act = Activation(shape.activation, shape.gated)
        prepared.gemm(batch.x, layer.w13, out, tile, is_first=True, act=act, bias=None)
    else:
        out = prepared.empty(shape.hidden_size)
        act = Activation("none", gated=False)
        prepared.gemm(inner, layer.w2, out, tile, is_first=False, act=act, bias=None)
    return out


def compile_part(job: tuple[str, tuple[int, ...], int, int]) -> int:
    """Compile every `of`-th tile of a shape by running it once."""
    name, tokens, part, of = job
    torch.cuda.set_device(0)
    shape = SHAPES[name]
    layer = make_layer(shape)
    work = set()
    for num_tokens in tokens:
        direct = num_tokens <= ours.DIRECT_TOKENS
        for block_m in block_ms(shape, num_tokens):
            for first in (True, False):
                for tile in grid(block_m, shape.gated and first):
                    work.add((direct, first, tile))
    mine = sorted(work, key=str)[part::of]
    batches = {flag: make_batches(shape, 16 if flag else 17, 1)[0] for flag in (False, True)}
    for direct, first, tile in mine:
        batch = batches[direct]
        prepared = batch_of(layer, batch, tile.block_m)
        inner = prepared.empty(shape.intermediate_size).normal_()
        try:
            run_gemm(layer, batch, prepared, tile, first, inner)
        except RuntimeError as error:  # Triton's compiler gave up on this tile
            print("compile", name, tile, str(error)[:80], flush=True)
    torch.cuda.synchronize()
    return len(mine)


def time_cell(layer: Layer, num_tokens: int, deadline: float) -> Iterator[dict[str, Any]]:
    """Microseconds of every tile for one shape and batch size."""
    shape = layer.shape
    batches = make_batches(shape, num_tokens, 2 if num_tokens >= 2048 else ROUTINGS)
    for block_m in block_ms(shape, num_tokens):
        prepared = [batch_of(layer, batch, block_m) for batch in batches]
        inners = [one.empty(shape.intermediate_size).normal_() for one in prepared]
        for first in (True, False):
            for tile in grid(block_m, shape.gated and first):
                if time.monotonic() > deadline:
                    return
                calls = [
                    partial(run_gemm, layer, batch, one, tile, first, inner)
                    for batch, one, inner in zip(batches, prepared, inners, strict=True)
                ]
                try:
                    us = graph_us(calls, 8.0)
                except RuntimeError as error:  # Triton's compiler gave up on this tile
                    print("time", tile, str(error)[:80], flush=True)
                    continue
                yield {"tokens": num_tokens, "first": first, "us": us, **asdict(tile)}


def print_best(name: str, rows: list[dict[str, Any]]) -> None:
    """The best tile of every cell and block_m."""
    keys = sorted({(r["tokens"], not r["first"], r["block_m"]) for r in rows})
    for tokens, second, block_m in keys:
        cell = [r for r in rows if (r["tokens"], not r["first"]) == (tokens, second)]
        best = min((r for r in cell if r["block_m"] == block_m), key=lambda r: float(r["us"]))
        flags = "".join(f[0] for f in ("tma", "x_tma", "swap") if best.get(f) or best.get("w_" + f))
        print(
            f"{name[:8]:8} {tokens:5} {2 if second else 1} {best['us']:8.1f} m{block_m} "
            f"n{best['block_n']} k{best['block_k']} w{best['num_warps']} "
            f"s{best['num_stages']} {flags}"
        )


def main() -> int:
    """Compile, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("sweep.json"))
    parser.add_argument("--shape", action="append", choices=list(SHAPES))
    parser.add_argument("--tokens", action="append", type=int)
    parser.add_argument("--seconds", type=float, default=420.0)
    options = parser.parse_args()
    names = options.shape or list(SHAPES)
    tokens = tuple(options.tokens or TOKENS)
    started = time.monotonic()
    parts = max(1, (os.cpu_count() or 4) // len(names))
    jobs = [(name, tokens, part, parts) for name in names for part in range(parts)]
    with get_context("spawn").Pool(len(jobs)) as pool:
        done = sum(pool.map(compile_part, jobs, chunksize=1))
    print(f"compiled {done} kernels in {time.monotonic() - started:.0f} s", flush=True)
    results: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        layer = make_layer(SHAPES[name])
        results[name] = []
        for num_tokens in tokens:
            results[name] += time_cell(layer, num_tokens, started + options.seconds)
            options.output.write_text(json.dumps(results), encoding="utf-8")
        del layer
        torch.cuda.empty_cache()
    for name, rows in results.items():
        print_best(name, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
