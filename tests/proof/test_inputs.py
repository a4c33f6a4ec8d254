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
