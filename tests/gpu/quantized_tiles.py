"""Tiles worth a try for a quantized layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from moe_doctor.kernels.fused_moe_details.tiles import Tile

# block_m, block_n, block_k, warps, stages, flags: t = weights by TMA, x = rows too, s = swapped,
# f = fp8 sums stay in the tensor cores
_One = tuple[int, int, int, int, int, str]

_FEW: tuple[tuple[_One, _One], ...] = (
    ((16, 32, 128, 4, 4, "ts"), (16, 64, 128, 4, 4, "ts")),
    ((16, 32, 128, 4, 6, "ts"), (16, 64, 128, 4, 6, "ts")),
    ((16, 64, 128, 4, 4, "ts"), (16, 128, 128, 4, 3, "ts")),
    ((16, 32, 128, 4, 5, ""), (16, 64, 128, 4, 5, "")),
    ((16, 64, 128, 4, 3, ""), (16, 32, 128, 4, 4, "")),
)
_FEW_DEEP: tuple[tuple[_One, _One], ...] = (
    ((16, 32, 256, 4, 4, "ts"), (16, 64, 256, 4, 4, "ts")),
    ((16, 64, 256, 4, 3, "tsf"), (16, 64, 256, 4, 3, "tsf")),
)
_MIDDLE: tuple[tuple[_One, _One], ...] = (
    ((16, 64, 128, 4, 4, "ts"), (16, 128, 128, 4, 3, "ts")),
    ((32, 64, 128, 4, 4, "ts"), (32, 64, 128, 4, 4, "ts")),
    ((32, 64, 128, 4, 4, "ts"), (32, 128, 128, 4, 4, "ts")),
    ((64, 64, 128, 4, 4, "tx"), (64, 128, 128, 4, 3, "tx")),
    ((64, 64, 128, 4, 3, "tx"), (64, 64, 128, 4, 4, "tx")),
)
_MANY: tuple[tuple[_One, _One], ...] = (
    ((64, 64, 128, 4, 4, "tx"), (64, 128, 128, 4, 4, "tx")),
    ((64, 64, 128, 4, 3, "tx"), (64, 128, 128, 4, 3, "tx")),
    ((128, 64, 128, 8, 4, "tx"), (128, 128, 128, 8, 4, "tx")),
    ((128, 64, 128, 8, 3, "tx"), (128, 128, 128, 8, 3, "tx")),
    ((128, 128, 128, 8, 3, "tx"), (128, 128, 128, 8, 3, "tx")),
)
_MANY_FAST: tuple[tuple[_One, _One], ...] = (
    ((128, 64, 128, 8, 4, "txf"), (128, 128, 128, 8, 4, "txf")),
    ((128, 128, 128, 8, 4, "txf"), (128, 256, 128, 8, 4, "txf")),
    ((128, 128, 128, 8, 3, "txf"), (128, 128, 128, 8, 4, "txf")),
)


def grid(scheme: str, rows_per_expert: float, num_tokens: int) -> Iterator[tuple[Tile, Tile]]:
    """Pairs of tiles for the two GEMMs."""
    whole = not scheme.startswith("fp8_block")
    if num_tokens <= 16 or rows_per_expert <= 12:
        pairs = _FEW + (_FEW_DEEP if whole else ())
    elif rows_per_expert <= 100:
        pairs = _MIDDLE
    else:
        pairs = _MANY + (_MANY_FAST if whole else ())
    for first, second in pairs:
        yield _tile(first), _tile(second)


def _tile(one: _One) -> Tile:
    m, n, k, warps, stages, flags = one
    tile = Tile(m, n, k, 8 if m >= 64 else 1, warps, stages)
    return replace(
        tile, w_tma="t" in flags, x_tma="x" in flags, swap="s" in flags, fast="f" in flags
    )
