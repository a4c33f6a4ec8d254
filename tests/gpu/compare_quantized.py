"""Our quantized layer beside its peers: same GPU, same run, same batches, replayed CUDA graphs.

    python tests/gpu/compare_quantized.py --output quantized.json [--cell SCHEME:SHAPE ...]
        [--tokens T ...] [--flashinfer] [--tune]

A call is the whole layer: quantization of its input, alignment, both GEMMs, activation and its
quantization, sum. Kernels are compiled beforehand, by processes forked after the imports. Every
implementation's first tokens are compared with the fp32 reference before it is timed. `--tune`
looks for the fastest of vLLM's own tiles and of ours. Results are written after every cell; the
table comes last, ratios are peer / ours: above 1, ours is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import sys
import time
from dataclasses import asdict
from functools import partial
from itertools import zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from moe_doctor.kernels.fused_moe_details.tiles import Tile
from moe_doctor.kernels.reference import fused_moe_reference
from tests.gpu import peers
from tests.gpu import quantized_peers as quantized
from tests.gpu.graph_time import graph_us, interleaved_us, print_ratios
from tests.gpu.layers import (
    ROUTINGS,
    SHAPES,
    TOKENS,
    Batch,
    Shape,
    datasheet_bandwidth,
    make_batches,
)
from tests.gpu.quantized_tiles import Candidates, grid

GPT_OSS = Shape(32, 4, 2880, 2880, "swigluoai")
ALL_SHAPES = {**SHAPES, "gpt-oss-20b": GPT_OSS}
CELLS = (
    "fp8_block_128x128:Qwen3-30B-A3B",
    "fp8_block_128x128:DeepSeek-V3 TP8",
    "fp8_tensor_static:Mixtral-8x7B",
    "fp8_tensor_static:Qwen3-30B-A3B",
    "int8_channel:Qwen3-30B-A3B",
    "int4_g128:Qwen3-30B-A3B",
    "int4_g128:Mixtral-8x7B",
    "mxfp4:gpt-oss-20b",
)
LIMIT = 4e-2
"""Two roundings to bf16, and values that fall into the next step of fp8 or int8: about 1e-2."""
CHECKED = 48
"""First tokens of a batch that the reference computes, where tokens do not depend on each other."""
PEERS = ("vllm", "vllm tuned", "flashinfer", "ours tuned")


def rows_per_expert(shape: Shape, num_tokens: int) -> float:
    """Average rows of an expert that has any."""
    pairs = num_tokens * shape.top_k
    return pairs / min(pairs, shape.num_experts)


def has_vllm_kernel(cell: str) -> bool:
    """Whether vLLM is here and has a Triton kernel for the scheme."""
    return importlib.util.find_spec("vllm") is not None and not cell.startswith("mxfp4")


def warm(job: tuple[str, int, bool]) -> str:
    """Compile what a cell needs, in a process of its own; what went wrong."""
    cell, num_tokens, tune = job
    try:
        return _warm(cell, num_tokens, tune)
    except Exception as error:  # told, and met again where it is timed
        return f"{cell} {num_tokens} failed: {type(error).__name__}: {str(error)[:200]}"
    finally:
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()


def _warm(cell: str, num_tokens: int, tune: bool) -> str:
    scheme, name = cell.split(":")
    shape = ALL_SHAPES[name]
    layer = quantized.make_blank(shape, scheme)
    batch = make_batches(layer.shape, num_tokens, 1)[0]
    quantized.ours(layer)(batch)
    rows, told = rows_per_expert(shape, num_tokens), []
    for firsts, seconds in grid(scheme, rows, num_tokens).values() if tune else ():
        # Every tile once, in as few calls as the longer list has tiles.
        for pair in zip_longest(firsts, seconds):
            try:
                quantized.ours(layer, (pair[0] or firsts[0], pair[1] or seconds[0]))(batch)
            except Exception as error:  # too large a tile, or one that Triton gives up on
                told.append(f"{pair}: {str(error)[:60]}")
    if has_vllm_kernel(cell):
        with peers.vllm_session():
            quantized.vllm(layer)(batch)
            for tile in quantized.vllm_tiles(scheme, rows) if tune else ():
                with contextlib.suppress(RuntimeError):  # too large a tile
                    quantized.vllm(layer, tile)(batch)
    torch.cuda.synchronize()
    return f"{cell} {num_tokens} " + "; ".join(told)


def relative_error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Frobenius norm of the difference over that of what was wanted, of the tokens checked."""
    got = got[: len(wanted)].float()
    return float((got - wanted).norm() / wanted.norm())


