from __future__ import annotations

import pytest

from moe_doctor.kernels.fused_moe_details.tiles import Tile, choose_tiles, interpreter_tile

KIB = 1024


def tiles(
    rows: float, limit: int | None, *, few: bool = False, gated: bool = True, size: int = 2
) -> tuple[Tile, Tile]:
    return choose_tiles(rows, few_tokens=few, gated=gated, element_bytes=size, limit_bytes=limit)


@pytest.mark.parametrize("limit", [64 * KIB, 99 * KIB, 163 * KIB, 227 * KIB])
@pytest.mark.parametrize("rows", [1, 16, 40, 64, 90, 5000])
@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("size", [2, 4])
def test_tiles_fit_the_shared_memory_and_share_the_row_block(
    limit: int, rows: float, few: bool, gated: bool, size: int
) -> None:
    first, second = tiles(rows, limit, few=few, gated=gated, size=size)
    assert first.shared_memory_bytes(gated, size) <= limit
    assert second.shared_memory_bytes(False, size) <= limit
    assert first.block_m == second.block_m


def test_a_device_of_unknown_limit_counts_as_64_kib() -> None:
    assert tiles(5000, None) == tiles(5000, 64 * KIB)


def test_a_batch_of_few_tokens_fits_one_row_block() -> None:
    assert tiles(5000, 227 * KIB, few=True)[0].block_m == 16


def test_the_interpreter_gets_blocks_no_larger_than_needed() -> None:
    tile = interpreter_tile(40, 72)
    assert (tile.block_n, tile.block_k) == (64, 128)
