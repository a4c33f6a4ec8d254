"""Quantized weights as plain tensors: our own quantization, and back again.

Shapes follow vLLM's parameters, scales always three-dimensional ([E, scale rows, scale columns]):

    scheme                values                scales                          vLLM's name
    fp8_tensor*           [E, N, K] e4m3        [E, 1, 1] float32               w13_weight_scale [E]
    fp8_channel           [E, N, K] e4m3        [E, N, 1] float32               w13_weight_scale
    fp8_block_128x128     [E, N, K] e4m3        [E, h * ceil(N/h/128), ceil(K/128)] float32
                                                                            w13_weight_scale_inv
    int8_channel          [E, N, K] int8        [E, N, 1] float32               w13_weight_scale
    int8_weight_*         [E, N, K] int8        [E, N, 1 or ceil(K/g)] float32  w13_scale
    int4_*                [E, N, K/2] uint8     [E, N, 1 or ceil(K/g)], dtype of the hidden states
                          zeros [E, N, same] uint8                          w13_scales, w13_qzeros
    mxfp4                 [E, N, K/2] uint8     [E, N, ceil(K/32)] uint8, exponent + 127
    nvfp4                 [E, N, K/2] uint8     [E, N, ceil(K/16)] e4m3         w13_weight_scale
                          expert_scales [E] float32                         w13_weight_scale_2

h is 2 where the rows are gate then up: blocks of rows do not straddle the two. 4-bit columns k and
k + 1 share a byte, k in its low half. Sources: vLLM 0.20 quantization/fp8.py, experts_int8.py,
moe_wna16.py, mxfp4.py and modelopt.py (create_weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from moe_doctor.core.named import NamedTuple
from moe_doctor.kernels.e2m1 import (
    decode,
    dequantize_nvfp4,
    pack,
    quantize_mxfp4,
    quantize_nvfp4,
    requantize_nvfp4,
    unpack,
)
from moe_doctor.kernels.schemes import NONE, Scheme, find_scheme

FP8_MAX = 448.0
"""Largest e4m3 value."""
SCALE_FLOOR = find_scheme(NONE).scale_floor
"""What our own kernels make an activation's scale from at least."""
INT8_MAX = 127.0
"""Largest int8 value that quantization uses; -128 stays unused."""


@dataclass(frozen=True, slots=True)
class QuantizedWeights:
    """One projection of every expert; see the module's table."""

    scheme: Scheme
    """How it is stored."""
    values: Tensor
    """[E, N, K], or [E, N, K / 2] where two values share a byte."""
    scales: Tensor
    """[E, scale rows, scale columns]."""
    halves: int = 1
    """2 where the rows are gate then up."""
    zeros: Tensor | None = None
    """[E, N, scale columns] uint8 where the scheme has zero points."""
    input_scale: Tensor | None = None
    """[1] float32: scale of the activations where the scheme stores one."""
    expert_scales: Tensor | None = None
    """[E] float32: one more scale for each expert (nvfp4)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(E, N, K)."""
        experts, rows, columns = self.values.shape
        return experts, rows, columns * self.scheme.values_per_byte

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.values.device

    def expert(self, index: int) -> Tensor:  # [N, K] float32
        """One expert's weights as they are meant, in fp32."""
        if not self.scheme.bits:
            return self.values[index].float()
        return dequantize(
            self.scheme,
            self.values[index],
            self.scales[index],
            None if self.zeros is None else self.zeros[index],
            self.halves,
            None if self.expert_scales is None else self.expert_scales[index],
        )

    def check(self, name: str) -> None:
        """Raise ValueError unless shapes, dtypes and strides are those of the module's table."""
        experts, rows, columns = self.shape
        scheme = self.scheme
        scale_shape = (experts, *scale_grid(scheme, rows, columns, self.halves))
        expected: list[tuple[str, Tensor | None, tuple[int, ...]]] = [
            ("scales", self.scales, scale_shape)
        ]
        if scheme.has_zeros:
            expected.append(("zeros", self.zeros, scale_shape))
        if scheme.activations == "static":
            expected.append(("input_scale", self.input_scale, (1,)))
        if scheme.weights == "nvfp4":
            expected.append(("expert_scales", self.expert_scales, (experts,)))
        for part, tensor, shape in expected:
            if tensor is None:
                raise ValueError(f"{name}.{part} is missing; {scheme.name} needs {shape}")
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name}.{part} has shape {tuple(tensor.shape)}; expected {shape}")
        wanted = _VALUE_DTYPES[scheme.weights]
        if self.values.dtype != wanted:
            raise ValueError(f"{name}.values is {self.values.dtype}; expected {wanted}")
        for part, tensor in (
            ("values", self.values),
            ("scales", self.scales),
            ("zeros", self.zeros),
        ):
            if tensor is not None and not tensor.is_contiguous():
                raise ValueError(
                    f"{name}.{part} has strides {tensor.stride()}; expected dense ones"
                )


