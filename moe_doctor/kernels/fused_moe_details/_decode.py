"""Small number formats by their bits, for where the hardware or the interpreter has none.

e4m3 has no conversions before sm_89 and wrong ones in Triton's interpreter (it cuts instead of
rounding, 3.9); e2m1 has none that every release of Triton knows. Formats: OCP OFP8 and MX 1.0.
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def decode_e4m3(code):
    """uint8 to float16, exact: the same bits three places up are 2^-8 of the value, as fp16."""
    wide = code.to(tl.int16)
    bits = ((wide & 0x80) << 8) | ((wide & 0x7F) << 7)
    return bits.to(tl.float16, bitcast=True) * 256.0


@triton.jit
def encode_e4m3(value):
    """float32 within +-448 to uint8, round to nearest even."""
    bits = value.to(tl.int32, bitcast=True)
    size = bits & 0x7FFFFFFF
    # Twenty mantissa bits go; the carry may reach the exponent, whose bias falls from 127 to 7.
    normal = ((size + 0x7FFFF + ((size >> 20) & 1)) >> 20) - (120 << 3)
    # Below 2^-6 steps are 2^-9 wide, as fp32's are at 2^14: adding 2^14 rounds.
    shifted = size.to(tl.float32, bitcast=True) + 16384.0
    small = shifted.to(tl.int32, bitcast=True) - 0x46800000
    code = tl.where(size < 0x3C800000, small, normal) | ((bits >> 24) & 0x80)
    return code.to(tl.uint8)


@triton.jit
def decode_e2m1(code):
    """Codes 0..15 to float32: the same bits as fp32's lowest exponents are 2^-126 of the value."""
    wide = code.to(tl.int32)
    bits = ((wide & 8) << 28) | ((wide & 7) << 22)
    return bits.to(tl.float32, bitcast=True) * 8.507059173023462e37  # 2^126


@triton.jit
def decode_e8m0(code):
    """uint8 to float32: 2^(code - 127); 0 gives 0 where the format means 2^-127."""
    return (code.to(tl.int32) << 23).to(tl.float32, bitcast=True)


@triton.jit
def round_half_even(value):
    """Nearest integer of a float32 below 2^22."""
    return (value + 12582912.0) - 12582912.0
