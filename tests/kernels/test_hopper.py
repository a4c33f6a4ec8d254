"""The sm_90 layer: its tables and its conditions anywhere, its numbers on a Hopper GPU."""

from __future__ import annotations

import itertools

import pytest
import torch

from moe_doctor.kernels.activations import Activation
from moe_doctor.kernels.fused_moe import fused_moe
from moe_doctor.kernels.fused_moe_details import hopper_layer
from moe_doctor.kernels.fused_moe_details.hopper_layer import fits_hopper, has_gluon
from moe_doctor.kernels.fused_moe_details.hopper_tiles import HopperTile, choose_hopper_tiles
from moe_doctor.kernels.reference import fused_moe_reference
from tests.kernels.layer import Layer, make_layer, relative_error

SILU = Activation("silu", gated=True)
LIMIT = 1e-2
on_hopper = pytest.mark.skipif(
    not (torch.cuda.is_available() and has_gluon(torch.device("cuda", 0))),
    reason="needs an sm_90 GPU and a Triton whose Gluon the kernel was run on",
)
every_choice = sorted(
    {
        (choose_hopper_tiles(pairs, 128, inner, gated=gated), gated)
        for pairs, inner, gated in itertools.product(
            (128, 2048, 5120, 65536), (256, 4096), (False, True)
        )
    }
)
"""Tiles of both GEMMs, and whether there is a gate."""


def make_case(
    tokens: int,
    *,
    dtype: torch.dtype = torch.bfloat16,
    experts: int = 8,
    top_k: int = 2,
    hidden: int = 208,
    inner: int = 136,
    gated: bool = True,
) -> Layer:
    """Sizes that no block divides and that TMA takes."""
    return make_layer(
        torch.device("cuda"),
        dtype,
        tokens=tokens,
        experts=experts,
        top_k=top_k,
        hidden=hidden,
        inner=inner,
        gated=gated,
    )


def run(layer: Layer, tiles: tuple[HopperTile, HopperTile] | None = None) -> torch.Tensor:
    """`hopper_layer` into an output of NaN."""
    gated = layer.w13.shape[1] != layer.w2.shape[2]
    act = SILU if gated else Activation("relu2", gated=False)
    assert fits_hopper(layer.x, layer.w13, layer.w2, act)
    out = torch.full_like(layer.x, float("nan"))
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    return hopper_layer.hopper_layer(*args, act, out, tiles)


def wanted(layer: Layer) -> torch.Tensor:
    """The fp32 reference."""
    gated = layer.w13.shape[1] != layer.w2.shape[2]
    return fused_moe_reference(
        layer.x,
        layer.w13,
        layer.w2,
        layer.weights,
        layer.ids,
        activation="silu" if gated else "relu2",
        gated=gated,
    )


def test_stages_fit_shared_memory() -> None:
    for (first, second), gated in every_choice:
        for tile, halves in ((first, 2 if gated else 1), (second, 1)):
            stages = tile.stages(gated=halves == 2)
            stage = (tile.block_m + halves * tile.block_n) * tile.block_k * 2
            assert stages >= 2
            assert stages * stage * tile.programs < 227 * 1024


def test_a_stage_holds_gate_and_up() -> None:
    tile = HopperTile(128, 128, 64, 8, 1, False, 8)
    # 48 KiB a stage with both, 32 KiB with one of them; 227 KiB less 20 KiB for the epilogue.
    assert tile.stages(gated=True) == 4
    assert tile.stages(gated=False) == 6


def test_both_gemms_of_a_row_walk_one_alignment() -> None:
    for pairs, inner, gated in itertools.product((3, 900, 2048, 5120, 9999), (64, 8192), (0, 1)):
        first, second = choose_hopper_tiles(pairs, 16, inner, gated=bool(gated))
        assert first.block_m == second.block_m


def test_swapped_tiles_give_each_warp_whole_products() -> None:
    # wgmma takes 64 rows of the left operand: weights when swapped, tokens when not.
    every_tile = {tile for tiles, _ in every_choice for tile in tiles}
    assert len(every_tile) > 5
    assert all(t.block_n % 64 == 0 if t.swap else t.block_m % 64 == 0 for t in every_tile)


