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
