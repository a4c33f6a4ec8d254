"""Weights of 4 or 8 bits to the activations' dtype, scaled by groups of columns.

Two neighbouring 4-bit values share a byte. Where two 16-bit values fit a register (`PAIRS`: NVIDIA,
bfloat16, or float16 but for e2m1), a byte becomes both values with four to six instructions: its
bits go to where they are a number plus a constant (int4: 128 + q in bfloat16, 1024 + q in float16)
or a number times a power of two (e2m1: 2^-126), which a first fused multiply-add takes away
exactly; a second one scales and rounds, but nvfp4's products have six bits and stay as they are.
Elsewhere the same goes through float32.
"""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

from moe_doctor.kernels.fused_moe_details._decode import decode_e2m1, decode_e4m3, decode_e8m0

# $1 * factor + $2, then times $3; -0 is added, so that zeros keep their sign.
_BFLOAT16 = tl.constexpr(
    "{ .reg .b32 f, n, t; mov.b32 f, 0x3F803F80; mov.b32 n, 0x80008000;"
    " fma.rn.bf16x2 t, $1, f, $2; fma.rn.bf16x2 $0, t, $3, n; }"
)
_FLOAT16 = tl.constexpr(
    "{ .reg .b32 f, n, t; mov.b32 f, 0x3C003C00; mov.b32 n, 0x80008000;"
    " fma.rn.f16x2 t, $1, f, $2; fma.rn.f16x2 $0, t, $3, n; }"
)
_E2M1 = tl.constexpr(
    "{ .reg .b32 f, n, t; mov.b32 f, 0x7E807E80; mov.b32 n, 0x80008000;"
    " fma.rn.bf16x2 t, $1, f, $2; fma.rn.bf16x2 $0, t, $3, n; }"
)


@triton.jit
def unpack(
    code,  # [rows, columns, in bytes]
    scale,  # [rows, groups], read when SCALED
    zero,  # [rows, groups] uint8, read when HAS_ZEROS
    DTYPE: tl.constexpr,
    WEIGHTS: tl.constexpr,
    SCALED: tl.constexpr,
    HAS_ZEROS: tl.constexpr,
    PAIRS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    GROUPS: tl.constexpr,
):
    """[ROWS, COLUMNS] in DTYPE; GROUPS of columns share a scale and a zero point."""
    if WEIGHTS == "plain":
        tile = code
    elif PAIRS:
        tile = _unpack_pairs(
            code, scale, zero, DTYPE, WEIGHTS, SCALED, HAS_ZEROS, ROWS, COLUMNS, GROUPS
        )
    else:
        E2M1: tl.constexpr = WEIGHTS == "mxfp4" or WEIGHTS == "nvfp4"
        if WEIGHTS == "int4" or E2M1:
            code = tl.interleave(code & 15, code >> 4)
        value = decode_e2m1(code) if E2M1 else code.to(tl.float32)
        if WEIGHTS == "int4" and not HAS_ZEROS:
            value = value - 8.0
        value = tl.reshape(value, [ROWS, GROUPS, COLUMNS // GROUPS])
        if HAS_ZEROS:
            value = value - zero.to(tl.float32)[:, :, None]
        if SCALED:
            if WEIGHTS == "mxfp4":
                scale = decode_e8m0(scale)
            elif WEIGHTS == "nvfp4":
                scale = decode_e4m3(scale)
            value = value * scale.to(tl.float32)[:, :, None]
        tile = tl.reshape(value, [ROWS, COLUMNS]).to(DTYPE)
    return tile


@triton.jit
def _unpack_pairs(
    code,
    scale,
    zero,
    DTYPE: tl.constexpr,
    WEIGHTS: tl.constexpr,
    SCALED: tl.constexpr,
    HAS_ZEROS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    GROUPS: tl.constexpr,
):
    """The first value of a byte in the low half of 32 bits, the second in the high half."""
    IS_BFLOAT16: tl.constexpr = tl.bfloat16 == DTYPE
    SIZE: tl.constexpr = COLUMNS // 2 // GROUPS
    wide = code.to(tl.int32)
    E2M1: tl.constexpr = WEIGHTS == "mxfp4" or WEIGHTS == "nvfp4"
    if E2M1:
        pair = ((wide * 0x40040) & 0x01C001C0) | ((wide * 0x1001000) & -0x7FFF8000)
        offset = tl.full([ROWS, GROUPS], -0x7FFF8000, tl.int32)
    else:
        MAGIC: tl.constexpr = 0x4300 if IS_BFLOAT16 else 0x6400
        pair = ((wide * 0x1001) & 0x000F000F) | (MAGIC * 0x10001)
        # The same number with the other sign; as a signed one, the half word twice.
        MINUS: tl.constexpr = MAGIC + 0x8000
        if HAS_ZEROS:
            offset = (zero.to(tl.int32) | MINUS) * 0x10001
        else:
            offset = tl.full([ROWS, GROUPS], (MINUS + 8) * 0x10001 - 0x100000000, tl.int32)
    if SCALED and WEIGHTS == "mxfp4":
        bits = scale.to(tl.int32) << 7
    elif SCALED and WEIGHTS == "nvfp4":
        bits = decode_e4m3(scale).to(DTYPE).to(tl.int16, bitcast=True).to(tl.int32) & 0xFFFF
    elif SCALED:
        bits = scale.to(tl.int16, bitcast=True).to(tl.int32) & 0xFFFF
    else:
        bits = tl.full([ROWS, GROUPS], 0x3F80 if IS_BFLOAT16 else 0x3C00, tl.int32)
    ASM: tl.constexpr = _E2M1 if E2M1 else _BFLOAT16 if IS_BFLOAT16 else _FLOAT16
    pair = tl.inline_asm_elementwise(
        ASM,
        "=r,r,r,r",
        [
            tl.reshape(pair, [ROWS, GROUPS, SIZE]),
            tl.broadcast_to(offset[:, :, None], [ROWS, GROUPS, SIZE]),
            tl.broadcast_to((bits * 0x10001)[:, :, None], [ROWS, GROUPS, SIZE]),
        ],
        dtype=tl.int32,
        is_pure=True,
        pack=1,
    )
    pair = tl.reshape(pair, [ROWS, COLUMNS // 2])
    low = pair.to(tl.int16).to(DTYPE, bitcast=True)
    high = (pair >> 16).to(tl.int16).to(DTYPE, bitcast=True)
    return tl.interleave(low, high)
