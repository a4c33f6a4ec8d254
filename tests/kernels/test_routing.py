from __future__ import annotations

import pytest
import torch

from moe_doctor.core.spec import RoutingSpec
from moe_doctor.kernels.routing import route


def test_softmax_renormalized_weights_sum_to_one() -> None:
    weights, ids = route(torch.tensor([[0.0, 2.0, 1.0, -1.0]]), 2, RoutingSpec())
    assert ids.tolist() == [[1, 2]]
    assert ids.dtype == torch.int32
    assert weights.sum().item() == pytest.approx(1.0)


def test_without_renormalizing_the_weights_are_the_scores() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0]])
    weights, _ = route(logits, 1, RoutingSpec(renormalize=False))
    assert weights.item() == pytest.approx(logits.softmax(-1).max().item())


def test_the_correction_bias_chooses_but_does_not_weigh() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0]])
    bias = torch.tensor([0.0, 0.0, 5.0])
    spec = RoutingSpec(scoring="sigmoid", renormalize=False, has_correction_bias=True)
    weights, ids = route(logits, 1, spec, bias)
    assert ids.tolist() == [[2]]
    assert weights.item() == pytest.approx(torch.sigmoid(torch.tensor(-1.0)).item())


def test_grouped_routing_stays_in_the_best_groups() -> None:
    # Expert 0 is the best, but the group of 2 and 3 has the better two.
    logits = torch.tensor([[2.0, -9.0, 1.9, 1.9]])
    spec = RoutingSpec(
        scoring="sigmoid", num_expert_group=2, topk_group=1, has_correction_bias=True
    )
    _, ids = route(logits, 2, spec, torch.zeros(4))
    assert sorted(ids[0].tolist()) == [2, 3]


def test_the_scaling_factor_multiplies_after_renormalizing() -> None:
    weights, _ = route(torch.randn(3, 8), 4, RoutingSpec(scaling_factor=2.5))
    assert weights.sum(-1).tolist() == pytest.approx([2.5, 2.5, 2.5])


def test_all_negative_logits_still_choose_k_distinct_experts() -> None:
    _, ids = route(torch.full((2, 6), -50.0), 3, RoutingSpec(scoring="sigmoid"))
    assert [len(set(row)) for row in ids.tolist()] == [3, 3]


def test_an_unknown_scoring_is_named() -> None:
    with pytest.raises(ValueError, match="scoring is 'cosine'; expected one of softmax"):
        route(torch.zeros(1, 4), 1, RoutingSpec(scoring="cosine"))
