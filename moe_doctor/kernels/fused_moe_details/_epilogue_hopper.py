"""What follows a tile's products in the sm_90 GEMM: activation or router's weight, and stores."""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from moe_doctor.kernels.fused_moe_details._activation import activate, activate_and_multiply


@gluon.constexpr_function
def _store_layout(swap, num_warps):
    """How a tile's threads store it: 8 columns each; [columns, rows] when swapped."""
    if swap:
        return gl.BlockedLayout([8, 1], [8, 4], [1, num_warps], [0, 1])
    return gl.BlockedLayout([1, 8], [4, 8], [num_warps, 1], [1, 0])


@gluon.constexpr_function
def note_layout(swap, num_warps):
    """How the same threads hold what there is of every row."""
    return gl.SliceLayout(0 if swap else 1, _store_layout(swap, num_warps))


@gluon.jit
def _sigmoid(x):
    """1 / (1 + 2 ** (-x * log2(e))) by the approximations of the hardware: 22 bits and more."""
    return gl.inline_asm_elementwise(
        """{
        .reg .f32 power;
        ex2.approx.ftz.f32 power, $1;
        add.ftz.f32 power, power, 0f3F800000;
        rcp.approx.ftz.f32 $0, power;
        }""",
        "=f,f",
        [x * -1.4426950408889634],
        dtype=gl.float32,
        is_pure=True,
        pack=1,
    )


@gluon.jit
def finish(
    acc,  # [columns, BLOCK_M] when SWAP, else [BLOCK_M, columns]
    row,  # [BLOCK_M] row of `out`, -1 for none
    weight,  # [BLOCK_M] float32, read by the second GEMM
    tile_n,
    out,
    N,
    FIRST: gl.constexpr,
    GATED: gl.constexpr,
    ACTIVATION: gl.constexpr,
    BLOCK_M: gl.constexpr,
    BLOCK_N: gl.constexpr,
    SWAP: gl.constexpr,
):
    """Activate and multiply the halves, or weigh, and store the rows that there are."""
    spread: gl.constexpr = _store_layout(SWAP, gl.num_warps())
    M_AXIS: gl.constexpr = 0 if SWAP else 1
    N_AXIS: gl.constexpr = 1 - M_AXIS
    if GATED:
        if SWAP:
            both = gl.permute(gl.reshape(acc, [2, BLOCK_N, BLOCK_M]), (1, 2, 0))
        else:
            both = gl.permute(gl.reshape(acc, [BLOCK_M, 2, BLOCK_N]), (0, 2, 1))
        gate, up = gl.split(both)  # both lie in the registers of the same thread
        if ACTIVATION == "silu":
            result = gate * _sigmoid(gate) * up
        else:
            result = activate_and_multiply(gate, up, ACTIVATION, 0.0, 1.0, 0.0)
    else:
        result = activate(acc, ACTIVATION)
    if not FIRST:
        weight = gl.convert_layout(weight, gl.SliceLayout(M_AXIS, result.type.layout))
        result = result * gl.expand_dims(weight, M_AXIS)
    stored = gl.convert_layout(result.to(out.dtype.element_ty), spread)
    n = tile_n * BLOCK_N + gl.arange(0, BLOCK_N, gl.SliceLayout(N_AXIS, spread))
    n = gl.expand_dims(n, N_AXIS)
    ptrs = out + gl.expand_dims(row.to(gl.int64) * N, M_AXIS) + n
    gl.store(ptrs, stored, mask=gl.expand_dims(row >= 0, M_AXIS) & (n < N))
