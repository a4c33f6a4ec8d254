"""Time whole layers with other tiles of the sm_90 kernel, to fill `hopper_tiles.py`.

    python tests/gpu/sweep_hopper.py [--shape NAME ...] [--tokens T ...] [--seconds S]

Every candidate is compared with the portable kernel's output and replayed in turn with it and with
the table's choice. Kernels are compiled beforehand by one process per cell. Ratios are portable /
candidate: above 1, the candidate is faster.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from moe_doctor.kernels import fused_moe as ours
from moe_doctor.kernels.activations import Activation
from moe_doctor.kernels.fused_moe_details.hopper_layer import fits_hopper, hopper_layer
from moe_doctor.kernels.fused_moe_details.hopper_tiles import HopperTile, choose_hopper_tiles
from tests.gpu.graph_time import interleaved_us
from tests.gpu.layers import SHAPES, TOKENS, Batch, Layer, Shape, make_batches, make_layer

Pair = tuple[HopperTile, HopperTile]
LIMIT = 1e-2


def candidates(shape: Shape, num_tokens: int) -> Iterator[tuple[str, Pair]]:
    """The table's choice, then others for the same number of rows an expert."""
    num_pairs = num_tokens * shape.top_k
    yield (
        "table",
        choose_hopper_tiles(
            num_pairs,
            shape.num_experts,
            shape.intermediate_size,
            gated=shape.gated,
        ),
    )
    rows = num_pairs / min(num_pairs, shape.num_experts)
    for block_m in (16, 32, 64, 128):
        if not block_m / 4 <= rows <= block_m * 2:
            continue
        if block_m < 128:
            narrow, wide = (HopperTile(block_m, n, 128, 4, 1, True) for n in (64, 128))
            yield f"{block_m} 64/64", (narrow, narrow)
            yield f"{block_m} 64/64 twice", (narrow, narrow._replace(programs=2))
            yield f"{block_m} 64/128", (narrow, wide)
        else:
            columns = 128 if shape.gated else 256
            first = HopperTile(128, columns, 64, 8, 1, False, 8)
            yield "128 /256", (first, HopperTile(128, 256, 64, 8, 1, False, 8))
            yield "128 /128 twice", (first, HopperTile(128, 128, 64, 4, 2, False, 8))


def portable(layer: Layer, batch: Batch) -> Tensor:
    """The layer by the kernel that needs no sm_90."""
    shape = layer.shape
    tiles = ours._tiles(batch.x, layer.w2, batch.topk_ids.numel(), shape.gated)
    return ours.fused_moe(
        batch.x,
        layer.w13,
        layer.w2,
        batch.topk_weights,
        batch.topk_ids,
        activation=shape.activation,
        gated=shape.gated,
        tiles=tiles,
    )


def hopper(layer: Layer, tiles: Pair, batch: Batch) -> Tensor:
    """The layer by the sm_90 kernel."""
    act = Activation(layer.shape.activation, layer.shape.gated)
    if not fits_hopper(batch.x, layer.w13, layer.w2, act):
        raise RuntimeError("this GPU, or this Triton, does not run the sm_90 kernel")
    args = (batch.x, layer.w13, layer.w2, batch.topk_weights, batch.topk_ids, act)
    return hopper_layer(*args, torch.empty_like(batch.x), tiles)


def compile_cell(cell: tuple[str, int]) -> None:
    """Run every candidate of a cell once."""
    name, num_tokens = cell
    layer = make_layer(SHAPES[name])
    batch = make_batches(layer.shape, num_tokens, 1)[0]
    portable(layer, batch)
    for _, tiles in candidates(layer.shape, num_tokens):
        hopper(layer, tiles, batch)
    torch.cuda.synchronize()


def time_cell(layer: Layer, num_tokens: int) -> str:
    """One line: microseconds and ratio of every candidate."""
    batches = make_batches(layer.shape, num_tokens, 4 if num_tokens >= 2048 else 8)
    wanted = portable(layer, batches[0]).float()
    racing = {"portable": [partial(portable, layer, one) for one in batches]}
    for name, tiles in candidates(layer.shape, num_tokens):
        error = float((hopper(layer, tiles, batches[0]).float() - wanted).norm() / wanted.norm())
        if not error <= LIMIT:
            return f"{name} {tiles}: relative error {error:.1e}"
        racing[name] = [partial(hopper, layer, tiles, one) for one in batches]
    found = interleaved_us(racing)
    return ", ".join(f"{n} {us:.1f} ({found['portable'] / us:.2f})" for n, us in found.items())


def main() -> int:
    """Compile, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", action="append", choices=list(SHAPES))
    parser.add_argument("--tokens", action="append", type=int)
    parser.add_argument("--seconds", type=float, default=240.0)
    options = parser.parse_args()
    cells = [(n, t) for n in options.shape or SHAPES for t in options.tokens or TOKENS]
    started = time.monotonic()
    with get_context("spawn").Pool(min(len(cells), os.cpu_count() or 4)) as pool:
        pool.map(compile_cell, cells, chunksize=1)
    print(f"compiled in {time.monotonic() - started:.0f} s", flush=True)
    for name in options.shape or SHAPES:
        layer = make_layer(SHAPES[name])
        for num_tokens in options.tokens or TOKENS:
            if time.monotonic() - started > options.seconds:
                print(f"{name} {num_tokens}: no time left")
                continue
            print(f"{name} {num_tokens}: {time_cell(layer, num_tokens)}", flush=True)
        del layer
        torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
