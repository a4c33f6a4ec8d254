"""LoRA adapters of one MoE layer, per expert, several in a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from moe_doctor.kernels.quantized import QuantizedWeights


@dataclass(frozen=True, slots=True)
class LoRAWeights:
    """L adapters of rank R on w13 and w2, and which token uses which.

    For a token with adapter l, expert e's projections become
    w13[e] + scaling[l] * b13[l, e] @ a13[l, e] and w2[e] + scaling[l] * b2[l, e] @ a2[l, e].
    Adapters of lower rank are padded with zero rows of A. An adapter that has its own A for gate
    and up has rank 2R here: both A stacked, B block-diagonal. One that leaves a projection alone
    has zeros there.
    """

    a13: Tensor
    """[L, E, R, H], dtype of the hidden states."""
    b13: Tensor
    """[L, E, 2I, R], gate rows then up rows ([L, E, I, R] when not gated)."""
    a2: Tensor
    """[L, E, R, I]."""
    b2: Tensor
    """[L, E, H, R]."""
    scaling: Tensor
    """[L] float32: alpha / rank."""
    lora_ids: Tensor
    """[T] int32: adapter of each token, -1 for none."""

    @property
    def max_loras(self) -> int:
        """L."""
        return self.a13.shape[0]

    @property
    def rank(self) -> int:
        """R."""
        return self.a13.shape[2]

    def check(
        self,
        num_tokens: int,
        w13: Tensor | QuantizedWeights,
        w2: Tensor | QuantizedWeights,
        dtype: torch.dtype,
    ) -> None:
        """Raise ValueError unless every shape and dtype fits the layer.

        `num_tokens` is T; w13 is [E, 2I or I, H]; w2 is [E, H, I].
        """
        max_loras, rank = self.max_loras, self.rank
        expected = {
            "a13": (max_loras, w13.shape[0], rank, w13.shape[2]),
            "b13": (max_loras, w13.shape[0], w13.shape[1], rank),
            "a2": (max_loras, w2.shape[0], rank, w2.shape[2]),
            "b2": (max_loras, w2.shape[0], w2.shape[1], rank),
            "scaling": (max_loras,),
            "lora_ids": (num_tokens,),
        }
        for name, shape in expected.items():
            seen = tuple(getattr(self, name).shape)
            if seen != shape:
                raise ValueError(f"lora.{name} has shape {seen}; expected {shape}")
        for name in ("a13", "b13", "a2", "b2"):
            seen_dtype = getattr(self, name).dtype
            if seen_dtype != dtype:
                raise ValueError(f"lora.{name} is {seen_dtype}; expected {dtype}")
