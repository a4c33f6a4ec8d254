"""The 4-bit float e2m1 and both formats that scale it by group, in plain torch.

    mxfp4   32 columns share a power of two (e8m0, its exponent + 127)            OCP MX 1.0
    nvfp4   16 columns share an e4m3 scale, and all of them an fp32 one           NVIDIA ModelOpt

Codes are 0..15, the sign in bit 3; two neighbouring columns share a byte, the first in its low
half. Every function works on [rows, columns].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

E2M1_MAX = 6.0
"""Largest e2m1 value."""
E4M3_MAX = 448.0
"""Largest e4m3 value."""
NVFP4_GROUP = 16
"""Columns that share a scale."""

_VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_MIDDLES = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)
# Which of two codes a value in the middle goes to: the one whose last bit is 0.
_TIES_UP = (False, True, False, True, False, True, False)


def encode(scaled: Tensor) -> Tensor:
    """Codes of the nearest values, ties to even; beyond 6 it is 6."""
    size = scaled.abs()
    codes = torch.zeros_like(size, dtype=torch.uint8)
    for middle, up in zip(_MIDDLES, _TIES_UP, strict=True):
        codes += ((size >= middle) if up else (size > middle)).to(torch.uint8)
    return codes | ((scaled < 0).to(torch.uint8) << 3)


def decode(codes: Tensor) -> Tensor:
    """The float32 values of codes, exact."""
    table = torch.tensor(_VALUES, device=codes.device)
    return table[(codes & 7).long()] * (1 - 2 * (codes >> 3).float())


def quantize_mxfp4(wide: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Codes and uint8 exponents of float32 values; a group of zeros gets the smallest one."""
    # e2m1 reaches 6 = 1.5 * 2^2: the largest value's own exponent becomes 2 (OCP MX 1.0, 6.3).
    largest = _group_max(wide, group)
    exponent = torch.floor(torch.log2(largest.clamp_min(2.0**-120))) - 2
    codes = encode(wide / _spread(torch.exp2(exponent), wide, group))
    return codes, (exponent + 127).clamp(0, 254).to(torch.uint8)


def quantize_nvfp4(wide: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, e4m3 scales and the scale of the whole, [1] float32.

    The whole's scale brings the largest group's to 448 (ModelOpt's weight_scale_2 = amax / 2688).
    """
    whole = (wide.abs().amax() / (E2M1_MAX * E4M3_MAX)).view(1)
    whole = torch.where(whole > 0, whole, 1.0)
    scales = _nvfp4_scales(wide, whole)
    return encode(wide / _divisor(scales, whole, wide)), scales, whole


def dequantize_nvfp4(codes: Tensor, scales: Tensor, whole: Tensor) -> Tensor:
    """Inverse of `quantize_nvfp4`, in float32."""
    wide = decode(codes)
    return wide * _spread(scales.float(), wide, NVFP4_GROUP) * whole


def requantize_nvfp4(rows: Tensor, whole: Tensor) -> Tensor:
    """Float32 activations as an nvfp4 GEMM sees them, with the stored scale of the whole.

    Source: FlashInfer 0.6.13 nvfp4_quantize: block scales are cast to e4m3 and saturate.
    """
    scales = _nvfp4_scales(rows, whole)
    codes = encode(rows / _divisor(scales, whole, rows))
    return dequantize_nvfp4(codes, scales, whole)


def encode_rows(rows: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
    """Bytes [rows, columns / 2] and e4m3 scales of what `requantize_nvfp4` gives back."""
    scales = _nvfp4_scales(rows, whole)
    return pack(encode(rows / _divisor(scales, whole, rows))), scales


def pack(codes: Tensor) -> Tensor:
    """Two neighbouring columns a byte; raises ValueError where one is left over."""
    if codes.shape[1] % 2:
        raise ValueError(
            f"K is {codes.shape[1]}; two 4-bit values share a byte, so it must be even"
        )
    return codes[:, 0::2] | codes[:, 1::2] << 4


def unpack(packed: Tensor) -> Tensor:
    """Inverse of `pack`."""
    return torch.stack((packed & 15, packed >> 4), dim=-1).flatten(-2)


def _nvfp4_scales(wide: Tensor, whole: Tensor) -> Tensor:
    largest = _group_max(wide, NVFP4_GROUP) / E2M1_MAX / whole
    return largest.clamp_max(E4M3_MAX).to(torch.float8_e4m3fn)


def _divisor(scales: Tensor, whole: Tensor, wide: Tensor) -> Tensor:
    spread = _spread(scales.float(), wide, NVFP4_GROUP) * whole
    # A group whose scale was rounded to zero is zero: nothing reaches the first code.
    return torch.where(spread > 0, spread, float("inf"))


def _group_max(wide: Tensor, group: int) -> Tensor:  # [rows, groups]
    padded = pad(wide.abs(), (0, -wide.shape[1] % group))
    return padded.view(len(wide), -1, group).amax(2)


def _spread(scales: Tensor, wide: Tensor, group: int) -> Tensor:
    return scales.repeat_interleave(group, 1)[:, : wide.shape[1]]
