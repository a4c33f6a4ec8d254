"""Weights and scales as `cutlass_fused_moe` takes them, scheme by scheme; child code.

    scheme              fc1 rows    quant_scales
    none                up, gate    nothing
    fp8_tensor_static   up, gate    w13 scale * input scale [E], 1 / inner scale, w2 scale * inner
                                    scale [E], input scale; the input is quantized by the caller
    fp8_block_128x128   up, gate    w13 block scales [E, rows, columns], w2 block scales; sm_90
    mxfp4               up, gate    e8m0 scales, both interleaved for sm_90's mixed GEMM
    nvfp4               up, gate    1 / input scale [E], w13 scales in tiles, w13 expert scale *
                                    input scale [E], the same for w2; the kernel quantizes the input

Non-gated rows stay as they are. Sources: FlashInfer 0.6.13 fused_moe/core.py; vLLM 0.20.0 to 0.33.0
FlashInferExperts.apply and prepare_fp8_moe_layer_for_fi.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replace_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from moe_doctor.core.record import replace
from moe_doctor.kernels.quantized import FP8_MAX, QuantizedWeights
from moe_doctor.kernels.schemes import NONE
from moe_doctor.proof.adapters.base import UnfitError
from moe_doctor.proof.adapters.flashinfer_fp4 import (
    GROUP,
    grown,
    grown_halves,
    scales_of,
    with_activations,
)
from moe_doctor.proof.adapters.flashinfer_shuffles import tiled_scales, up_first

if TYPE_CHECKING:
    from moe_doctor.proof.case import Geometry
    from moe_doctor.proof.inputs import Weights

# vLLM 0.20 to 0.33 flashinfer_utils.py: block scales of about 1e-23 gave NaN (flashinfer#2595).
_LEAST_BLOCK_SCALE = 1e-10
_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Layout:
    """What one layer's calls share."""

    geometry: Geometry
    w13: Tensor
    w2: Tensor
    quant_scales: list[Tensor] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments: biases, numbers of the activation, which scaling."""
    input_scale: Tensor | None = None
    """Where the caller quantizes the input."""
    hidden_size: int = 0
    """H of the padded layer; 0 where it is not padded."""

    def input(self, hidden_states: Tensor) -> Tensor:  # [T, H]
        """Hidden states as the call takes them."""
        if self.input_scale is not None:
            scaled = hidden_states.float() / self.input_scale
            return scaled.clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
        missing = self.hidden_size - hidden_states.shape[1]
        return pad(hidden_states, (0, missing)) if missing > 0 else hidden_states.contiguous()


def make_layout(weights: Weights) -> Layout:
    """The layout of `weights`; raises UnfitError for sizes that a scheme has no layout for."""
    scheme = weights.geometry.scheme
    if scheme == NONE:
        plain13, plain2 = weights.plain()
        return Layout(weights.geometry, _swapped(plain13, weights), plain2)
    w13, w2 = weights.w13, weights.w2
    if not isinstance(w13, QuantizedWeights) or not isinstance(w2, QuantizedWeights):
        raise TypeError(f"the weights are not of scheme {scheme}")
    if scheme == "fp8_tensor_static":
        return _per_tensor(weights, w13, w2)
    if scheme == "fp8_block_128x128":
        return _per_block(weights, w13, w2)
    if scheme == "mxfp4":
        return _mxfp4(weights, w13, w2)
    if scheme == "nvfp4":
        return _nvfp4(with_activations(weights))
    raise UnfitError(f"there is no layout of {scheme} weights for cutlass_fused_moe")


def _per_tensor(weights: Weights, w13: QuantizedWeights, w2: QuantizedWeights) -> Layout:
    geometry = weights.geometry
    if w13.input_scale is None or w2.input_scale is None:
        raise TypeError("fp8_tensor_static weights have no stored input scale")
    # The second GEMM's depth in whole vectors (vLLM 0.20 align_fp8_moe_weights_for_fi).
    unit = 16 if geometry.gated else _BLOCK
    missing = -geometry.intermediate_size_per_partition % unit
    halves = w13.values.view(torch.uint8).chunk(w13.halves, dim=1)
    rows = torch.cat([pad(half, (0, 0, 0, missing)) for half in reversed(halves)], dim=1)
    columns = pad(w2.values.view(torch.uint8), (0, missing))
    first, second = w13.input_scale.max(), w2.input_scale.max()
    return Layout(
        geometry,
        rows.contiguous().view(torch.float8_e4m3fn),
        columns.contiguous().view(torch.float8_e4m3fn),
        [w13.scales.flatten() * first, 1 / second, w2.scales.flatten() * second, first],
        input_scale=first,
    )


def _per_block(weights: Weights, w13: QuantizedWeights, w2: QuantizedWeights) -> Layout:
    geometry = weights.geometry
    sizes = (geometry.hidden_size, geometry.intermediate_size_per_partition)
    if any(size % _BLOCK for size in sizes):
        raise UnfitError(
            f"fp8 blocks of 128 x 128 need hidden and expert sizes that are multiples of {_BLOCK}; "
            f"these are {sizes[0]} and {sizes[1]}"
        )
    return Layout(
        geometry,
        _swapped(w13.values, weights),
        w2.values,
        [
            _swapped(_lifted(w13).scales, weights),
            _lifted(w2).scales,
        ],
        {"use_deepseek_fp8_block_scale": True},
    )


def as_lifted(weights: Weights) -> Weights:
    """fp8 blocks as the call reads them: scales lifted, and no floor under those of activations.

    A tiny expert is a larger one then, as it is in a server. The kernel divides 448 by the largest
    value of a group, however small (FlashInfer 0.6.13 fp8_blockscale_gemm_kernel.cuh,
    scale_1x128_kernel). Other schemes stay as they are.
    """
    w13, w2 = weights.w13, weights.w2
    if not isinstance(w13, QuantizedWeights) or not isinstance(w2, QuantizedWeights):
        return weights
    if w13.scheme.activations != "group":
        return weights
    scheme = replace(w13.scheme, scale_floor=0.0)
    return replace(
        weights,
        w13=replace_dataclass(_lifted(w13), scheme=scheme),
        w2=replace_dataclass(_lifted(w2), scheme=scheme),
    )


def _lifted(weights: QuantizedWeights) -> QuantizedWeights:
    return replace_dataclass(weights, scales=weights.scales.clamp_min(_LEAST_BLOCK_SCALE))


def _mxfp4(weights: Weights, w13: QuantizedWeights, w2: QuantizedWeights) -> Layout:
    from flashinfer.fused_moe import (
        interleave_moe_scales_for_sm90_mixed_gemm,
        interleave_moe_weights_for_sm90_mixed_gemm,
    )

    geometry = weights.geometry
    hidden = _round_up(geometry.hidden_size)
    inner = _round_up(geometry.intermediate_size_per_partition)

    def first(tensor: Tensor, width: int) -> Tensor:
        halves = reversed(tensor.chunk(w13.halves, dim=1))
        return torch.cat([_grown(half, inner, width) for half in halves], dim=1)

    # Two values share a byte, and 32 columns a scale.
    values = first(w13.values, hidden // 2), _grown(w2.values, hidden, inner // 2)
    scales = first(w13.scales, hidden // 32), _grown(w2.scales, hidden, inner // 32)

    def numbers(value: float | None) -> Tensor | None:
        if value is None:
            return None
        return torch.full((geometry.num_experts,), value, device=w13.device)

    options: dict[str, Any] = {"use_w4_group_scaling": True}
    if geometry.gated and (geometry.alpha != 1.0 or geometry.beta or geometry.limit is not None):
        options.update(
            swiglu_alpha=numbers(geometry.alpha),
            swiglu_beta=numbers(geometry.beta),
            swiglu_limit=numbers(geometry.limit),
        )
    if weights.bias13 is not None and weights.bias2 is not None:
        bias = reversed(weights.bias13.chunk(w13.halves, dim=1))
        bias2 = weights.bias2[:, None]  # as one row
        options.update(
            fc1_expert_biases=torch.cat(
                [_grown(half[:, None], 1, inner)[:, 0] for half in bias], 1
            ),
            fc2_expert_biases=_grown(bias2, 1, hidden)[:, 0],
        )
    return Layout(
        geometry,
        interleave_moe_weights_for_sm90_mixed_gemm(values[0], "fp4"),
        interleave_moe_weights_for_sm90_mixed_gemm(values[1], "fp4"),
        [interleave_moe_scales_for_sm90_mixed_gemm(one) for one in scales],
        options,
        hidden_size=hidden,
    )


def _round_up(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _grown(tensor: Tensor, rows: int, columns: int) -> Tensor:  # [E, n, k] to [E, rows, columns]
    """With zeros below and at the right, which add nothing."""
    missing = (0, columns - tensor.shape[2], 0, rows - tensor.shape[1])
    return pad(tensor, missing).contiguous()


def _swapped(rows: Tensor, weights: Weights) -> Tensor:
    """[E, up then gate, ...] of [E, gate then up, ...]."""
    return up_first(rows) if weights.geometry.gated else rows


def _nvfp4(weights: Weights) -> Layout:
    geometry, w13, w2 = weights.geometry, weights.w13, weights.w2
    if not isinstance(w13, QuantizedWeights) or not isinstance(w2, QuantizedWeights):
        raise TypeError("the weights are not of scheme nvfp4")
    hidden = _round_up(geometry.hidden_size)
    inner = _round_up(geometry.intermediate_size_per_partition)

    def first(rows: Tensor, columns: int) -> Tensor:
        return _swapped(grown_halves(rows, w13.halves, inner, columns), weights)

    def scales(bytes_: Tensor) -> Tensor:
        return tiled_scales(bytes_).view(torch.int32)

    (input1, experts1), (input2, experts2) = scales_of(w13), scales_of(w2)
    return Layout(
        geometry,
        first(w13.values, hidden // 2).view(torch.long),
        grown(w2.values, hidden, inner // 2).view(torch.long),
        [
            (1 / input1).expand(geometry.num_experts).contiguous(),
            scales(first(w13.scales, hidden // GROUP)),
            experts1 * input1,
            (1 / input2).expand(geometry.num_experts).contiguous(),
            scales(grown(w2.scales, hidden, inner // GROUP)),
            experts2 * input2,
        ],
        hidden_size=hidden,
    )
