"""Batches of one and two tokens, whose weights are read token by token."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from moe_doctor.kernels.fused_moe import fused_moe
from moe_doctor.kernels.fused_moe_details import gemv_layer
from moe_doctor.kernels.reference import fused_moe_reference
from tests.kernels.layer import LIMITS, Layer, make_layer, relative_error


@pytest.fixture(autouse=True)
def only_gemv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a batch of few tokens takes another path."""
    monkeypatch.setattr("moe_doctor.kernels.fused_moe.fits_hopper", None)
    monkeypatch.setattr("moe_doctor.kernels.fused_moe._tiles", None)
    monkeypatch.setattr(gemv_layer, "_SPREAD", 0)


def poisoned(layer: Layer, **how: object) -> torch.Tensor:
    """The layer's result, written over NaN."""
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    return fused_moe(*args, out=torch.full_like(layer.x, float("nan")), **how)


def reference(layer: Layer, **how: object) -> torch.Tensor:
    """The same in fp32."""
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    return fused_moe_reference(*args, **how)


@pytest.mark.parametrize("tokens", [1, 2])
@pytest.mark.parametrize(("hidden", "inner"), [(72, 40), (264, 200), (1056, 24)])
def test_it_matches_the_reference(
    device: torch.device, dtype: torch.dtype, tokens: int, hidden: int, inner: int
) -> None:
    layer = make_layer(device, dtype, tokens=tokens, top_k=3, hidden=hidden, inner=inner)
    assert relative_error(poisoned(layer), reference(layer)) < LIMITS[dtype]


@pytest.mark.parametrize("activation", ["relu2", "gelu"])
def test_it_needs_no_gate(device: torch.device, activation: str) -> None:
    layer = make_layer(device, torch.float32, tokens=2, gated=False)
    how = {"activation": activation, "gated": False}
    assert relative_error(poisoned(layer, **how), reference(layer, **how)) < 2e-6


def test_biases_and_a_clamp(device: torch.device) -> None:
    layer = make_layer(device, torch.float32, tokens=2)
    experts, hidden, inner = layer.w2.shape
    generator = torch.Generator().manual_seed(3)
    how = {
        "activation": "swigluoai",
        "limit": 0.7,
        "bias13": torch.randn(experts, 2 * inner, generator=generator).to(device),
        "bias2": torch.randn(experts, hidden, generator=generator).to(device),
    }
    got, wanted = poisoned(layer, **how), reference(layer, **how)
    assert relative_error(got, wanted) < 2e-6
    assert relative_error(poisoned(layer, activation="swigluoai", limit=0.7), wanted) > 0.1


def test_experts_that_are_not_here_add_nothing_and_are_not_read(device: torch.device) -> None:
    layer = make_layer(device, torch.float32, tokens=2, top_k=3)
    experts, hidden, _ = layer.w2.shape
    ids = torch.tensor([[-1, 2, 99], [experts, -7, 2**31 - 1]], dtype=torch.int32, device=device)
    layer = dataclasses.replace(layer, ids=ids)
    how = {"bias2": torch.ones(experts, hidden, device=device)}
    got = poisoned(layer, **how)
    assert relative_error(got, reference(layer, **how)) < 2e-6
    assert got[1].abs().max() == 0


def test_an_expert_may_come_twice(device: torch.device) -> None:
    layer = make_layer(device, torch.float32, tokens=2, top_k=3)
    layer = dataclasses.replace(layer, ids=torch.full_like(layer.ids, 1))
    assert relative_error(poisoned(layer), reference(layer)) < 2e-6


def test_rows_may_lie_apart(device: torch.device) -> None:
    layer = make_layer(device, torch.float32, tokens=2)
    wide = torch.full((2, 3 * layer.x.shape[1]), float("nan"), device=device)
    wide[:, : layer.x.shape[1]] = layer.x
    w2 = torch.full((*layer.w2.shape[:2], 2 * layer.w2.shape[2]), float("nan"), device=device)
    w2[..., : layer.w2.shape[2]] = layer.w2
    apart = dataclasses.replace(
        layer, x=wide[:, : layer.x.shape[1]], w2=w2[..., : layer.w2.shape[2]]
    )
    assert relative_error(poisoned(apart), reference(layer)) < 2e-6


def test_two_tokens_that_may_share_an_expert_take_another_path(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    one, two = (make_layer(device, torch.float32, tokens=tokens) for tokens in (1, 2))
    assert gemv_layer.fits_gemv(one.x, one.w13, one.w2, num_pairs=2)
    assert not gemv_layer.fits_gemv(two.x, two.w13, two.w2, num_pairs=4)
    many = make_layer(device, torch.float32, tokens=2, experts=32)
    assert gemv_layer.fits_gemv(many.x, many.w13, many.w2, num_pairs=4)


@pytest.mark.parametrize("depth", [1, 256, 257, 1024, 1025, 14336])
def test_programs_of_a_gpu_are_small(depth: int) -> None:
    blocks = gemv_layer.choose_blocks(4096, depth, torch.device("cuda"))
    # At most 32 values of a row and 32 sums for each thread: more would spill.
    assert all(b.block_n * b.block_k <= 32 * 32 * b.num_warps for b in blocks)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the blocks are those of a GPU")
@pytest.mark.parametrize("block_n", [1, 2, 4, 8])
@pytest.mark.parametrize("block_k", [256, 512, 1024])
def test_every_block(device: torch.device, block_n: int, block_k: int) -> None:
    block = gemv_layer.Block(block_n, block_k, 4)
    layer = make_layer(device, torch.bfloat16, tokens=2, hidden=1096, inner=776)
    act = gemv_layer.Activation("silu", gated=True)
    out = torch.full_like(layer.x, float("nan"))
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids, act, out)
    gemv_layer.gemv_layer(*args, bias13=None, bias2=None, pdl=False, blocks=(block, block))
    assert relative_error(out, reference(layer)) < LIMITS[torch.bfloat16]
