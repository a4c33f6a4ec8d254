"""Tiles worth a try for a quantized layer."""

from __future__ import annotations

from collections.abc import Iterator

from moe_doctor.kernels.fused_moe_details.tiles import Tile

_Axes = tuple[tuple[int, int, int, int, int, str], ...]

# block_m, block_n, block_k, warps, stages, flags: t = weights by TMA, x = rows too, s = swapped
_FEW: _Axes = (
    (16, 32, 128, 4, 4, ""),
    (16, 32, 256, 4, 4, ""),
    (16, 64, 128, 4, 4, ""),
    (16, 64, 256, 4, 3, ""),
    (16, 128, 128, 4, 3, ""),
)
_MIDDLE: _Axes = (
    (32, 64, 128, 4, 4, ""),
    (32, 128, 128, 4, 3, ""),
    (64, 64, 128, 4, 3, ""),
    (64, 64, 128, 4, 4, ""),
    (64, 128, 128, 8, 3, ""),
)
_MANY: _Axes = (
    (64, 64, 128, 4, 3, ""),
    (64, 64, 128, 4, 4, ""),
    (64, 128, 128, 4, 3, ""),
    (128, 64, 128, 8, 3, ""),
    (128, 64, 128, 8, 4, ""),
    (128, 128, 128, 8, 3, ""),
)


def grid(scheme: str, rows_per_expert: float, num_tokens: int) -> Iterator[tuple[Tile, Tile]]:
    """Pairs of tiles for the two GEMMs."""
    if num_tokens <= 16 or rows_per_expert <= 12:
        axes = _FEW
    elif rows_per_expert <= 100:
        axes = _MIDDLE
    else:
        axes = _MANY
    for m, n, k, warps, stages, flags in axes:
        tile = Tile(
            m, n, k, 8 if m >= 64 else 1, warps, stages, "t" in flags, "x" in flags, "s" in flags
        )
        yield tile, tile
