"""The layers that are timed on a GPU: real models' shapes, several routings each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """One rank of a model's layer."""

    num_experts: int
    top_k: int
    hidden_size: int
    intermediate_size: int
    activation: str = "silu"
    gated: bool = True

    def floor_us(self, num_tokens: int, bandwidth: float, rate: float = 989e12) -> float:
        """Least time in microseconds, by the datasheet: weights read once, products at full rate.

        `bandwidth` in bytes a second. Experts touched are those that uniform routing reaches on
        average.
        """
        pairs = num_tokens * self.top_k
        touched = self.num_experts * (1 - (1 - self.top_k / self.num_experts) ** num_tokens)
        elements = (3 if self.gated else 2) * self.hidden_size * self.intermediate_size
        read = touched * elements * 2 + 2 * num_tokens * self.hidden_size * 2
        return 1e6 * max(read / bandwidth, 2 * pairs * elements / rate)


def datasheet_bandwidth() -> float:
    """Bytes a second of this Hopper GPU's memory: 4.8e12 of an H200, 3.35e12 of an H100 SXM."""
    return 4.8e12 if "H200" in torch.cuda.get_device_name() else 3.35e12


SHAPES = {
    "Qwen3-30B-A3B": Shape(128, 8, 2048, 768),
    "Mixtral-8x7B": Shape(8, 2, 4096, 14336),
    "Nemotron-3-Nano": Shape(128, 6, 2688, 1856, "relu2", gated=False),
    "DeepSeek-V3 TP8": Shape(256, 8, 7168, 256),
}
TOKENS = (1, 16, 64, 256, 2048, 8192)
ROUTINGS = 8
"""Batches that a graph replays in turn, so that small batches do not find their weights in L2."""


@dataclass(frozen=True)
class Layer:
    """Weights of one shape."""

    shape: Shape
    w13: Tensor
    w2: Tensor


@dataclass(frozen=True)
class Batch:
    """One batch for a layer."""

    x: Tensor
    topk_weights: Tensor
    topk_ids: Tensor


def make_layer(shape: Shape, dtype: torch.dtype = torch.bfloat16) -> Layer:
    """Random weights of order 1/sqrt(fan-in) on the GPU."""
    generator = torch.Generator("cuda").manual_seed(1)
    rows = shape.intermediate_size * (2 if shape.gated else 1)

    def normal(*size: int) -> Tensor:
        value = torch.empty(*size, dtype=dtype, device="cuda")
        for part in value:
            part.normal_(0, size[-1] ** -0.5, generator=generator)
        return value

    w13 = normal(shape.num_experts, rows, shape.hidden_size)
    return Layer(shape, w13, normal(shape.num_experts, shape.hidden_size, shape.intermediate_size))


def make_batches(
    shape: Shape, num_tokens: int, count: int = ROUTINGS, dtype: torch.dtype = torch.bfloat16
) -> list[Batch]:
    """Uniform random routing: `count` batches of `num_tokens`."""
    batches = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(1000 * num_tokens + seed)
        logits = torch.randn(num_tokens, shape.num_experts, generator=generator)
        scores, ids = logits.softmax(-1).topk(shape.top_k)
        x = torch.randn(num_tokens, shape.hidden_size, generator=generator)
        batches.append(
            Batch(
                x.to("cuda", dtype),
                (scores / scores.sum(-1, keepdim=True)).cuda(),
                ids.to("cuda", torch.int32),
            )
        )
    return batches
