from __future__ import annotations

import pytest

from moe_doctor.kernels.fused_moe_details.quantized_tiles import choose_quantized_tiles
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


@pytest.mark.parametrize("kind", ["group", "whole", "unpacked"])
@pytest.mark.parametrize("limit", [99 * KIB, 227 * KIB])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize(("experts", "columns"), [(8, 14336), (128, 768), (256, 256)])
def test_quantized_tiles_fit_the_shared_memory_and_share_the_row_block(
    kind: str, limit: int, gated: bool, experts: int, columns: int
) -> None:
    for tokens in (1, 9, 16, 17, 64, 256, 2048, 8192):
        first, second = choose_quantized_tiles(
            kind,
            tokens * 8,
            experts,
            columns,
            few_tokens=tokens <= 16,
            gated=gated,
            limit_bytes=limit,
        )
        assert first.block_m == second.block_m
        assert not first.swap or first.block_n * (2 if gated else 1) >= 64
        # Weights of 4 bits come from a byte for two, rows have 16 bits.
        sizes = (1, 1) if kind != "unpacked" else (2, 0.5)
        assert first.shared_memory_bytes(gated, *sizes) <= limit
        assert second.shared_memory_bytes(False, *sizes) <= limit


def test_one_token_of_4_bit_weights_takes_long_rows_in_long_steps() -> None:
    def depth_of(columns: int, limit: int) -> tuple[int, int]:
        _, second = choose_quantized_tiles(
            "unpacked", 2, 8, columns, few_tokens=True, gated=True, limit_bytes=limit
        )
        return second.block_k, second.num_stages

    assert depth_of(14336, 227 * KIB) == (512, 5)
    assert depth_of(14336, 99 * KIB) == (512, 3)
    assert depth_of(768, 227 * KIB) == (256, 3)


def test_one_token_is_spread_over_as_many_programs_as_a_gpu_has_multiprocessors() -> None:
    def columns_of(experts: int, pairs: int, columns: int) -> int:
        first, _ = choose_quantized_tiles(
            "group", pairs, experts, columns, few_tokens=True, gated=True, limit_bytes=227 * KIB
        )
        return first.block_n

    assert columns_of(8, 2, 14336) == 128
    assert columns_of(128, 8, 768) == 32