def test_no_other_device_takes_this_path() -> None:
    layer = make_layer(torch.device("cpu"), torch.float16, tokens=3, hidden=64, inner=64)
    assert not has_gluon(torch.device("cpu"))
    assert not fits_hopper(layer.x, layer.w13, layer.w2, SILU)


@on_hopper
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("tokens", [1, 2, 3, 16, 17, 70, 200, 1100])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_the_layer_matches_the_reference(tokens: int, gated: bool, half: torch.dtype) -> None:
    layer = make_case(tokens, dtype=half, gated=gated)
    assert relative_error(run(layer), wanted(layer)) < LIMIT


@on_hopper
@pytest.mark.parametrize(("tiles", "gated"), every_choice)
def test_every_choice_of_tiles_matches_the_reference(
    tiles: tuple[HopperTile, HopperTile], gated: bool
) -> None:
    layer = make_case(300, hidden=512, inner=272, gated=gated)
    assert relative_error(run(layer, tiles), wanted(layer)) < LIMIT


@on_hopper
@pytest.mark.parametrize("tokens", [1, 2, 40])
def test_absent_experts_contribute_nothing(tokens: int) -> None:
    layer = make_case(tokens)
    layer.ids[:, 0] = -1
    layer.ids[-1, 1] = 8
    expected = wanted(layer).float()
    # One token has no expert here: then the result is zero, to the bit.
    assert (run(layer).float() - expected).norm() <= LIMIT * expected.norm()


@on_hopper
@pytest.mark.parametrize("tokens", [1, 2, 30])
def test_an_expert_named_twice_counts_twice(tokens: int) -> None:
    layer = make_case(tokens, top_k=3)
    layer.ids[:, 2] = layer.ids[:, 0]
    assert relative_error(run(layer), wanted(layer)) < LIMIT


@on_hopper
@pytest.mark.parametrize(("experts", "top_k"), [(1, 1), (3, 3), (300, 22), (1024, 6)])
@pytest.mark.parametrize("tokens", [1, 2, 33])
def test_few_and_many_experts(experts: int, top_k: int, tokens: int) -> None:
    layer = make_case(tokens, experts=experts, top_k=top_k, hidden=64, inner=24)
    assert relative_error(run(layer), wanted(layer)) < LIMIT


@on_hopper
def test_all_tokens_on_one_expert() -> None:
    layer = make_case(700, experts=16)
    layer.ids[:, 0], layer.ids[:, 1] = 5, 9
    assert relative_error(run(layer), wanted(layer)) < LIMIT


@on_hopper
def test_many_pairs_are_aligned_in_chunks() -> None:
    layer = make_case(3000, experts=40, top_k=4, hidden=128, inner=64)
    assert relative_error(run(layer), wanted(layer)) < LIMIT


@on_hopper
@pytest.mark.parametrize("tokens", [1, 24, 500])
def test_two_runs_are_bit_equal_and_a_graph_follows_new_routing(tokens: int) -> None:
    layer = make_case(tokens)
    assert torch.equal(run(layer), run(layer))
    out = torch.empty_like(layer.x)
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids, SILU, out)
    hopper_layer.hopper_layer(*args)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        hopper_layer.hopper_layer(*args)
    for shift in (1, 3):
        layer.ids.copy_((layer.ids + shift) % 8)
        layer.x.mul_(0.5)
        out.fill_(float("nan"))
        graph.replay()
        assert relative_error(out, wanted(layer)) < LIMIT


@on_hopper
def test_fused_moe_takes_this_path_and_leaves_it_for_odd_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[int] = []
    original = hopper_layer.hopper_layer

    def count(x: torch.Tensor, *rest: object) -> torch.Tensor:
        taken.append(x.shape[0])
        return original(x, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("moe_doctor.kernels.fused_moe.hopper_layer", count)
    even, odd = make_case(5), make_case(6, hidden=72, inner=40)
    for layer in (even, odd):
        args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
        assert relative_error(fused_moe(*args), wanted(layer)) < LIMIT
    assert taken == [5]