def measure(
    layer: quantized.QuantizedLayer,
    num_tokens: int,
    calls: dict[str, peers.Call],
    tune: bool,
) -> dict[str, Any]:
    """Microseconds and error of every implementation for one cell."""
    shape = layer.shape
    batches = make_batches(shape, num_tokens, 4 if num_tokens >= 2048 else ROUTINGS)
    first = batches[0]
    # With one scale for all rows tokens do depend on each other.
    checked = num_tokens if layer.w13.scheme.activations == "tensor" else CHECKED
    wanted = fused_moe_reference(
        first.x[:checked],
        layer.w13,
        layer.w2,
        first.topk_weights[:checked],
        first.topk_ids[:checked],
        **layer.how,
    )
    cell: dict[str, Any] = {
        "floor": quantized.floor_us(shape, layer.scheme, num_tokens, datasheet_bandwidth())
    }
    calls = dict(calls)
    rows = rows_per_expert(shape, num_tokens)
    if tune:
        tile: Any
        if "vllm" in calls:
            tile = fastest(
                partial(quantized.vllm, layer),
                quantized.vllm_tiles(layer.scheme, rows),
                batches,
                wanted,
            )
            if tile:
                calls["vllm tuned"] = quantized.vllm(layer, tile[0][1])
                cell["vllm tuned"] = {"tiles": tile[:3]}
        tile = fastest_pairs(layer, grid(layer.scheme, rows, num_tokens), batches, wanted)
        if tile:
            calls["ours tuned"] = quantized.ours(layer, tile[0][1])
            cell["ours tuned"] = {
                "tiles": [(us, [asdict(one) for one in pair], error) for us, pair, error in tile]
            }
    racing: dict[str, list[partial[torch.Tensor]]] = {}
    for name, call in calls.items():
        found = cell.setdefault(name, {})
        try:
            found["error"] = relative_error(call(first), wanted)
        except Exception as failure:  # a peer's failure is a result
            found["failed"] = f"{type(failure).__name__}: {str(failure)[:200]}"
            continue
        if not found["error"] < LIMIT:
            found["failed"] = f"relative error {found['error']:.1e}"
            continue
        racing[name] = [partial(call, one) for one in batches]
    for name, us in interleaved_us(racing, 40.0).items() if racing else ():
        cell[name]["us"] = us
    return cell


Found = list[tuple[float, Any, float]]
"""Microseconds, tile and error, the fastest first."""


def fastest(make: Any, tiles: Any, batches: list[Batch], wanted: torch.Tensor) -> Found:
    """Try every tile on the first batches."""
    found: Found = []
    for tile in tiles:
        call = make(tile)
        try:
            error = relative_error(call(batches[0]), wanted)
            us = graph_us([partial(call, one) for one in batches[:4]], 4.0)
        except Exception as failure:  # too large a tile for this GPU
            print(f"{tile}: {type(failure).__name__} {str(failure)[:80]}", flush=True)
            continue
        if error < LIMIT:
            found.append((us, tile, error))
        else:
            print(f"{tile}: relative error {error:.1e}", flush=True)
    return sorted(found, key=lambda one: one[0])


def fastest_pairs(
    layer: quantized.QuantizedLayer,
    candidates: Candidates,
    batches: list[Batch],
    wanted: torch.Tensor,
) -> Found:
    """The first GEMM's tiles beside one of the second, then the second's beside the best."""
    found: Found = []
    make = partial(quantized.ours, layer)
    for firsts, seconds in candidates.values():
        mine = fastest(make, [(one, seconds[0]) for one in firsts], batches, wanted)
        if mine:
            best = mine[0][1][0]
            mine += fastest(make, [(best, one) for one in seconds[1:]], batches, wanted)
        found += mine
    return sorted(found, key=lambda one: one[0])


