"""Our Triton layer beside its peers: same GPU, same run, same batches, replayed CUDA graphs.

    python tests/gpu/compare_peers.py --output peers.json [--shape NAME ...] [--tokens T ...]

A peer that is not importable is left out with its reason. Every call's output is compared with the
fp32 reference (up to 256 tokens) or with ours (beyond) before it is timed. Implementations are
replayed in turn. The table comes last; ratios are peer / ours: above 1, ours is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from moe_doctor.kernels.reference import fused_moe_reference
from tests.gpu import peers
from tests.gpu.graph_time import graph_us, interleaved_us, print_ratios
from tests.gpu.layers import (
    ROUTINGS,
    SHAPES,
    TOKENS,
    Batch,
    Layer,
    datasheet_bandwidth,
    make_batches,
    make_layer,
)

LIMIT = 1.2e-2
REFERENCE_TOKENS = 256


def rows_per_expert(layer: Layer, num_tokens: int) -> float:
    """Average rows of an expert that has any."""
    pairs = num_tokens * layer.shape.top_k
    return pairs / min(pairs, layer.shape.num_experts)


def warm(job: tuple[str, str, tuple[int, ...]]) -> str:
    """Compile one implementation's kernels for a shape, in a process of its own; what happened."""
    try:
        _warm(*job)
    except Exception as error:  # told, and met again where it is timed
        return f"{job} failed: {type(error).__name__}: {str(error)[:200]}"
    return f"{job}"


def _warm(name: str, peer: str, tokens: tuple[int, ...]) -> None:
    layer = make_layer(SHAPES[name])
    if peer == "ours":
        call = peers.ours(layer)
        for num_tokens in tokens:
            call(make_batches(layer.shape, num_tokens, 1)[0])
    else:
        with peers.vllm_session():
            call = peers.vllm(layer)
            for num_tokens in tokens:
                batch = make_batches(layer.shape, num_tokens, 1)[0]
                call(batch)
                if peer == "vllm tuned":
                    for tile in peers.vllm_tiles(rows_per_expert(layer, num_tokens)):
                        with contextlib.suppress(RuntimeError):  # too large a tile
                            peers.vllm_tuned(layer, tile)(batch)
    torch.cuda.synchronize()


def tuned_flashinfer(tokens: tuple[int, ...], layer: Layer) -> peers.Call:
    """FlashInfer, autotuned for every batch size up to the largest."""
    tune = make_batches(layer.shape, max(tokens), 1)
    return peers.flashinfer_cutlass(layer, layer.shape, tune)


def has(package: str) -> bool:
    """Whether a peer's package is here."""
    return importlib.util.find_spec(package) is not None


def relative_error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Frobenius norm of the difference over that of what was wanted."""
    return float((got.float() - wanted.float()).norm() / wanted.float().norm())


def measure(layer: Layer, num_tokens: int, calls: dict[str, peers.Call]) -> dict[str, Any]:
    """Microseconds and error of every implementation for one cell."""
    shape = layer.shape
    batches = make_batches(shape, num_tokens, 4 if num_tokens >= 2048 else ROUTINGS)
    batch = batches[0]
    if num_tokens <= REFERENCE_TOKENS:
        wanted = fused_moe_reference(
            batch.x,
            layer.w13,
            layer.w2,
            batch.topk_weights,
            batch.topk_ids,
            activation=shape.activation,
            gated=shape.gated,
        )
    else:
        wanted = calls["ours"](batch)
    cell: dict[str, Any] = {"floor": shape.floor_us(num_tokens, datasheet_bandwidth())}
    racing: dict[str, list[partial[torch.Tensor]]] = {}
    for name, call in calls.items():
        try:
            error = relative_error(call(batch), wanted)
        except Exception as failure:  # a peer's failure is a result
            cell[name] = {"failed": f"{type(failure).__name__}: {str(failure)[:200]}"}
            continue
        cell[name] = {"error": error}
        if error > LIMIT:
            cell[name]["failed"] = f"relative error {error:.1e}"
            continue
        racing[name] = [partial(call, one) for one in batches]
    if "vllm" in racing:
        tile = tuned_tile(layer, batches, wanted)
        racing["vllm tuned"] = [partial(peers.vllm_tuned(layer, tile), one) for one in batches]
        cell["vllm tuned"] = {"tile": tile}
    for name, us in interleaved_us(racing).items():
        cell[name]["us"] = us
    return cell


def tuned_tile(layer: Layer, batches: list[Batch], wanted: torch.Tensor) -> dict[str, int]:
    """The fastest of vLLM's tiles for these batches."""
    found: list[tuple[float, int, dict[str, int]]] = []
    tiles = peers.vllm_tiles(rows_per_expert(layer, batches[0].x.shape[0]))
    for index, tile in enumerate(tiles):
        call = peers.vllm_tuned(layer, tile)
        try:
            if relative_error(call(batches[0]), wanted) > LIMIT:
                continue
            us = graph_us([partial(call, one) for one in batches], 6.0)
        except Exception as failure:  # too large a tile for this GPU
            print(f"vllm {tile}: {type(failure).__name__}", flush=True)
            continue
        found.append((us, index, tile))
    return min(found)[2]


