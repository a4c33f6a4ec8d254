from __future__ import annotations

import pytest
import torch

from moe_doctor.kernels.fused_moe import fused_moe
from moe_doctor.kernels.reference import fused_moe_reference
from tests.kernels.layer import LIMITS, make_layer, make_lora, merge, relative_error


@pytest.mark.parametrize("tokens", [1, 5, 37])
def test_swiglu_matches_the_reference(
    device: torch.device, dtype: torch.dtype, tokens: int
) -> None:
    layer = make_layer(device, dtype, tokens=tokens)
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    error = relative_error(fused_moe(*args), fused_moe_reference(*args))
    assert error < LIMITS[dtype]


@pytest.mark.parametrize("activation", ["relu2", "relu", "silu", "gelu", "gelu_tanh"])
def test_non_gated_activations_match_the_reference(device: torch.device, activation: str) -> None:
    layer = make_layer(device, torch.float32, tokens=3, gated=False)
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    got = fused_moe(*args, activation=activation, gated=False)
    wanted = fused_moe_reference(*args, activation=activation, gated=False)
    assert relative_error(got, wanted) < LIMITS[torch.float32]


def test_all_tokens_on_one_expert(device: torch.device, dtype: torch.dtype) -> None:
    layer = make_layer(device, dtype, tokens=37, top_k=1)
    ids = torch.full_like(layer.ids, 2)
    args = (layer.x, layer.w13, layer.w2, layer.weights, ids)
    assert relative_error(fused_moe(*args), fused_moe_reference(*args)) < LIMITS[dtype]


def test_pairs_of_absent_experts_add_nothing(device: torch.device) -> None:
    layer = make_layer(device, torch.float32, tokens=6)
    ids = layer.ids.clone()
    ids[:, 0] = -1
    ids[2] = torch.tensor([-1, 99])
    args = (layer.x, layer.w13, layer.w2, layer.weights, ids)
    got = fused_moe(*args)
    assert relative_error(got, fused_moe_reference(*args)) < LIMITS[torch.float32]
    assert got[2].abs().max() == 0


@pytest.mark.parametrize("tokens", [3, 20])
def test_a_token_may_name_an_expert_twice(device: torch.device, tokens: int) -> None:
    layer = make_layer(device, torch.float32, tokens=tokens, top_k=3)
    ids = layer.ids.clone()
    ids[:, 2] = ids[:, 0]
    args = (layer.x, layer.w13, layer.w2, layer.weights, ids)
    assert relative_error(fused_moe(*args), fused_moe_reference(*args)) < LIMITS[torch.float32]


def test_every_element_of_a_poisoned_output_is_written(device: torch.device) -> None:
    layer = make_layer(device, torch.float32, tokens=5)
    out = torch.full_like(layer.x, float("nan"))
    got = fused_moe(layer.x, layer.w13, layer.w2, layer.weights, layer.ids, out=out)
    assert got is out
    assert torch.isfinite(out).all()


def test_non_contiguous_inputs(device: torch.device) -> None:
    layer = make_layer(device, torch.float32, tokens=5)
    wide = torch.zeros(5, 2 * layer.x.shape[1], device=device)
    wide[:, ::2] = layer.x
    w2 = layer.w2.transpose(1, 2).contiguous().transpose(1, 2)
    args = (wide[:, ::2], layer.w13, w2, layer.weights, layer.ids)
    wanted = fused_moe_reference(layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    assert relative_error(fused_moe(*args), wanted) < LIMITS[torch.float32]


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("rank", [8, 20])
def test_several_adapters_in_one_batch_match_the_reference(
    device: torch.device, dtype: torch.dtype, gated: bool, rank: int
) -> None:
    layer = make_layer(device, dtype, tokens=7, gated=gated)
    lora = make_lora(layer, [-1, 0, 1, 1, 0, -1, 1], rank=rank)
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    activation = "silu" if gated else "relu2"
    got = fused_moe(*args, activation=activation, gated=gated, lora=lora)
    wanted = fused_moe_reference(*args, activation=activation, gated=gated, lora=lora)
    assert relative_error(got, wanted) < LIMITS[dtype]


def test_an_adapter_equals_merging_it_into_the_weights(
    device: torch.device, dtype: torch.dtype
) -> None:
    layer = make_layer(device, dtype, tokens=5)
    lora = make_lora(layer, [1] * 5)
    got = fused_moe(layer.x, layer.w13, layer.w2, layer.weights, layer.ids, lora=lora)
    w13, w2 = merge(layer, lora, 1)
    wanted = fused_moe_reference(layer.x, w13, w2, layer.weights, layer.ids)
    assert relative_error(got, wanted) < LIMITS[dtype]


def test_tokens_without_an_adapter_are_bit_equal_to_no_lora(device: torch.device) -> None:
    layer = make_layer(device, torch.float16, tokens=5)
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    with_lora = fused_moe(*args, lora=make_lora(layer, [-1] * 5))
    assert torch.equal(with_lora, fused_moe(*args))


def test_an_adapter_changes_the_output(device: torch.device) -> None:
    layer = make_layer(device, torch.float16, tokens=5)
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    with_lora = fused_moe(*args, lora=make_lora(layer, [0] * 5))
    assert relative_error(with_lora, fused_moe(*args)) > 0.1


def test_a_wrong_shape_is_named_with_both_shapes(device: torch.device) -> None:
    layer = make_layer(device, torch.float16, tokens=2)
    with pytest.raises(ValueError, match=r"w13 has shape \(4, 80, 72\); expected \(4, 40, 72\)"):
        fused_moe(layer.x, layer.w13, layer.w2, layer.weights, layer.ids, gated=False)


def test_an_unknown_activation_is_named(device: torch.device) -> None:
    layer = make_layer(device, torch.float16, tokens=2)
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    with pytest.raises(ValueError, match="activation is 'sine'; expected one of none, silu"):
        fused_moe(*args, activation="sine")


@pytest.mark.gpu
def test_a_cuda_graph_captures_and_replays_with_new_routing(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("needs a CUDA GPU")
    layer = make_layer(device, torch.bfloat16, tokens=37)
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    fused_moe(*args)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = fused_moe(*args)
    layer.ids.copy_((layer.ids + 1) % 4)
    layer.x.mul_(0.5)
    graph.replay()
    torch.cuda.synchronize()
    assert relative_error(out, fused_moe_reference(*args)) < LIMITS[torch.bfloat16]
