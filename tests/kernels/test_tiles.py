from __future__ import annotations

import pytest

from moe_doctor.kernels.fused_moe_details.tiles import choose_tile, interpreter_tile

KIB = 1024


@pytest.mark.parametrize("limit", [64 * KIB, 99 * KIB, 163 * KIB, 227 * KIB])
@pytest.mark.parametrize("rows", [1, 16, 40, 90, 5000])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("element_bytes", [2, 4])
def test_a_tile_fits_the_shared_memory_of_the_device(
    limit: int, rows: float, gated: bool, element_bytes: int
) -> None:
    tile = choose_tile(rows, gated=gated, element_bytes=element_bytes, limit_bytes=limit)
    assert tile.shared_memory_bytes(gated, element_bytes) <= limit


def test_a_device_of_unknown_limit_counts_as_64_kib() -> None:
    unknown = choose_tile(5000, gated=True, element_bytes=2, limit_bytes=None)
    assert unknown == choose_tile(5000, gated=True, element_bytes=2, limit_bytes=64 * KIB)


def test_both_gemms_of_a_layer_share_the_row_block() -> None:
    for rows in (1, 16, 40, 90, 5000):
        first = choose_tile(rows, gated=True, element_bytes=2, limit_bytes=99 * KIB)
        second = choose_tile(rows, gated=False, element_bytes=2, limit_bytes=99 * KIB)
        assert first.block_m == second.block_m


def test_the_interpreter_gets_blocks_no_larger_than_needed() -> None:
    tile = interpreter_tile(40, 72)
    assert (tile.block_n, tile.block_k) == (64, 128)
