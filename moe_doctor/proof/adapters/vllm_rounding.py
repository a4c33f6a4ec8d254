"""Weights as vLLM reads them where that is not as they were made.

int8 weights may meet activations that are not quantized, nvfp4 ones meet some that are. And fp8
blocks get scales that are powers of two where DeepGEMM is there:

With `VLLM_USE_DEEP_GEMM_E8M0` (on by default) and an importable deep_gemm, vLLM rounds the scales
of activations up to powers of two, for its Triton kernels as well, and DeepGEMM's weights are
quantized again with such scales (vLLM 0.20 to 0.33 quantization/utils/fp8_utils.py,
per_token_group_quant_fp8 and requant_weight_ue8m0_inplace). Child code.
"""

from __future__ import annotations

import importlib
from dataclasses import replace as replace_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from moe_doctor.core.record import replace
from moe_doctor.kernels.quantized import FP8_MAX, QuantizedWeights
from moe_doctor.proof.adapters.flashinfer_fp4 import with_activations
from moe_doctor.proof.adapters.vllm_session import LAYERS, ask

if TYPE_CHECKING:
    from moe_doctor.proof.inputs import Weights

_OPTIONS = ("triton", "batched_triton", "deep_gemm")
_LEAST = 1e-4


def as_rounded(weights: Weights, option: str) -> Weights:
    """The weights as one backend reads them; the same where nothing is rounded."""
    w13, w2 = weights.w13, weights.w2
    if not isinstance(w13, QuantizedWeights) or not isinstance(w2, QuantizedWeights):
        return weights
    if w13.scheme.weights == "nvfp4":
        return with_activations(weights)
    if w13.scheme.name == "int8_channel" and keeps_activations():
        return weight_only(weights)
    if w13.scheme.activations != "group" or option not in _OPTIONS or not rounds_scales():
        return weights
    if option == "deep_gemm":
        w13, w2 = quantized_again(w13), quantized_again(w2)
    scheme = replace(w13.scheme, round_scales=True)
    return replace(
        weights,
        w13=replace_dataclass(w13, scheme=scheme),
        w2=replace_dataclass(w2, scheme=scheme),
    )


def rounds_scales() -> bool:
    """What vLLM says about itself."""
    return bool(importlib.import_module("vllm.utils.deep_gemm").is_deep_gemm_e8m0_used())


def keeps_activations() -> bool:
    """Whether this vLLM multiplies int8 weights with activations that it does not quantize.

    0.20.0 does for compressed-tensors' W8A8: `make_int8_moe_quant_config` takes missing input
    scales, which a dynamic scheme never has, for weights alone.
    """
    oracle = importlib.import_module(f"{LAYERS}.fused_moe.oracle.int8")
    scale = torch.ones(1)
    pool: dict[str, Any] = {"w1_scale": scale, "w2_scale": scale, "per_act_token_quant": True}
    pool.update(a1_scale=None, a2_scale=None, int8_backend=oracle.Int8MoeBackend.TRITON)
    made = ask(oracle.make_int8_moe_quant_config, pool)
    return bool(made.use_int8_w8a16)


def weight_only(weights: Weights) -> Weights:
    """The same weights with plain activations."""
    return replace(weights, w13=_weight_only(weights.w13), w2=_weight_only(weights.w2))


def _weight_only(weights: Tensor | QuantizedWeights) -> Tensor | QuantizedWeights:
    if not isinstance(weights, QuantizedWeights):
        return weights
    scheme = replace(weights.scheme, activations="plain")
    return replace_dataclass(weights, scheme=scheme, input_scale=None)


def quantized_again(weights: QuantizedWeights) -> QuantizedWeights:
    """Every block with the power of two at or above its largest value over 448."""
    values, scales = [], []
    for expert in range(weights.shape[0]):
        wide = weights.expert(expert)
        block = torch.exp2(
            torch.ceil(torch.log2(_largest(wide, weights).clamp_min(_LEAST) / FP8_MAX))
        )
        values.append((wide / _over(block, weights)).to(torch.float8_e4m3fn))
        scales.append(block)
    return replace_dataclass(weights, values=torch.stack(values), scales=torch.stack(scales))


def _largest(wide: Tensor, weights: QuantizedWeights) -> Tensor:  # [N, K] to [scale rows, columns]
    rows, columns = weights.scheme.group_n, weights.scheme.group_k
    halves = wide.abs().view(weights.halves, -1, wide.shape[1])
    missing = (0, -wide.shape[1] % columns, 0, -halves.shape[1] % rows)
    blocks = torch.nn.functional.pad(halves, missing)
    shape = (weights.halves, blocks.shape[1] // rows, rows, blocks.shape[2] // columns, columns)
    return blocks.view(shape).amax((2, 4)).flatten(0, 1)


def _over(scales: Tensor, weights: QuantizedWeights) -> Tensor:  # [scale rows, columns] to [N, K]
    _, rows, columns = weights.shape
    grid = scales.view(weights.halves, -1, scales.shape[1])
    grid = grid.repeat_interleave(weights.scheme.group_n, 1)[:, : rows // weights.halves]
    return grid.flatten(0, 1).repeat_interleave(weights.scheme.group_k, 1)[:, :columns]
