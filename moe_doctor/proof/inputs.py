"""Tensors of a proof, made in the child from the plan: weights once, one batch per case.

Standard deviations are 1 for hidden states, 1/sqrt(fan-in) for weights, so that every intermediate
value is of order 1 in any dtype and a missing part shows in the error.
"""

from __future__ import annotations

import torch
from torch import Tensor

from moe_doctor.core.record import record
from moe_doctor.core.spec import RoutingSpec
from moe_doctor.kernels.lora import LoRAWeights
from moe_doctor.kernels.routing import route
from moe_doctor.proof.case import Geometry, LoRASetup, ProofCase

_WEIGHT_SEED = 20261122


@record
class Weights:
    """One layer's weights in the plain layout, shared by all cases."""

    geometry: Geometry
    """What they were made for."""
    w13: Tensor
    """[E, 2I, H] gate rows then up rows; [E, I, H] when not gated."""
    w2: Tensor
    """[E, H, I]."""
    adapters: LoRAWeights | None
    """Adapters, with no token's id filled in; None without LoRA."""


@record
class Batch:
    """One case's inputs."""

    hidden_states: Tensor
    """[T, H]."""
    topk_weights: Tensor
    """[T, k] float32."""
    topk_ids: Tensor
    """[T, k] int32."""
    lora: LoRAWeights | None
    """The layer's adapters with this batch's ids."""


def make_weights(geometry: Geometry, lora: LoRASetup | None, device: torch.device) -> Weights:
    """Random weights of `geometry` on `device`, the same for every run on that device."""
    draw = _Draw(torch.Generator(device).manual_seed(_WEIGHT_SEED), geometry.dtype, device)
    experts, hidden = geometry.num_experts, geometry.hidden_size
    inner = geometry.intermediate_size_per_partition
    rows = inner * (2 if geometry.gated else 1)
    w13 = draw.normal((experts, rows, hidden), hidden)
    w2 = draw.normal((experts, hidden, inner), inner)
    if lora is None:
        return Weights(geometry, w13, w2, None)
    count, rank = lora.max_loras, lora.rank
    a13 = draw.normal((count, experts, rank, hidden), hidden)
    a2 = draw.normal((count, experts, rank, inner), inner)
    for adapter, own_rank in enumerate(lora.ranks):
        a13[adapter, :, own_rank:] = 0
        a2[adapter, :, own_rank:] = 0
    adapters = LoRAWeights(
        a13=a13,
        b13=draw.normal((count, experts, rows, rank), rank),
        a2=a2,
        b2=draw.normal((count, experts, hidden, rank), rank),
        scaling=torch.tensor(lora.scalings, dtype=torch.float32, device=device),
        lora_ids=torch.full((0,), -1, dtype=torch.int32, device=device),
    )
    return Weights(geometry, w13, w2, adapters)


def make_batch(case: ProofCase, weights: Weights, routing: RoutingSpec) -> Batch:
    """Hidden states, routes and adapter ids of one case."""
    geometry, device = weights.geometry, weights.w13.device
    # Drawn on the CPU: small, and the same on every device.
    generator = torch.Generator().manual_seed(case.seed)
    states = torch.randn(case.num_tokens, geometry.hidden_size, generator=generator) * case.scale
    topk_weights, topk_ids = _routes(case, geometry, routing, generator)
    lora = weights.adapters
    if lora is not None:
        ids = _lora_ids(case, lora.max_loras).to(device)
        lora = LoRAWeights(lora.a13, lora.b13, lora.a2, lora.b2, lora.scaling, ids)
    return Batch(
        hidden_states=states.to(weights.w13.dtype).to(device),
        topk_weights=topk_weights.to(device),
        topk_ids=topk_ids.to(device),
        lora=lora,
    )


def _routes(
    case: ProofCase, geometry: Geometry, routing: RoutingSpec, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    experts = geometry.num_experts
    if case.routing == "all-tokens-one-expert":
        # k = 1: no backend is asked to send one token to one expert twice.
        shape = (case.num_tokens, 1)
        weights = torch.rand(shape, generator=generator) + 0.5
        return weights, torch.full(shape, experts // 2, dtype=torch.int32)
    logits = torch.randn(case.num_tokens, experts, generator=generator)
    if case.routing == "all-tokens-same-experts":
        logits = logits[:1].expand(case.num_tokens, experts) + 0.01 * logits
    elif case.routing == "experts-without-tokens":
        # Every second expert is out of reach, as far as top_k leaves any to spare.
        idle = torch.arange(1, experts, 2)[: max(0, experts - geometry.top_k)]
        logits[:, idle] = -1e4
    elif case.routing == "all-negative-logits":
        logits = logits - 20.0
    bias = torch.randn(experts, generator=generator) * 0.1 if routing.has_correction_bias else None
    return route(logits, geometry.top_k, routing, bias)


def _lora_ids(case: ProofCase, max_loras: int) -> Tensor:
    tokens = torch.arange(case.num_tokens, dtype=torch.int32)
    if case.lora_ids == "none":
        return torch.full_like(tokens, -1)
    if case.lora_ids == "all":
        return tokens.remainder(max_loras)
    return tokens.remainder(max_loras + 1) - 1


@record
class _Draw:
    generator: torch.Generator
    dtype: str
    device: torch.device

    def normal(self, shape: tuple[int, ...], fan_in: int) -> Tensor:
        value = torch.empty(shape, dtype=getattr(torch, self.dtype), device=self.device)
        for part in value:  # one slice at a time: no second copy of a large tensor
            part.normal_(0.0, fan_in**-0.5, generator=self.generator)
        return value
