"""Tensors of a proof, made in the child from the plan: weights once, one batch per case.

Standard deviations are 1 for hidden states, 1/sqrt(fan-in) for weights, so that every intermediate
value is of order 1 in any dtype and a missing part shows in the error. Weights to be quantized vary
from one scale's group to the next by factors of two, so that a neighbour's scale shows as well; one
group of the first expert is all zeros and one is tiny.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from moe_doctor.core.record import record
from moe_doctor.core.spec import RoutingSpec
from moe_doctor.kernels.lora import LoRAWeights
from moe_doctor.kernels.quantized import (
    FP8_MAX,
    QuantizedWeights,
    gathered,
    quantize_expert,
    scale_grid,
)
from moe_doctor.kernels.routing import route
from moe_doctor.kernels.schemes import Scheme, find_scheme
from moe_doctor.proof.case import Geometry, LoRASetup, ProofCase

_WEIGHT_SEED = 20261122
_LARGEST_INPUT = 8.0
"""What a stored scale of activations is made for; beyond eight deviations they saturate."""
_TINY = 2.0**-10
ZERO_EXPERT, TINY_EXPERT = 1, 2
"""Which experts are odd where a geometry asks for some."""
# Block scales of about 1e-23 made FlashInfer return NaN (flashinfer#2595); fp16 ends at 6e-8.
_TINY_EXPERT = {"bfloat16": 2.0**-72, "float32": 2.0**-72, "float16": 2.0**-12}


@record
class Weights:
    """One layer's weights in our own layout, shared by all cases."""

    geometry: Geometry
    """What they were made for."""
    w13: Tensor | QuantizedWeights
    """[E, 2I, H] gate rows then up rows; [E, I, H] when not gated."""
    w2: Tensor | QuantizedWeights
    """[E, H, I]."""
    adapters: LoRAWeights | None
    """Adapters, with no token's id filled in; None without LoRA."""
    bias13: Tensor | None = None
    """[E, 2I or I], where the model has biases."""
    bias2: Tensor | None = None
    """[E, H]."""

    def plain(self) -> tuple[Tensor, Tensor]:
        """w13 and w2 of unquantized weights; raises TypeError for others."""
        if isinstance(self.w13, QuantizedWeights) or isinstance(self.w2, QuantizedWeights):
            raise TypeError(f"the weights are {self.geometry.scheme}; expected unquantized ones")
        return self.w13, self.w2

    def arguments(self) -> dict[str, Any]:
        """What `fused_moe` and the reference are told beside tensors of the batch and weights."""
        geometry, gated = self.geometry, self.geometry.gated
        return {
            "activation": geometry.activation,
            "gated": gated,
            "limit": geometry.limit,
            "alpha": geometry.alpha if gated else None,
            "beta": geometry.beta if gated else None,
            "bias13": self.bias13,
            "bias2": self.bias2,
        }


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
    generator = torch.Generator(device).manual_seed(_WEIGHT_SEED)
    draw = _Draw(generator, geometry.dtype, device, geometry.odd_experts)
    experts, hidden = geometry.num_experts, geometry.hidden_size
    inner = geometry.intermediate_size_per_partition
    rows = inner * (2 if geometry.gated else 1)
    scheme, halves = find_scheme(geometry.scheme), 2 if geometry.gated else 1
    w13 = draw.projection((experts, rows, hidden), scheme, halves)
    w2 = draw.projection((experts, hidden, inner), scheme, 1)
    # Drawn after the weights, which stay the same with and without biases.
    bias13 = draw.normal((experts, rows), 4) if geometry.has_bias else None
    bias2 = draw.normal((experts, hidden), 4) if geometry.has_bias else None
    if lora is None:
        return Weights(geometry, w13, w2, None, bias13, bias2)
    count, rank = lora.max_loras, lora.rank
    a13 = draw.normal((count, experts, rank, hidden), hidden)
    a2 = draw.normal((count, experts, rank, inner), inner)
    for adapter, own_rank in enumerate(lora.ranks):
        # What an adapter does not touch is zeros, as engines fill their stacked tensors.
        a13[adapter, :, own_rank * lora.touches(adapter, "w13") :] = 0
        a2[adapter, :, own_rank * lora.touches(adapter, "w2") :] = 0
    adapters = LoRAWeights(
        a13=a13,
        b13=draw.normal((count, experts, rows, rank), rank),
        a2=a2,
        b2=draw.normal((count, experts, hidden, rank), rank),
        scaling=torch.tensor(lora.scalings, dtype=torch.float32, device=device),
        lora_ids=torch.full((0,), -1, dtype=torch.int32, device=device),
    )
    return Weights(geometry, w13, w2, adapters, bias13, bias2)