def main() -> int:
    """Warm, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("peers.json"))
    parser.add_argument("--shape", action="append", choices=list(SHAPES))
    parser.add_argument("--tokens", action="append", type=int)
    parser.add_argument("--without", action="append", default=[], help="a peer to leave out")
    parser.add_argument("--seconds", type=float, default=450.0)
    options = parser.parse_args()
    names = options.shape or list(SHAPES)
    tokens = tuple(options.tokens or TOKENS)
    started = time.monotonic()
    jobs = [(name, "ours", tokens) for name in names]
    if has("vllm"):
        # The tuned search is spread: a process for every batch size.
        jobs += [(name, "vllm tuned", (num_tokens,)) for name in names for num_tokens in tokens[1:]]
    with get_context("spawn").Pool(14, maxtasksperchild=1) as pool:
        for done in pool.imap_unordered(warm, jobs):
            print(f"{time.monotonic() - started:6.1f} s warmed {done}", flush=True)
    results: dict[str, dict[int, Any]] = {}
    with contextlib.ExitStack() as stack:
        if has("vllm"):
            stack.enter_context(peers.vllm_session())
        for name in names:
            layer = make_layer(SHAPES[name])
            calls = {"ours": peers.ours(layer), "torch": peers.torch_grouped(layer)}
            makers: dict[str, Callable[[Layer], peers.Call]]
            makers = {"vllm": peers.vllm, "flashinfer": partial(tuned_flashinfer, tokens)}
            for peer, make in makers.items():
                if peer in options.without or not has(peer):
                    continue
                try:
                    calls[peer] = make(layer)
                except Exception as error:  # told; the other peers are timed all the same
                    print(f"{name} {peer}: {type(error).__name__}: {str(error)[:200]}", flush=True)
                print(f"{time.monotonic() - started:6.1f} s made {peer} {name}", flush=True)
            results[name] = {}
            for num_tokens in tokens:
                if time.monotonic() - started > options.seconds:
                    print(f"out of time before {name} {num_tokens}")
                    break
                results[name][num_tokens] = measure(layer, num_tokens, calls)
                options.output.write_text(json.dumps(results, indent=1), encoding="utf-8")
            del layer, calls
            torch.cuda.empty_cache()
    print(torch.cuda.get_device_name(), torch.__version__, f"{time.monotonic() - started:.0f} s")
    return print_table(results)


PEERS = ("vllm", "vllm tuned", "flashinfer", "torch")


def print_table(results: dict[str, dict[int, Any]]) -> int:
    """Microseconds, then peer / ours."""
    heads = "".join(f"{peer:>19}" for peer in PEERS)
    print(f"{'':18}{'T':>5} {'floor':>8} {'ours':>8}{heads}")
    ratios: dict[str, list[float]] = {}
    for name, cells in results.items():
        for num_tokens, cell in cells.items():
            mine = cell["ours"].get("us", math.nan)
            line = f"{name:18}{num_tokens:5} {cell['floor']:8.1f} {mine:8.1f}"
            for peer in PEERS:
                us = cell.get(peer, {}).get("us")
                if us is None:
                    line += f"{'failed' if peer in cell else '-':>19}"
                    continue
                line += f"{us:11.1f} ({us / mine:4.2f}x)"
                ratios.setdefault(peer, []).append(us / mine)
            print(line)
    print_ratios(ratios)
    return 0


if __name__ == "__main__":
    sys.exit(main())
