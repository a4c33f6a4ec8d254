"""Tile sizes as data: which block shapes a launch uses, by rows per expert and device limits.

Shared memory of a software-pipelined GEMM is num_stages x (A tile + B tiles); a device that has
less than the table wants gets fewer stages first, then a shorter K block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from moe_doctor.core.named import NamedTuple


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
    w_tma: bool = False
    """Whether weights come through the tensor memory accelerator (sm_90 and newer)."""
    x_tma: bool = False
    """Whether the second GEMM's rows do."""
    swap: bool = False
    """Whether weights are the left operand of the product, rows the right one."""
    fast: bool = False
    """Whether fp8 products are summed in the tensor cores alone (14 bits on Hopper)."""

    def shared_memory_bytes(
        self, gated: bool, element_bytes: int, weight_bytes: float | None = None
    ) -> int:
        """What the pipeline asks of one block; weights may be smaller than rows."""
        columns = self.block_n * (2 if gated else 1)
        # Left operands go on to registers, which frees their place a step earlier.
        stages = self.num_stages - (self.swap and element_bytes == 1)
        weights = element_bytes if weight_bytes is None else weight_bytes
        return int(stages * (self.block_m * element_bytes + columns * weights) * self.block_k)


class _Row(NamedTuple):
    """The tiles of one regime; block_m is the same, because both GEMMs walk one alignment."""

    rows_up_to: float
    """Rows per expert, on average."""
    gated: Tile
    """GEMM 1 with gate and up."""
    plain: Tile
    """GEMM 1 without a gate."""
    second: Tile
    """GEMM 2."""


def _tile(m: int, n: int, k: int, warps: int, stages: int, flags: str = "") -> Tile:
    """A tile from literals; flags: t = weights through TMA, x = rows too, s = swapped operands."""
    group_m = 8 if m >= 64 else 1
    return Tile(m, n, k, group_m, warps, stages, "t" in flags, "x" in flags, "s" in flags)


# Measured on an H100 80GB HBM3, 2026-11-23: tests/gpu/sweep_tiles.py over Qwen3-30B-A3B,
# Mixtral-8x7B, Nemotron-3-Nano and DeepSeek-V3 TP8 in bf16; 2 % off each cell's best on average.
_FEW_TOKENS = (
    _Row(
        2,
        gated=_tile(16, 32, 256, 4, 5),
        plain=_tile(16, 64, 128, 4, 3, "ts"),
        second=_tile(16, 64, 256, 4, 3, "t"),
    ),
    _Row(
        float("inf"),
        gated=_tile(16, 64, 128, 4, 5, "ts"),
        plain=_tile(16, 64, 128, 4, 5, "ts"),
        second=_tile(16, 64, 256, 4, 3, "t"),
    ),
)
_TABLE = (
    _Row(
        6,
        gated=_tile(16, 64, 256, 4, 3),
        plain=_tile(16, 64, 256, 4, 5),
        second=_tile(16, 64, 256, 4, 3, "t"),
    ),
    _Row(
        10,
        gated=_tile(16, 128, 128, 4, 3),
        plain=_tile(16, 64, 256, 4, 5),
        second=_tile(16, 128, 128, 4, 3),
    ),
    _Row(
        24,
        gated=_tile(32, 64, 128, 4, 4, "ts"),
        plain=_tile(32, 64, 128, 4, 4, "ts"),
        second=_tile(32, 64, 128, 4, 4, "ts"),
    ),
    _Row(
        48,
        gated=_tile(64, 128, 64, 4, 3, "tx"),
        plain=_tile(64, 128, 64, 4, 3, "tx"),
        second=_tile(64, 128, 64, 4, 3, "tx"),
    ),
    _Row(
        80,
        gated=_tile(128, 64, 64, 8, 3),
        plain=_tile(128, 128, 64, 8, 3, "tx"),
        second=_tile(128, 128, 64, 8, 3, "tx"),
    ),
    _Row(
        200,
        gated=_tile(128, 128, 64, 8, 4, "tx"),
        plain=_tile(128, 128, 64, 8, 3, "tx"),
        second=_tile(128, 128, 64, 8, 3, "tx"),
    ),
    _Row(
        float("inf"),
        gated=_tile(128, 128, 64, 8, 4, "tx"),
        plain=_tile(128, 256, 64, 8, 4, "tx"),
        second=_tile(128, 256, 64, 8, 4, "tx"),
    ),
)

_DEFAULT_LIMIT_BYTES = 64 * 1024
"""LDS of one workgroup on ROCm, and a safe floor elsewhere."""


def choose_tiles(
    rows_per_expert: float,
    *,
    few_tokens: bool,
    gated: bool,
    element_bytes: int,
    limit_bytes: int | None,
) -> tuple[Tile, Tile]:
    """Tiles of GEMM 1 and GEMM 2, cut down to `limit_bytes` of shared memory per block.

    `few_tokens`: the batch fits one row block, whatever its routing. Limits: 227 KiB on sm_90 and
    sm_100, 163 KiB on sm_80, 99 KiB on sm_86, sm_89 and sm_120, 64 KiB on ROCm; None means unknown
    and counts as 64 KiB.
    """
    limit = _DEFAULT_LIMIT_BYTES if limit_bytes is None else limit_bytes
    table = _FEW_TOKENS if few_tokens else _TABLE
    row = next(row for row in table if rows_per_expert <= row.rows_up_to)
    first = row.gated if gated else row.plain
    return fit(first, gated, element_bytes, limit), fit(row.second, False, element_bytes, limit)


def fit(
    tile: Tile, gated: bool, element_bytes: int, limit: int, weight_bytes: float | None = None
) -> Tile:
    """Fewer stages, then a shorter and a narrower block, until `limit` bytes hold them."""

    def is_too_large() -> bool:
        return tile.shared_memory_bytes(gated, element_bytes, weight_bytes) > limit

    while is_too_large() and tile.num_stages > 2:
        tile = replace(tile, num_stages=tile.num_stages - 1)
    while is_too_large() and tile.block_k > 32:
        tile = replace(tile, block_k=tile.block_k // 2)
    while is_too_large() and tile.block_n > 32:
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