def main() -> int:
    """Warm, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("quantized.json"))
    parser.add_argument("--cell", action="append", help="SCHEME:SHAPE")
    parser.add_argument("--tokens", action="append", type=int)
    parser.add_argument("--flashinfer", action="store_true", help="autotuned, which is slow")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--seconds", type=float, default=150.0)
    options = parser.parse_args()
    cells = options.cell or list(CELLS)
    tokens = tuple(options.tokens or TOKENS)
    started = time.monotonic()
    session = contextlib.ExitStack()
    if importlib.util.find_spec("vllm") is not None:
        # Before the fork, so that this is paid once.
        import vllm._C
        import vllm._C_stable_libtorch
        import vllm._moe_C
        import vllm.model_executor.layers.fused_moe.fused_moe
        import vllm.v1.worker.workspace  # noqa: F401
    print(f"{time.monotonic() - started:6.1f} s imported", flush=True)
    method = "spawn" if torch.cuda.is_initialized() else "fork"
    jobs = [(cell, num_tokens, options.tune) for num_tokens in tokens for cell in cells]
    with get_context(method).Pool(16) as pool:
        for done in pool.imap_unordered(warm, jobs):
            if not done.endswith(" "):
                print(done, flush=True)
    print(f"{time.monotonic() - started:6.1f} s compiled ({method})", flush=True)
    results: dict[str, dict[int, Any]] = {}
    with session:
        if importlib.util.find_spec("vllm") is not None:
            session.enter_context(peers.vllm_session())
        for cell in cells:
            scheme, name = cell.split(":")
            layer = quantized.make_quantized(ALL_SHAPES[name], scheme)
            calls = {"ours": quantized.ours(layer)}
            if has_vllm_kernel(cell):
                calls["vllm"] = quantized.vllm(layer)
            if options.flashinfer and scheme.startswith("fp8"):
                tune = make_batches(layer.shape, max(tokens), 1)
                try:
                    calls["flashinfer"] = quantized.flashinfer(layer, tune)
                except Exception as error:  # told; the others are timed all the same
                    print(f"{cell} flashinfer: {type(error).__name__}: {str(error)[:200]}")
            results[cell] = {}
            for num_tokens in tokens:
                if time.monotonic() - started > options.seconds:
                    print(f"out of time before {cell} {num_tokens}")
                    break
                results[cell][num_tokens] = measure(layer, num_tokens, calls, options.tune)
                options.output.write_text(json.dumps(results, default=str), encoding="utf-8")
            print(f"{time.monotonic() - started:6.1f} s {cell}", flush=True)
            del layer, calls
            torch.cuda.empty_cache()
    print(torch.cuda.get_device_name(), torch.__version__, f"{time.monotonic() - started:.0f} s")
    return print_table(results)


def describe(tile: dict[str, Any]) -> str:
    """m128n64k128w8s4 and flags."""
    one = Tile(**tile)
    flags = "".join(
        letter
        for letter, is_set in zip("txsf", (one.w_tma, one.x_tma, one.swap, one.fast), strict=True)
        if is_set
    )
    return (
        f"m{one.block_m}n{one.block_n}k{one.block_k}w{one.num_warps}s{one.num_stages}"
        f"g{one.group_m}{flags}"
    )


def print_table(results: dict[str, dict[int, Any]]) -> int:
    """Microseconds, then peer / ours; with `--tune` the best tiles."""
    heads = "".join(f"{peer:>16}" for peer in PEERS)
    print(f"{'':24}{'T':>5} {'floor':>7} {'ours':>8}{heads} error")
    ratios: dict[str, list[float]] = {}
    for name, cells in results.items():
        for num_tokens, cell in cells.items():
            mine = cell["ours"].get("us", math.nan)
            short = name.replace("_128x128", "").replace("_static", "")[:24]
            line = f"{short:24}{num_tokens:5} {cell['floor']:7.1f} {mine:8.1f}"
            for peer in PEERS:
                us = cell.get(peer, {}).get("us")
                if us is None:
                    line += f"{'failed' if peer in cell else '-':>16}"
                    continue
                line += f"{us:9.1f} {us / mine:5.2f}x"
                ratios.setdefault(peer, []).append(us / mine)
            line += f" {cell['ours'].get('error', math.nan):.1e}"
            for _, pair, _ in cell.get("ours tuned", {}).get("tiles", [])[:1]:
                line += " " + " ".join(map(describe, pair))
            print(line)
            for peer in ("ours", *PEERS):
                if "failed" in cell.get(peer, {}):
                    print(f"    {peer}: {cell[peer]['failed']}")
    print_ratios(ratios)
    return 0


if __name__ == "__main__":
    sys.exit(main())