def unquantized(weights: Tensor) -> QuantizedWeights:
    """Plain weights as a record of the scheme that is none; it has no scales."""
    return QuantizedWeights(find_scheme(NONE), weights.contiguous(), weights[:0, 0, :0])


_VALUE_DTYPES = {
    "fp8": torch.float8_e4m3fn,
    "int8": torch.int8,
    "int4": torch.uint8,
    "mxfp4": torch.uint8,
    "nvfp4": torch.uint8,
}


class Stored(NamedTuple):
    """One quantized matrix; parts that its scheme does not have are empty."""

    values: Tensor
    """[N, K] or [N, K / 2]."""
    scales: Tensor
    """[scale rows, scale columns]."""
    zeros: Tensor
    """[scale rows, scale columns] uint8."""
    whole: Tensor
    """[1] float32: a scale beside those of groups."""


def gathered(
    scheme: Scheme, parts: Sequence[Stored], halves: int, input_scale: Tensor | None = None
) -> QuantizedWeights:
    """One matrix per expert as one record."""
    values, scales, zeros, whole = zip(*parts, strict=True)
    return QuantizedWeights(
        scheme,
        torch.stack(values),
        torch.stack(scales),
        halves,
        torch.stack(zeros) if scheme.has_zeros else None,
        input_scale if scheme.activations == "static" else None,
        torch.cat(whole) if scheme.weights == "nvfp4" else None,
    )


