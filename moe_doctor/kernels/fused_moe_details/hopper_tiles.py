"""Tile sizes of the warp-specialised grouped GEMM of sm_90, as data, by rows per expert.

A stage is a block of rows and the blocks of weights beside it, BLOCK_K deep; stages fill the shared
memory that a program has.
"""

from __future__ import annotations

from moe_doctor.core.named import NamedTuple

_SHARED_BYTES = 228 * 1024
"""Shared memory of a multiprocessor; 1 KiB of it goes to each program."""
_BARRIER_BYTES = 1024
"""What barriers take beside the stages, rounded up."""


class HopperTile(NamedTuple):
    """Block shape of one launch; see `_gemm_hopper`."""

    block_m: int
    """Rows (pairs) per tile; the padding unit of the alignment."""
    block_n: int
    """Output columns per tile (of gate and of up each, when gated)."""
    block_k: int
    """Depth of one step."""
    num_warps: int
    """Warps that multiply; four more copy."""
    programs: int
    """Programs that share a multiprocessor."""
    swap: bool
    """Whether weights are the left operand of the product: for fewer than 128 rows."""
    group_m: int = 1
    """Row tiles that walk the columns together."""

    def stages(self, gated: bool) -> int:
        """Stages that fit."""
        columns = self.block_n * (2 if gated else 1)
        stage = (self.block_m + columns) * self.block_k * 2
        # The epilogue turns its tile around in shared memory; as Triton 3.6 compiles it.
        turned = 2048 if self.swap else 2048 * self.num_warps
        notes = 4 * 8 * self.block_m
        taken = turned + notes + _BARRIER_BYTES
        return min(12, (_SHARED_BYTES // self.programs - 1024 - taken) // stage)

    @property
    def registers(self) -> int:
        """Most registers of a thread at first; warps that multiply take from those that copy."""
        return min(255, 65536 // (32 * (self.num_warps + 4) * self.programs) // 8 * 8)


class _Row(NamedTuple):
    """The tiles of one regime; block_m is the same, because both GEMMs walk one alignment."""

    rows_up_to: float
    """Rows per expert, on average."""
    gated: HopperTile
    """GEMM 1 with gate and up."""
    plain: HopperTile
    """GEMM 1 without a gate."""
    shallow: HopperTile
    """GEMM 2 of at most SHALLOW inner columns: much epilogue, which a second program hides."""
    deep: HopperTile
    """GEMM 2 of more."""


SHALLOW = 1024
# Measured on an NVIDIA H200, 2026-11-29, over Qwen3-30B-A3B, Mixtral-8x7B, Nemotron-3-Nano and
# DeepSeek-V3 TP8 in bf16 (tests/gpu/MEASURED.md); tests/gpu/sweep_hopper.py times other tiles.
_TABLE = (
    _Row(
        9,
        gated=HopperTile(16, 64, 128, 4, 1, True),
        plain=HopperTile(16, 64, 128, 4, 1, True),
        shallow=HopperTile(16, 64, 128, 4, 2, True),
        deep=HopperTile(16, 64, 128, 4, 2, True),
    ),
    _Row(
        24,
        gated=HopperTile(32, 64, 128, 4, 1, True),
        plain=HopperTile(32, 64, 128, 4, 1, True),
        shallow=HopperTile(32, 128, 128, 4, 1, True),
        deep=HopperTile(32, 128, 128, 4, 1, True),
    ),
    _Row(
        56,
        gated=HopperTile(64, 64, 128, 4, 1, True),
        plain=HopperTile(64, 64, 128, 4, 1, True),
        shallow=HopperTile(64, 64, 128, 4, 2, True),
        deep=HopperTile(64, 128, 128, 4, 1, True),
    ),
    _Row(
        float("inf"),
        gated=HopperTile(128, 128, 64, 8, 1, False, 8),
        plain=HopperTile(128, 256, 64, 8, 1, False, 8),
        shallow=HopperTile(128, 128, 64, 4, 2, False, 8),
        deep=HopperTile(128, 256, 64, 8, 1, False, 8),
    ),
)


def choose_hopper_tiles(
    num_pairs: int, num_experts: int, intermediate_size: int, *, gated: bool
) -> tuple[HopperTile, HopperTile]:
    """Tiles of GEMM 1 and GEMM 2; both have the same block_m."""
    rows_per_expert = num_pairs / min(num_experts, num_pairs)
    row = next(row for row in _TABLE if rows_per_expert <= row.rows_up_to)
    second = row.shallow if intermediate_size <= SHALLOW else row.deep
    return (row.gated if gated else row.plain), second
