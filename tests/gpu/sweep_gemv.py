"""Time whole layers of one and two tokens with other blocks, to fill `gemv_layer.py`.

    python tests/gpu/sweep_gemv.py [--shape NAME ...]

Every candidate of either product goes with the table's choice of the other, is compared with the
grouped GEMM's output and replayed in turn with it. Kernels are compiled beforehand by several
processes. Ratios are grouped GEMM / candidate: above 1, the candidate is faster.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from moe_doctor.kernels import fused_moe as ours
from moe_doctor.kernels.activations import Activation
from moe_doctor.kernels.fused_moe_details.gemv_layer import (
    Block,
    Blocks,
    choose_blocks,
    gemv_layer,
)
from moe_doctor.kernels.fused_moe_details.hopper_layer import fits_hopper, hopper_layer
from tests.gpu.graph_time import interleaved_us
from tests.gpu.layers import SHAPES, Batch, Layer, make_batches, make_layer

CANDIDATES = tuple(
    Block(block_n, block_k, num_warps)
    for block_n in (1, 2, 4, 8)
    for block_k in (256, 512, 1024, 2048)
    for num_warps in (2, 4, 8)
    if 256 <= block_n * block_k / num_warps <= 1024
)
LIMIT = 1e-2


def grouped(layer: Layer, batch: Batch) -> Tensor:
    """The layer by the grouped GEMM that more tokens take here."""
    act = Activation(layer.shape.activation, layer.shape.gated)
    args = (batch.x, layer.w13, layer.w2, batch.topk_weights, batch.topk_ids)
    if fits_hopper(batch.x, layer.w13, layer.w2, act):
        return hopper_layer(*args, act, torch.empty_like(batch.x))
    tiles = ours._tiles(batch.x, layer.w2, batch.topk_ids.numel(), act.gated)
    return ours.fused_moe(*args, activation=act.name, gated=act.gated, tiles=tiles)


def by_rows(layer: Layer, blocks: Blocks, batch: Batch) -> Tensor:
    """The layer with these blocks."""
    return gemv_layer(
        batch.x,
        layer.w13,
        layer.w2,
        batch.topk_weights,
        batch.topk_ids,
        Activation(layer.shape.activation, layer.shape.gated),
        torch.empty_like(batch.x),
        bias13=None,
        bias2=None,
        pdl=ours._has_pdl(batch.x.device),
        blocks=blocks,
    )


def compile_one(what: tuple[str, Block]) -> None:
    """Run a block in both products of a shape once."""
    name, block = what
    layer = make_layer(SHAPES[name])
    by_rows(layer, (block, block), make_batches(layer.shape, 1, 1)[0])
    torch.cuda.synchronize()


def time_cell(layer: Layer, num_tokens: int) -> list[str]:
    """A line for each product: microseconds and ratio of every candidate, the fastest first."""
    batches = make_batches(layer.shape, num_tokens)
    wanted = grouped(layer, batches[0]).float()
    shape = layer.shape
    chosen = choose_blocks(shape.hidden_size, shape.intermediate_size, batches[0].x.device)
    lines = []
    for place in (0, 1):
        racing = {"grouped": [partial(grouped, layer, one) for one in batches]}
        for block in (chosen[place], *CANDIDATES):
            blocks = (block, chosen[1]) if place == 0 else (chosen[0], block)
            found = by_rows(layer, blocks, batches[0]).float()
            error = float((found - wanted).norm() / wanted.norm())
            if not error <= LIMIT:
                raise RuntimeError(f"{shape} with {blocks}: relative error {error:.1e}")
            name = "/".join(map(str, block))
            racing.setdefault(name, [partial(by_rows, layer, blocks, one) for one in batches])
        times = interleaved_us(racing, budget_ms=20.0)
        base = times["grouped"]
        order = sorted(times, key=lambda name: times[name])[:8]
        cells = ", ".join(f"{name} {times[name]:.1f} ({base / times[name]:.2f})" for name in order)
        table = "/".join(map(str, chosen[place]))
        lines.append(f"{('first', 'second')[place]}: table {table} {times[table]:.1f}; {cells}")
    return lines


def main() -> int:
    """Compile, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", action="append", choices=list(SHAPES))
    options = parser.parse_args()
    names = options.shape or list(SHAPES)
    work = [(name, block) for name in names for block in CANDIDATES]
    with get_context("spawn").Pool(min(len(work), os.cpu_count() or 4)) as pool:
        pool.map(compile_one, work, chunksize=4)
    for name in names:
        layer = make_layer(SHAPES[name])
        for num_tokens in (1, 2):
            for line in time_cell(layer, num_tokens):
                print(f"{name} {num_tokens} {line}", flush=True)
        del layer
        torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
