"""Tiles worth a try for a quantized layer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from moe_doctor.kernels.fused_moe_details.tiles import Tile

Candidates = dict[int, tuple[list[Tile], list[Tile]]]
"""By rows of a tile: tiles of the first GEMM and of the second, the likeliest first."""


def grid(scheme: str, rows_per_expert: float, num_tokens: int) -> Candidates:
    """Candidates for a batch."""
    if scheme.startswith(("int4", "mxfp4")):
        return _unpacked(rows_per_expert, num_tokens)
    deep = (128,) if scheme.startswith("fp8_block") else (128, 256)
    few = (
        _tiles(16, (64, 32, 128), deep, (4,), (4, 6), ("ts",))
        + _tiles(16, (32, 64, 128), (128,), (4,), (4,), ("",))
        + _tiles(16, (64,), (128,), (4,), (4,), ("t",))
    )
    if num_tokens <= 16:
        thirty_two = _tiles(32, (64, 128), (128,), (4,), (4,), ("ts",))
        return {16: (few, few), 32: (thirty_two, thirty_two)}
    thirty_two = _tiles(32, (64, 128), (128,), (4,), (3, 5), ("ts",))
    if rows_per_expert <= 12:
        return {16: (few, few), 32: (thirty_two, thirty_two)}
    sixty_four = _tiles(64, (64, 128), (128,), (4,), (3, 4), ("tx",))
    if rows_per_expert <= 40:
        return {
            16: (few, few),
            32: (thirty_two, thirty_two),
            64: (sixty_four, sixty_four),
        }
    fast = ("tx",) if scheme.startswith(("fp8_block", "int8")) else ("tx", "txf")
    first = _tiles(128, (64, 128), (128,), (8,), (3, 4), fast)
    second = _tiles(128, (128, 256), (128,), (8,), (3, 4), fast)
    sixty_four += _tiles(64, (64, 128), (128,), (4,), (4,), ("txf",)) if "txf" in fast else []
    if scheme.startswith("fp8_block"):
        first = _tiles(128, (64,), (128,), (8,), (3, 4), ("tx",))
        first += _tiles(128, (128,), (128,), (8,), (3, 4), ("tx",))
        second = _tiles(128, (128,), (128,), (8,), (3, 4), ("tx",))
        second += _tiles(128, (64,), (128,), (4, 8), (4,), ("tx",))
        sixty_four += _tiles(64, (128,), (128,), (8,), (3,), ("tx",))
    return {64: (sixty_four, sixty_four), 128: (first, second)}


def _unpacked(rows_per_expert: float, num_tokens: int) -> Candidates:
    both = ("s", "")
    if num_tokens <= 16 or rows_per_expert <= 12:
        few = _tiles(16, (32, 64), (128, 256), (4,), (4,), both)
        few += _tiles(16, (64,), (64, 128), (4,), (6,), ("s",))
        few += _tiles(16, (16, 32, 64), (256, 512), (4, 8), (3, 5), ("",))
        return {16: (few, few)}
    if rows_per_expert <= 100:
        some = [_tiles(m, (32, 64, 128), (64, 128), (4,), (4,), ("s",)) for m in (32, 64)]
        some[0] += _tiles(32, (64,), (64, 128), (4,), (4,), ("",))
        some[1] += _tiles(64, (64, 128), (64,), (4,), (3, 4), ("",))
        return {32: (some[0], some[0]), 64: (some[1], some[1])}
    many = _tiles(128, (64, 128), (64,), (8,), (3, 4), both)
    half = _tiles(64, (64, 128), (64, 128), (4, 8), (4,), ("s",))
    return {64: (half, half), 128: (many, many)}


def _tiles(
    m: int,
    columns: Sequence[int],
    depths: Sequence[int],
    warps: Sequence[int],
    stages: Sequence[int],
    flags: Sequence[str],
) -> list[Tile]:
    """Flags: t = weights by TMA, x = rows too, s = swapped, f = fp8 sums stay in the cores."""
    return [
        replace(
            Tile(m, n, k, 8 if m >= 64 else 1, warp, stage),
            w_tma="t" in flag,
            x_tma="x" in flag,
            swap="s" in flag,
            fast="f" in flag,
        )
        for n, k, warp, stage, flag in itertools.product(columns, depths, warps, stages, flags)
    ]
