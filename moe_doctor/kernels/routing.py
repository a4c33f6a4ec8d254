"""Router logits to experts: the plain torch form of every routing that `RoutingSpec` names.

Pipeline, as in DeepSeek-V3's gate: score -> (add bias) -> keep the best groups -> top k ->
weight by the unbiased score -> renormalize -> scale.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from moe_doctor.core.spec import RoutingSpec

SCORINGS = ("softmax", "sigmoid", "sqrtsoftplus")
"""Scoring functions that `route` knows."""


def route(
    router_logits: Tensor,  # [T, E]
    top_k: int,
    routing: RoutingSpec,
    correction_bias: Tensor | None = None,  # [E] float32, read when the spec says so
) -> tuple[Tensor, Tensor]:  # topk_weights [T, k] float32, topk_ids [T, k] int32
    """Choose k experts for every token and weigh them; raise ValueError on an unknown scoring."""
    scores = _score(router_logits.float(), routing.scoring)
    choice = scores
    if routing.has_correction_bias and correction_bias is not None:
        choice = scores + correction_bias.float()
    groups = routing.num_expert_group or 1
    if groups > 1 and routing.topk_group is not None:
        choice = _mask_groups(choice, groups, routing.topk_group, correction_bias is not None)
    topk_ids = choice.topk(top_k, dim=-1).indices
    topk_weights = scores.gather(1, topk_ids)
    if routing.renormalize:
        topk_weights = topk_weights / topk_weights.sum(-1, keepdim=True).clamp_min(1e-20)
    topk_weights = topk_weights * routing.scaling_factor
    return topk_weights, topk_ids.to(torch.int32)


def _score(logits: Tensor, scoring: str) -> Tensor:
    if scoring == "softmax":
        return logits.softmax(-1)
    if scoring == "sigmoid":
        return logits.sigmoid()
    if scoring == "sqrtsoftplus":
        return F.softplus(logits).sqrt()
    known = ", ".join(SCORINGS)
    raise ValueError(f"scoring is {scoring!r}; expected one of {known}")


def _mask_groups(choice: Tensor, groups: int, topk_group: int, biased: bool) -> Tensor:
    """Put -inf on the experts of all but the best `topk_group` groups of each token."""
    tokens, experts = choice.shape
    if experts % groups:
        raise ValueError(f"{experts} experts do not divide into {groups} groups")
    grouped = choice.view(tokens, groups, experts // groups)
    # A biased gate ranks a group by its two best experts, an unbiased one by its best
    # (DeepSeek-V3 modeling_deepseek.py, MoEGate "noaux_tc" and "group_limited_greedy").
    best = min(2 if biased else 1, experts // groups)
    group_score = grouped.topk(best, dim=-1).values.sum(-1)  # [T, groups]
    kept = group_score.topk(topk_group, dim=-1).indices
    keep = torch.zeros_like(group_score, dtype=torch.bool).scatter_(1, kept, value=True)
    return grouped.masked_fill(~keep[:, :, None], float("-inf")).view(tokens, experts)
