"""The activations that vLLM's shared activation function implements, which many kernels call.

Source: fused_moe/activation.py, apply_moe_activation; before 0.28.0 each class spells its list.
"""

from __future__ import annotations

APPLIED_0_20 = frozenset(
    {"silu", "gelu", "swigluoai", "swiglustep", "silu_no_mul", "gelu_no_mul", "relu2_no_mul"}
)
APPLIED_0_21 = APPLIED_0_20 | {"gelu_tanh", "gelu_tanh_no_mul"}
APPLIED_0_24 = APPLIED_0_21 | {"swigluoai_uninterleave"}
# _APPLY_MOE_ACTIVATIONS and, from 0.30.0, _MASKED_MOE_ACTIVATION_NAMES
APPLIED_0_28 = APPLIED_0_24 | {"situ"}
