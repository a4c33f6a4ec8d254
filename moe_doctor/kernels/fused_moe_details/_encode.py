"""Values to fp8 or int8 codes, with a given scale or one per row of a tile.

A scale is the largest value over the type's largest; values beyond it saturate (vLLM 0.20
quantization/input_quant_fp8.py, utils/int8_utils.py).
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

from moe_doctor.kernels.fused_moe_details._decode import encode_e4m3, round_half_even


@triton.jit
def to_code(value, scale, IS_INT8: tl.constexpr, NATIVE: tl.constexpr):
    """float32 over its scale to int8, to e4m3, or (not NATIVE) to e4m3's bytes.

    The quotient is the exactly rounded one: others put values that lie in the middle of two codes
    on the wrong side. On a GPU (NATIVE) by one reciprocal and two corrections (Markstein), which
    is a third of the work of a division.
    """
    LIMIT: tl.constexpr = 127.0 if IS_INT8 else 448.0
    if NATIVE:
        inverse = tl.div_rn(1.0, scale)
        rough = value * inverse
        fine = tl.fma(tl.fma(-rough, scale, value), inverse, rough)
        scaled = tl.where(tl.abs(rough) < 1024.0, fine, rough)
    else:
        scaled = tl.div_rn(value, scale)
    scaled = tl.minimum(tl.maximum(scaled, -LIMIT), LIMIT)
    if IS_INT8:
        code = round_half_even(scaled).to(tl.int8)
    elif NATIVE:
        code = scaled.to(tl.float8e4nv)
    else:
        code = encode_e4m3(scaled)
    return code


@triton.jit
def scale_of(largest, FLOOR: tl.constexpr, IS_INT8: tl.constexpr):
    """The scale that puts `largest` at the end of the type."""
    LIMIT: tl.constexpr = 127.0 if IS_INT8 else 448.0
    return tl.div_rn(tl.maximum(largest, FLOOR), LIMIT)


@triton.jit
def gather_largest(tile, largest):
    """Let the int32 at `largest` be the bits of the largest absolute value that it has seen."""
    mine = tl.max(tl.max(tl.abs(tile), axis=1), axis=0)
    tl.atomic_max(largest, mine.to(tl.int32, bitcast=True), sem="relaxed")


@triton.jit
def group_codes(tile, FLOOR: tl.constexpr, IS_INT8: tl.constexpr, NATIVE: tl.constexpr):
    """Codes and scales of a float32 tile whose rows are a group each."""
    scale = scale_of(tl.max(tl.abs(tile), axis=1), FLOOR, IS_INT8)
    return to_code(tile, scale[:, None], IS_INT8, NATIVE), scale
