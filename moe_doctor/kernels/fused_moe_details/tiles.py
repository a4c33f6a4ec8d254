"""Tile sizes as data: which block shapes a launch uses, by rows per expert and device limits.

Shared memory of a software-pipelined GEMM is num_stages x (A tile + B tiles); a device that has
less than the table wants gets fewer stages first, then a shorter K block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Tile:
    """Block shape and pipelining of one grouped GEMM launch."""

    block_m: int
    """Rows (pairs) per tile; the padding unit of the alignment."""
    block_n: int
    """Output columns per tile (of gate and of up each, when gated)."""
    block_k: int
    """Depth of one step."""
    group_m: int
    """Row tiles that walk the columns together."""
    num_warps: int
    """Warps per program."""
    num_stages: int
    """Steps in flight."""

    def shared_memory_bytes(self, gated: bool, element_bytes: int) -> int:
        """What the pipeline asks of one block."""
        columns = self.block_n * (2 if gated else 1)
        return self.num_stages * (self.block_m + columns) * self.block_k * element_bytes


# (rows per expert up to, tile when gated, tile when not). block_m is shared by both GEMMs of a
# layer, because both walk the same alignment.
_TABLE: tuple[tuple[float, Tile, Tile], ...] = (
    (8, Tile(16, 32, 128, 1, 4, 4), Tile(16, 64, 128, 1, 4, 4)),
    (24, Tile(16, 64, 128, 1, 4, 4), Tile(16, 128, 128, 1, 4, 4)),
    (48, Tile(32, 64, 64, 1, 4, 4), Tile(32, 128, 64, 1, 4, 4)),
    (96, Tile(64, 64, 64, 8, 4, 4), Tile(64, 128, 64, 8, 4, 4)),
    (float("inf"), Tile(128, 128, 64, 8, 8, 3), Tile(128, 256, 64, 8, 8, 3)),
)

_DEFAULT_LIMIT_BYTES = 64 * 1024
"""LDS of one workgroup on ROCm, and a safe floor elsewhere."""


def choose_tile(
    rows_per_expert: float, *, gated: bool, element_bytes: int, limit_bytes: int | None
) -> Tile:
    """Pick the table's tile and cut it down to `limit_bytes` of shared memory per block.

    Limits: 227 KiB on sm_90 and sm_100, 163 KiB on sm_80, 99 KiB on sm_86, sm_89 and sm_120,
    64 KiB on ROCm; None means unknown and counts as 64 KiB.
    """
    limit = _DEFAULT_LIMIT_BYTES if limit_bytes is None else limit_bytes
    tile = next(
        when_gated if gated else otherwise
        for up_to, when_gated, otherwise in _TABLE
        if rows_per_expert <= up_to
    )
    while tile.shared_memory_bytes(gated, element_bytes) > limit and tile.num_stages > 2:
        tile = replace(tile, num_stages=tile.num_stages - 1)
    while tile.shared_memory_bytes(gated, element_bytes) > limit and tile.block_k > 32:
        tile = replace(tile, block_k=tile.block_k // 2)
    while tile.shared_memory_bytes(gated, element_bytes) > limit and tile.block_n > 32:
        tile = replace(tile, block_n=tile.block_n // 2)
    return tile


def interpreter_tile(columns: int, depth: int) -> Tile:
    """Tile for Triton's interpreter, which runs each operation as one numpy call: few, large ones.

    `columns` and `depth` are N and K of the GEMM; a block is no larger than its dimension needs.
    """
    return Tile(16, _cover(columns), _cover(depth), 1, 4, 1)


def _cover(size: int) -> int:
    """Smallest power of two that covers `size`, within 16..1024.

    The interpreter spends milliseconds of Python per step, so padding is cheaper than steps; a
    tile of 1024 x 1024 is the largest that Triton allows.
    """
    return min(1024, max(16, 1 << (size - 1).bit_length()))