def scale_grid(scheme: Scheme, rows: int, columns: int, halves: int) -> tuple[int, int]:
    """Scale rows and scale columns of a [rows, columns] matrix."""
    grid_n = 1 if not scheme.group_n else halves * -(-(rows // halves) // scheme.group_n)
    return grid_n, 1 if not scheme.group_k else -(-columns // scheme.group_k)


def quantize(
    weights: Tensor,  # [E, N, K] floating point
    scheme: Scheme,
    *,
    halves: int = 1,
    input_scale: Tensor | None = None,
) -> QuantizedWeights:
    """Quantize every expert by the rule of `quantize_expert`; 4-bit scales get weights' dtype."""
    parts = [quantize_expert(matrix, scheme, halves) for matrix in weights]
    return gathered(scheme, parts, halves, input_scale)


def quantize_expert(
    matrix: Tensor,  # [N, K]
    scheme: Scheme,
    halves: int = 1,
) -> Stored:
    """One expert, rounded to nearest, the largest value of each group to the type's end.

    A group of zeros gets the scale 0 (mxfp4: the smallest one) and stays zero.
    """
    wide = matrix.float()
    none, zeros = wide[:0, 0], torch.zeros(0, dtype=torch.uint8, device=matrix.device)
    if scheme.weights == "mxfp4":
        codes, scales = quantize_mxfp4(wide, scheme.group_k)
        return Stored(pack(codes), scales, zeros, none)
    if scheme.weights == "nvfp4":
        codes, scales, whole = quantize_nvfp4(wide)
        return Stored(pack(codes), scales, zeros, whole)
    high = _group_max(wide, scheme, halves)
    if scheme.weights == "fp8":
        scales = high.maximum(_group_max(-wide, scheme, halves)) / FP8_MAX
        scaled = wide / _expand(_no_zero(scales), scheme, matrix.shape, halves)
        values = scaled.clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
        return Stored(values, scales, zeros, none)
    low = _group_max(-wide, scheme, halves)
    if scheme.weights == "int8":
        scales = high.maximum(low) / INT8_MAX
        scaled = wide / _expand(_no_zero(scales), scheme, matrix.shape, halves)
        values = scaled.round().clamp(-INT8_MAX, INT8_MAX).to(torch.int8)
        return Stored(values, scales, zeros, none)
    if scheme.has_zeros:
        high, low = high.clamp_min(0), low.clamp_min(0)
        scales = ((high + low) / 15).to(matrix.dtype)
        zeros = (low / _no_zero(scales.float())).round().clamp(0, 15).to(torch.uint8)
        offset = _expand(zeros.float(), scheme, matrix.shape, halves)
    else:
        scales = (high / 7).maximum(low / 8).to(matrix.dtype)
        offset = torch.tensor(8.0, device=matrix.device)
    scaled = wide / _expand(_no_zero(scales.float()), scheme, matrix.shape, halves)
    codes = (scaled.round() + offset).clamp(0, 15).to(torch.uint8)
    return Stored(pack(codes), scales, zeros, none)


def dequantize(
    scheme: Scheme,
    values: Tensor,  # [N, K] or [N, K / 2]
    scales: Tensor,  # [scale rows, scale columns]
    zeros: Tensor | None,
    halves: int,
    whole: Tensor | None = None,  # a scale beside those of groups
) -> Tensor:  # [N, K] float32
    """Inverse of `quantize_expert`, exact in fp32."""
    if scheme.values_per_byte == 2:
        codes = unpack(values)
        if scheme.weights == "nvfp4":
            if whole is None:
                raise TypeError("nvfp4 weights have no scale of the whole")
            return dequantize_nvfp4(codes, scales, whole)
        if scheme.weights == "mxfp4":
            wide = decode(codes)
            scales = torch.exp2(scales.float() - 127)
        else:
            offset: Tensor | float = 8.0
            if zeros is not None:
                offset = _expand(zeros.float(), scheme, codes.shape, halves)
            wide = codes.float() - offset
    else:
        wide = values.float()
    return wide * _expand(scales.float(), scheme, wide.shape, halves)


def _no_zero(scales: Tensor) -> Tensor:
    return torch.where(scales > 0, scales, 1.0)


def _group_max(wide: Tensor, scheme: Scheme, halves: int) -> Tensor:
    """Largest value of each group, [scale rows, scale columns]."""
    rows, columns = wide.shape
    size_n, size_k = scheme.group_n or rows // halves, scheme.group_k or columns
    blocks = wide.view(halves, rows // halves, columns)
    pad = (0, -columns % size_k, 0, -(rows // halves) % size_n)
    blocks = torch.nn.functional.pad(blocks, pad, value=float("-inf"))
    blocks = blocks.view(halves, blocks.shape[1] // size_n, size_n, -1, size_k)
    largest = blocks.amax((2, 4)).flatten(0, 1)
    return largest if scheme.group_n else largest.amax(0, keepdim=True)


def _expand(
    scales: Tensor, scheme: Scheme, shape: torch.Size | tuple[int, ...], halves: int
) -> Tensor:
    """Repeat every scale over its group: something that broadcasts to [N, K]."""
    rows, columns = shape
    if scheme.group_n > 1:
        grid = scales.view(halves, -1, scales.shape[1]).repeat_interleave(scheme.group_n, 1)
        scales = grid[:, : rows // halves].flatten(0, 1)
    if scheme.group_k:
        scales = scales.repeat_interleave(scheme.group_k, 1)[:, :columns]
    return scales


def requantize_rows(
    rows: Tensor,  # [n, K] float32
    scheme: Scheme,
    input_scale: Tensor | None = None,  # [1], for a scheme that stores it
) -> Tensor:  # [n, K] float32
    """Activations as the scheme's GEMM sees them: quantized by its rule, and back in fp32.

    Scale: the stored one, or the largest value (of all rows, of a row, of a row's group) over the
    type's largest; values beyond it saturate. `tensor` takes its maximum over all rows given.
    """
    if not scheme.quantizes_activations or not rows.numel():
        return rows
    if scheme.activations == "nvfp4":
        if input_scale is None:
            raise TypeError("nvfp4 activations need a stored scale")
        return requantize_nvfp4(rows, input_scale)
    limit = INT8_MAX if scheme.weights == "int8" else FP8_MAX
    width = rows.shape[1]
    size = scheme.group_k if scheme.activations == "group" else width
    padded = torch.nn.functional.pad(rows, (0, -width % size))
    padded = padded.view(len(rows), -1, size)
    if input_scale is not None:
        scale = input_scale.float()
    else:
        largest = padded.abs()
        largest = largest.amax() if scheme.activations == "tensor" else largest.amax(2, True)
        # On CUDA torch divides by a Python number as a product with its inverse: off by a bit,
        # after which a sixteenth of a group's values, those that lie in the middle of two codes,
        # can go to the other one.
        scale = largest.clamp_min(scheme.scale_floor) / torch.full_like(largest, limit)
        scale = _no_zero(scale)
        if scheme.round_scales:
            scale = torch.exp2(torch.ceil(torch.log2(scale)))
    codes = (padded / scale).clamp(-limit, limit)
    codes = codes.round() if scheme.weights == "int8" else codes.to(torch.float8_e4m3fn).float()
    wide: Tensor = codes * scale
    return wide.flatten(1)[:, :width]
