"""int4 and int8 weights in groups through vLLM's Triton WNA16 kernel; child code.

That is what `--quantization moe_wna16` launches, and what other methods fall back to where Marlin
does not fit (vLLM 0.20 to 0.33 quantization/moe_wna16.py). Marlin's own layout is another one, and
is not handed over here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from moe_doctor.kernels.quantized import QuantizedWeights
from moe_doctor.proof.adapters.base import UnfitError
from moe_doctor.proof.adapters.vllm_kernel import VllmKernel
from moe_doctor.proof.adapters.vllm_session import ask, find_module

if TYPE_CHECKING:
    from moe_doctor.proof.inputs import Weights


def build_wna16(weights: Weights, option: str, version: str) -> VllmKernel:
    """`fused_experts` with the config that MoeWNA16Method gives it."""
    geometry, w13, w2 = weights.geometry, weights.w13, weights.w2
    if not isinstance(w13, QuantizedWeights) or not isinstance(w2, QuantizedWeights):
        raise TypeError(f"the weights are not of scheme {geometry.scheme}")
    if option != "triton":
        raise UnfitError(f"{geometry.scheme} weights are handed to vLLM's Triton kernel alone")
    # MoeWNA16Method.apply asserts SiLU; its layer has no biases.
    if (geometry.activation, geometry.gated, geometry.has_bias) != ("silu", True, False):
        raise UnfitError(f"vLLM {version}'s WNA16 method has gated silu without a bias")
    if geometry.limit is not None:
        raise UnfitError(f"vLLM {version}'s WNA16 method has no clamp")
    if weights.adapters is not None:
        raise UnfitError(f"vLLM {version}'s WNA16 function takes no LoRA adapters")
    if not w13.scheme.group_k:
        raise UnfitError(f"vLLM {version}'s WNA16 kernel needs groups; these weights have none")
    config = find_module("fused_moe.config")
    four = w13.scheme.bits == 4
    make = config.int4_w4a16_moe_quant_config if four else config.int8_w8a16_moe_quant_config
    quant_config = ask(
        make,
        {
            "w1_scale": w13.scales,
            "w2_scale": w2.scales,
            "w1_zp": _zeros(w13),
            "w2_zp": _zeros(w2),
            "block_shape": [0, w13.scheme.group_k],
        },
    )
    package = find_module("fused_moe")
    pool: dict[str, Any] = {
        "w1": _codes(w13),
        "w2": _codes(w2),
        "quant_config": quant_config,
        "global_num_experts": geometry.num_experts,
        "expert_map": None,
        "inplace": False,
        "apply_router_weight_on_input": False,
    }
    return VllmKernel(f"{package.__name__}.fused_experts", package.fused_experts, pool)


def _codes(weights: QuantizedWeights) -> torch.Tensor:
    """Two 4-bit codes a byte as ours are, or bytes with a zero point of 128."""
    if weights.scheme.bits == 4:
        return weights.values
    return weights.values.view(torch.uint8) ^ 0x80


def _zeros(weights: QuantizedWeights) -> torch.Tensor | None:  # [E, N / 2, groups]
    """Zero points of two neighbouring rows in a byte, the first in its low half."""
    if weights.zeros is None:
        return None
    return (weights.zeros[:, 0::2] | weights.zeros[:, 1::2] << 4).contiguous()
