"""Nonlinearities inside the grouped GEMM, on its fp32 accumulator."""

# Kernels are traced by Triton, which has no type information.
# mypy: allow-untyped-decorators, allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

ACTIVATIONS = ("none", "silu", "gelu", "gelu_tanh", "relu", "relu2")
"""Names that `activate` knows; the same words as `MoESpec.activation`."""


@triton.jit
def activate(x, ACTIVATION: tl.constexpr):
    """Apply the nonlinearity named by ACTIVATION (checked by the caller) to fp32 values."""
    if ACTIVATION == "silu":
        x = x * tl.sigmoid(x)
    elif ACTIVATION == "gelu":
        x = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == "gelu_tanh":
        inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
        # tanh(y) = 2 * sigmoid(2y) - 1, so 0.5 * (1 + tanh(y)) = sigmoid(2y)
        x = x * tl.sigmoid(2.0 * inner)
    elif ACTIVATION == "relu":
        x = tl.maximum(x, 0.0)
    elif ACTIVATION == "relu2":
        x = tl.maximum(x, 0.0)
        x = x * x
    return x


@triton.jit
def activate_and_multiply(
    gate,
    up,
    ACTIVATION: tl.constexpr,
    LIMIT: tl.constexpr,
    ALPHA: tl.constexpr,
    BETA: tl.constexpr,
):
    """act(gate) * (up + BETA) on fp32 values, clamped first where LIMIT is above zero.

    A silu with ALPHA other than 1 is gate * sigmoid(ALPHA * gate): SwiGLU-OAI with 1.702 and BETA 1
    (vLLM 0.33 layers/activation.py, SiluAndMulWithClamp).
    """
    if LIMIT > 0:
        gate = tl.minimum(gate, LIMIT)
        up = tl.minimum(tl.maximum(up, -LIMIT), LIMIT)
    result = gate * tl.sigmoid(ALPHA * gate) if ALPHA != 1.0 else activate(gate, ACTIVATION)
    if BETA != 0.0:
        up = up + BETA
    return result * up
