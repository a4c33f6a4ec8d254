"""nvfp4 weights for FlashInfer's kernels on Blackwell, and activations to go with them; child code.

Activations are nvfp4 too there, with one stored scale for each GEMM's input: ours is made for the
largest hidden state that a proof has.
"""

from __future__ import annotations

from dataclasses import replace as replace_dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from moe_doctor.core.record import replace
from moe_doctor.kernels.e2m1 import E2M1_MAX, E4M3_MAX
from moe_doctor.kernels.quantized import QuantizedWeights
from moe_doctor.proof.adapters.base import UnfitError

if TYPE_CHECKING:
    from moe_doctor.proof.inputs import Weights

_LARGEST = 8.0
GROUP = 16


def with_activations(weights: Weights) -> Weights:
    """nvfp4 weights whose GEMMs quantize activations as well; other weights as they are."""
    w13, w2 = weights.w13, weights.w2
    if not isinstance(w13, QuantizedWeights) or not isinstance(w2, QuantizedWeights):
        return weights
    if w13.scheme.weights != "nvfp4":
        return weights
    scheme = replace(w13.scheme, activations="nvfp4")
    scale = torch.full((1,), _LARGEST / (E2M1_MAX * E4M3_MAX), device=w13.device)
    return replace(
        weights,
        w13=replace_dataclass(w13, scheme=scheme, input_scale=scale),
        w2=replace_dataclass(w2, scheme=scheme, input_scale=scale),
    )


def scales_of(weights: QuantizedWeights) -> tuple[Tensor, Tensor]:
    """The input's scale [1] and the scales of experts [E] of `with_activations`' weights."""
    if weights.input_scale is None or weights.expert_scales is None:
        raise TypeError("the weights have no nvfp4 scales beside those of groups")
    return weights.input_scale, weights.expert_scales


def grown(tensor: Tensor, rows: int, columns: int) -> Tensor:  # [E, n, k] to [E, rows, columns]
    """With zeros below and at the right, which add nothing."""
    missing = (0, columns - tensor.shape[2], 0, rows - tensor.shape[1])
    return pad(tensor.view(torch.uint8), missing).contiguous()


def grown_halves(tensor: Tensor, halves: int, rows: int, columns: int) -> Tensor:
    """Gate and up grown each: [E, halves * n, k] to [E, halves * rows, columns]."""
    parts = [grown(part, rows, columns) for part in tensor.view(torch.uint8).chunk(halves, dim=1)]
    return torch.cat(parts, dim=1)


def need_multiples(sizes: tuple[int, int], unit: int, what: str) -> None:
    """Raise UnfitError unless both sizes are multiples of `unit`."""
    if any(size % unit for size in sizes):
        raise UnfitError(
            f"{what} needs hidden and expert sizes that are multiples of {unit}; "
            f"these are {sizes[0]} and {sizes[1]}"
        )
