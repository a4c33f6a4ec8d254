from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from moe_doctor.core.record import replace  # noqa: E402
from moe_doctor.core.spec import RoutingSpec  # noqa: E402
from moe_doctor.kernels.quantized import QuantizedWeights  # noqa: E402
from moe_doctor.proof.case import Geometry, LoRASetup, ProofCase  # noqa: E402
from moe_doctor.proof.inputs import Weights, make_batch, make_weights  # noqa: E402

GEOMETRY = Geometry(8, 8, 2, 2, 32, 16, 16, "silu", True, "float32", "float32")


@pytest.fixture(scope="module")
def weights() -> Weights:
    return make_weights(GEOMETRY, LoRASetup((4, 2), (2.0, 0.5)), torch.device("cpu"))


def test_all_tokens_land_on_one_expert(weights: Weights) -> None:
    batch = make_batch(ProofCase("x", 9, "all-tokens-one-expert"), weights, RoutingSpec())
    assert batch.topk_ids.unique().numel() == 1


def test_every_second_expert_has_no_token(weights: Weights) -> None:
    batch = make_batch(ProofCase("x", 64, "experts-without-tokens"), weights, RoutingSpec())
    assert set(batch.topk_ids.flatten().tolist()) <= {0, 2, 4, 6}


def test_all_tokens_choose_the_same_experts(weights: Weights) -> None:
    batch = make_batch(ProofCase("x", 9, "all-tokens-same-experts"), weights, RoutingSpec())
    assert len({tuple(sorted(row)) for row in batch.topk_ids.tolist()}) == 1


def test_mixed_ids_hold_every_adapter_and_none(weights: Weights) -> None:
    case = ProofCase("x", 6, lora_ids="mixed")
    lora = make_batch(case, weights, RoutingSpec()).lora
    assert lora is not None
    assert lora.lora_ids.tolist() == [-1, 0, 1, -1, 0, 1]


def test_an_adapter_of_lower_rank_is_padded_with_zeros(weights: Weights) -> None:
    assert weights.adapters is not None
    assert weights.adapters.a13[1, :, 2:].abs().max() == 0
    assert weights.adapters.a13[0, :, 2:].abs().min() > 0


def test_the_same_plan_makes_the_same_tensors(weights: Weights) -> None:
    again = make_weights(GEOMETRY, LoRASetup((4, 2), (2.0, 0.5)), torch.device("cpu"))
    assert torch.equal(again.plain()[0], weights.plain()[0])
    assert not torch.equal(again.plain()[0][0], again.plain()[0][1])


def test_quantized_weights_vary_by_group_and_hold_a_zero_one(weights: Weights) -> None:
    geometry = replace(GEOMETRY, scheme="int4_g16", has_bias=True)
    made = make_weights(geometry, None, torch.device("cpu"))
    w13 = made.w13
    assert isinstance(w13, QuantizedWeights)
    assert w13.shape == (8, 32, 32)
    assert w13.expert(0)[0, :16].abs().max() == 0
    assert w13.expert(1).std() == pytest.approx(32**-0.5, rel=0.2)
    assert w13.scales[1].max() > 3 * w13.scales[1].min()
    assert made.bias13 is not None
    assert made.bias13.shape == (8, 32)
    with pytest.raises(TypeError, match="the weights are int4_g16"):
        made.plain()


def test_every_second_token_is_zero(weights: Weights) -> None:
    batch = make_batch(ProofCase("x", 5, zero_tokens=True), weights, RoutingSpec())
    assert (batch.hidden_states.abs().amax(1) == 0).tolist() == [True, False, True, False, True]


def test_an_adapter_leaves_alone_what_it_does_not_touch() -> None:
    setup = LoRASetup((4, 4), (1.0, 1.0), ("w13", "w2"))
    adapters = make_weights(GEOMETRY, setup, torch.device("cpu")).adapters
    assert adapters is not None
    assert [adapters.a13[one].abs().max() > 0 for one in (0, 1)] == [True, False]
    assert [adapters.a2[one].abs().max() > 0 for one in (0, 1)] == [False, True]


@pytest.mark.parametrize("scheme", ["none", "fp8_block_128x128", "int4_g32"])
def test_of_the_odd_experts_one_is_zero_and_one_is_tiny(scheme: str) -> None:
    from moe_doctor.kernels.reference import matrix

    geometry = replace(GEOMETRY, scheme=scheme, odd_experts=True)
    weights = make_weights(geometry, None, torch.device("cpu"))
    assert matrix(weights.w13, 1).abs().max() == 0
    assert 0 < matrix(weights.w2, 2).abs().max() < 1e-20
    assert matrix(weights.w2, 3).abs().max() > 0.1


def test_strided_inputs_hold_the_same_values(weights: Weights) -> None:
    plain = make_batch(ProofCase("x", 5), weights, RoutingSpec())
    strided = make_batch(ProofCase("x", 5, strided=True), weights, RoutingSpec())
    assert not strided.hidden_states.is_contiguous()
    assert not strided.topk_ids.is_contiguous()
    assert torch.equal(plain.hidden_states, strided.hidden_states)
    assert torch.equal(plain.topk_weights, strided.topk_weights)


def test_odd_experts_get_most_tokens(weights: Weights) -> None:
    batch = make_batch(ProofCase("x", 64, "odd-experts"), weights, RoutingSpec())
    odd = ((batch.topk_ids == 1) | (batch.topk_ids == 2)).any(1)
    assert odd.float().mean() > 0.9
