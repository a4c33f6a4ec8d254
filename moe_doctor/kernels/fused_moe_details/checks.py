"""What a layer must be like before any kernel is launched on it."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_doctor.kernels.activations import Activation
from moe_doctor.kernels.fused_moe_details._activation import ACTIVATIONS
from moe_doctor.kernels.fused_moe_details.quantized_gemm import why_not
from moe_doctor.kernels.quantized import QuantizedWeights

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
"""Types of hidden states and unquantized weights; accumulation is always fp32."""


def check_layer(
    hidden_states: Tensor,
    w13: Tensor | QuantizedWeights,
    w2: Tensor | QuantizedWeights,
    topk_weights: Tensor,
    topk_ids: Tensor,
    activation: Activation,
    bias13: Tensor | None,
    bias2: Tensor | None,
) -> None:
    """Raise ValueError with the argument, what it is and what it should be."""
    if activation.name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"activation is {activation.name!r}; expected one of {known}")
    if hidden_states.dtype not in DTYPES:
        raise ValueError(f"hidden_states is {hidden_states.dtype}; expected one of {DTYPES}")
    num_tokens, hidden_size = hidden_states.shape
    num_experts, _, intermediate_size = w2.shape
    rows = intermediate_size * (2 if activation.gated else 1)
    expected = {
        "w13": (w13, (num_experts, rows, hidden_size)),
        "w2": (w2, (num_experts, hidden_size, intermediate_size)),
        "topk_ids": (topk_ids, (num_tokens, topk_ids.shape[-1])),
        "topk_weights": (topk_weights, (num_tokens, topk_ids.shape[-1])),
        "bias13": (bias13, (num_experts, rows)),
        "bias2": (bias2, (num_experts, hidden_size)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected {shape}")
    for name, bias in (("bias13", bias13), ("bias2", bias2)):
        if bias is not None and not bias.is_contiguous():
            raise ValueError(f"{name} has strides {bias.stride()}; expected dense ones")
    for name, weights, halves in (("w13", w13, 2 if activation.gated else 1), ("w2", w2, 1)):
        if isinstance(weights, QuantizedWeights):
            reason = why_not(weights.scheme, hidden_states.device)
            if reason is not None:
                raise ValueError(f"{name} is {weights.scheme.name}: {reason}")
            if weights.scheme.group_n > 1 and weights.halves != halves:
                raise ValueError(f"{name}.halves is {weights.halves}; expected {halves}")
            weights.check(name)
        elif weights.dtype != hidden_states.dtype:
            raise ValueError(f"{name} is {weights.dtype}; expected {hidden_states.dtype}")