def make_batch(case: ProofCase, weights: Weights, routing: RoutingSpec) -> Batch:
    """Hidden states, routes and adapter ids of one case."""
    geometry, device = weights.geometry, weights.w13.device
    # Drawn on the CPU: small, and the same on every device.
    generator = torch.Generator().manual_seed(case.seed)
    states = torch.randn(case.num_tokens, geometry.hidden_size, generator=generator)
    states *= case.scale
    if case.zero_tokens:
        states[::2] = 0
    topk_weights, topk_ids = _routes(case, geometry, routing, generator)
    lora = weights.adapters
    if lora is not None:
        ids = _lora_ids(case, lora.max_loras).to(device)
        lora = LoRAWeights(lora.a13, lora.b13, lora.a2, lora.b2, lora.scaling, ids)
    place = _strided if case.strided else Tensor.contiguous
    return Batch(
        hidden_states=place(states.to(getattr(torch, geometry.dtype)).to(device)),
        topk_weights=place(topk_weights.to(device)),
        topk_ids=place(topk_ids.to(device)),
        lora=lora,
    )


def _strided(tensor: Tensor) -> Tensor:
    """The same values as a slice of a wider tensor, whose other columns would show."""
    rows, columns = tensor.shape
    wide = tensor.new_full((rows, columns + 8), -1 if tensor.dtype == torch.int32 else 1e4)
    wide[:, :columns] = tensor
    return wide[:, :columns]


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
    elif case.routing == "odd-experts":
        logits[0::2, ZERO_EXPERT % experts] += 4
        logits[1::2, TINY_EXPERT % experts] += 4
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
    odd_experts: bool = False

    def normal(self, shape: tuple[int, ...], fan_in: int) -> Tensor:
        value = torch.empty(shape, dtype=getattr(torch, self.dtype), device=self.device)
        for part in value:  # one slice at a time: no second copy of a large tensor
            part.normal_(0.0, fan_in**-0.5, generator=self.generator)
        return value

    def projection(
        self, shape: tuple[int, int, int], scheme: Scheme, halves: int
    ) -> Tensor | QuantizedWeights:
        """[E, N, K], quantized expert by expert: no unquantized copy of all of them."""
        if not scheme.bits:
            plain = self.normal(shape, shape[2])
            for expert, matrix in enumerate(plain):
                if self._size_of(expert) != 1.0:
                    matrix *= self._size_of(expert)
            return plain
        experts, rows, columns = shape
        parts = []
        for expert in range(experts):
            matrix = self.normal((rows, columns), columns)
            matrix *= self._factors(scheme, rows, columns, halves, first=expert == 0)
            matrix *= self._size_of(expert)
            parts.append(quantize_expert(matrix, scheme, halves))
        stored = torch.full((1,), _LARGEST_INPUT / FP8_MAX, device=self.device)
        return gathered(scheme, parts, halves, stored)

    def _size_of(self, expert: int) -> float:
        """1, but for the odd experts."""
        if not self.odd_experts:
            return 1.0
        return {ZERO_EXPERT: 0.0, TINY_EXPERT: _TINY_EXPERT[self.dtype]}.get(expert, 1.0)

    def _factors(
        self, scheme: Scheme, rows: int, columns: int, halves: int, *, first: bool
    ) -> Tensor:
        """1/2, 1 or 2 for each group of weights with a scale, of root mean square 1."""
        size_n = scheme.group_n or rows
        grid = scale_grid(scheme, rows, columns, halves)
        power = torch.randint(-1, 2, grid, generator=self.generator, device=self.device)
        factors: Tensor = torch.exp2(power.float()) / 1.75**0.5
        if first and grid[0] * grid[1] >= 4:
            factors[0, 0] = 0
            factors[-1, -1] = _TINY
        if scheme.group_n:
            grouped = factors.view(halves, -1, grid[1]).repeat_interleave(size_n, 1)
            factors = grouped[:, : rows // halves].flatten(0, 1)
        if scheme.group_k:
            factors = factors.repeat_interleave(scheme.group_k, 1)[:, :columns]
        return factors
