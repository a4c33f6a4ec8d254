"""Small random layers for the kernel tests."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from moe_doctor.kernels.lora import LoRAWeights


@dataclass(frozen=True)
class Layer:
    """Weights of a small layer and one batch for it."""

    x: Tensor
    w13: Tensor
    w2: Tensor
    weights: Tensor
    ids: Tensor


def make_layer(
    device: torch.device,
    dtype: torch.dtype,
    *,
    tokens: int,
    experts: int = 4,
    top_k: int = 2,
    hidden: int = 72,
    inner: int = 40,
    gated: bool = True,
) -> Layer:
    """A layer whose sizes are no multiple of any block, with random routing."""
    generator = torch.Generator().manual_seed(tokens * 131 + experts)

    def normal(*shape: int, fan_in: int = 1) -> Tensor:
        return (torch.randn(*shape, generator=generator) / fan_in**0.5).to(dtype).to(device)

    scores, ids = torch.randn(tokens, experts, generator=generator).softmax(-1).topk(top_k)
    return Layer(
        x=normal(tokens, hidden),
        w13=normal(experts, inner * (2 if gated else 1), hidden, fan_in=hidden),
        w2=normal(experts, hidden, inner, fan_in=inner),
        weights=scores.to(device),
        ids=ids.to(torch.int32).to(device),
    )


def make_lora(
    layer: Layer, lora_ids: list[int], *, max_loras: int = 2, rank: int = 8
) -> LoRAWeights:
    """Adapters as large as the weights that they change, so that a missing one shows."""
    generator = torch.Generator().manual_seed(rank)
    experts, hidden, inner = layer.w2.shape
    rows = layer.w13.shape[1]

    def normal(*shape: int, fan_in: int) -> Tensor:
        value = torch.randn(*shape, generator=generator) / fan_in**0.5
        return value.to(layer.x.dtype).to(layer.x.device)

    return LoRAWeights(
        a13=normal(max_loras, experts, rank, hidden, fan_in=hidden),
        b13=normal(max_loras, experts, rows, rank, fan_in=rank),
        a2=normal(max_loras, experts, rank, inner, fan_in=inner),
        b2=normal(max_loras, experts, hidden, rank, fan_in=rank),
        scaling=torch.linspace(0.5, 2.0, max_loras, device=layer.x.device),
        lora_ids=torch.tensor(lora_ids, dtype=torch.int32, device=layer.x.device),
    )


def merge(layer: Layer, lora: LoRAWeights, adapter: int) -> tuple[Tensor, Tensor]:
    """w13 and w2 in fp32 with one adapter merged in."""
    scaling = lora.scaling[adapter].float()
    w13 = layer.w13.float() + scaling * lora.b13[adapter].float() @ lora.a13[adapter].float()
    w2 = layer.w2.float() + scaling * lora.b2[adapter].float() @ lora.a2[adapter].float()
    return w13, w2


def relative_error(got: Tensor, wanted: Tensor) -> float:
    """Frobenius norm of the difference over that of what was wanted."""
    return float((got.float() - wanted.float()).norm() / wanted.float().norm())


LIMITS = {torch.float32: 2e-6, torch.float16: 1.5e-3, torch.bfloat16: 1.2e-2}
"""Largest relative error per dtype: three times its unit roundoff (fp32: plus summation order)."""
