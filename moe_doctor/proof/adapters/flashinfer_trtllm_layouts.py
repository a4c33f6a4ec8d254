"""Weights, scales and inputs as FlashInfer's `trtllm_*_routed_moe` take them; child code.

    scheme              rows of w13        blocks            scales
    none                up, gate in turns  of 128 bytes      none
    fp8_block_128x128   up then gate       of 128 bytes      [E, rows / 128, K / 128]
    nvfp4, mxfp4        up, gate in turns  none              per row, in tiles of 128 x 4

Rows of w13 and w2 are shuffled for tiles of 128 rows, of 64 with fp8. Sources: vLLM 0.20.0
quantization/utils/flashinfer_utils.py, flashinfer_fp4_moe.py and oracle/mxfp4.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from moe_doctor.kernels.e2m1 import encode_rows
from moe_doctor.kernels.quantized import FP8_MAX, QuantizedWeights
from moe_doctor.kernels.schemes import NONE
from moe_doctor.proof.adapters.flashinfer_fp4 import (
    grown,
    grown_halves,
    need_multiples,
    scales_of,
    with_activations,
)
from moe_doctor.proof.adapters.flashinfer_shuffles import (
    block_major,
    in_turns,
    shuffled_rows,
    tiled_scales,
    up_first,
)

if TYPE_CHECKING:
    from moe_doctor.proof.case import Geometry
    from moe_doctor.proof.inputs import Weights

_BLOCK = 128
_FP4_UNIT = 256
# FlashInfer's enums: ActivationType.Swiglu and Relu2, WeightLayout.BlockMajorK.
_SWIGLU, _RELU2 = 3, 6
_BLOCK_MAJOR = 2
_RENORMALIZE = 1
# Routes are handed over; this says only that they need nothing more.


@dataclass(frozen=True, slots=True)
class TrtllmLayout:
    """What one layer's calls share."""

    function: str
    """Name in `flashinfer.fused_moe`."""
    arguments: Mapping[str, Any]
    """Everything but routes and input."""
    input: Callable[[Tensor], dict[str, Tensor | None]]
    """Hidden states [T, H] as arguments."""


def make_layout(weights: Weights) -> TrtllmLayout:
    """The layout of `weights`; raises UnfitError for sizes that a scheme has no layout for."""
    scheme = weights.geometry.scheme
    if scheme == NONE:
        return _plain(weights)
    w13, w2 = weights.w13, weights.w2
    if not isinstance(w13, QuantizedWeights) or not isinstance(w2, QuantizedWeights):
        raise TypeError(f"the weights are not of scheme {scheme}")
    if scheme == "fp8_block_128x128":
        return _per_block(weights, w13, w2)
    return _four_bits(with_activations(weights))


def packed_routes(topk_ids: Tensor, topk_weights: Tensor) -> Tensor:  # [T, k] int32
    """Expert in the high half, the weight's bfloat16 bits in the low one."""
    bits = topk_weights.to(torch.bfloat16).contiguous().view(torch.int16).to(torch.int32)
    return (topk_ids.to(torch.int32) << 16) | (bits & 0xFFFF)


def _common(geometry: Geometry, inner: int) -> dict[str, Any]:
    return {
        "num_experts": geometry.num_experts,
        "n_group": None,
        "topk_group": None,
        "intermediate_size": inner,
        "local_expert_offset": 0,
        "local_num_experts": geometry.num_experts,
        "routed_scaling_factor": None,
        "routing_method_type": _RENORMALIZE,
        "activation_type": _SWIGLU if geometry.gated else _RELU2,
    }


def _sizes(geometry: Geometry) -> tuple[int, int]:
    return geometry.hidden_size, geometry.intermediate_size_per_partition


def _plain(weights: Weights) -> TrtllmLayout:
    geometry = weights.geometry
    need_multiples(_sizes(geometry), _BLOCK, "flashinfer's TRT-LLM MoE")
    w13, w2 = weights.plain()
    rows = in_turns(up_first(w13)) if geometry.gated else w13

    def placed(matrix: Tensor) -> Tensor:
        return block_major(shuffled_rows(matrix, 128).view(torch.uint8), _BLOCK).view(matrix.dtype)

    return TrtllmLayout(
        "trtllm_bf16_routed_moe",
        {
            **_common(geometry, geometry.intermediate_size_per_partition),
            "gemm1_weights": placed(rows),
            "gemm2_weights": placed(w2),
            "use_shuffled_weight": True,
            "weight_layout": _BLOCK_MAJOR,
        },
        lambda states: {"hidden_states": states.contiguous()},
    )


def _per_block(weights: Weights, w13: QuantizedWeights, w2: QuantizedWeights) -> TrtllmLayout:
    geometry = weights.geometry
    need_multiples(_sizes(geometry), _BLOCK, "flashinfer's TRT-LLM MoE")
    floor = w13.scheme.scale_floor

    def placed(matrix: Tensor) -> Tensor:
        bytes_ = shuffled_rows(matrix.view(torch.uint8), 64)
        return block_major(bytes_, _BLOCK).view(torch.float8_e4m3fn)

    def quantized(states: Tensor) -> dict[str, Tensor | None]:
        groups = states.float().view(len(states), -1, _BLOCK)  # [T, H / 128, 128]
        largest = groups.abs().amax(2).clamp_min(floor)
        scale = largest / torch.full_like(largest, FP8_MAX)
        codes = (groups / scale[..., None]).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
        return {"hidden_states": codes.flatten(1), "hidden_states_scale": scale.T.contiguous()}

    return TrtllmLayout(
        "trtllm_fp8_block_scale_routed_moe",
        {
            **_common(geometry, geometry.intermediate_size_per_partition),
            "routing_bias": None,
            "gemm1_weights": placed(up_first(w13.values)),
            "gemm1_weights_scale": up_first(w13.scales),
            "gemm2_weights": placed(w2.values),
            "gemm2_weights_scale": w2.scales,
            "use_shuffled_weight": True,
            "weight_layout": _BLOCK_MAJOR,
        },
        quantized,
    )


def _four_bits(weights: Weights) -> TrtllmLayout:
    geometry, w13, w2 = weights.geometry, weights.w13, weights.w2
    if not isinstance(w13, QuantizedWeights) or not isinstance(w2, QuantizedWeights):
        raise TypeError(f"the weights are not of scheme {geometry.scheme}")
    group = w13.scheme.group_k
    hidden, inner = (-(-size // _FP4_UNIT) * _FP4_UNIT for size in _sizes(geometry))

    def first(rows: Tensor, columns: int) -> Tensor:
        whole = grown_halves(rows, w13.halves, inner, columns)
        return shuffled_rows(in_turns(up_first(whole)) if geometry.gated else whole, 128)

    def second(rows: Tensor, columns: int) -> Tensor:
        return shuffled_rows(grown(rows, hidden, columns), 128)

    def scale(bytes_: Tensor) -> Tensor:
        return tiled_scales(bytes_).view(torch.float8_e4m3fn)

    arguments: dict[str, Any] = {
        **_common(geometry, inner),
        "routing_bias": None,
        "gemm1_weights": first(w13.values, hidden // 2),
        "gemm1_weights_scale": scale(first(w13.scales, hidden // group)),
        "gemm2_weights": second(w2.values, inner // 2),
        "gemm2_weights_scale": scale(second(w2.scales, inner // group)),
        **dict.fromkeys(("gemm1_bias", "gemm2_bias", *_NUMBERS, *_SCALARS)),
    }
    if geometry.scheme == "nvfp4":
        (input1, experts1), (input2, experts2) = scales_of(w13), scales_of(w2)
        gate = experts1 * input1
        arguments.update(
            output1_scale_scalar=gate / input2 if geometry.gated else experts1 * 0 + 1 / input2,
            output1_scale_gate_scalar=gate,
            output2_scale_scalar=experts2 * input2,
        )
    arguments.update(_clamp_and_bias(weights, hidden, inner))

    def taken(states: Tensor) -> dict[str, Tensor | None]:
        padded = pad(states, (0, hidden - states.shape[1]))
        if geometry.scheme != "nvfp4":
            return {"hidden_states": padded.contiguous(), "hidden_states_scale": None}
        codes, scales = encode_rows(padded.float(), scales_of(w13)[0])
        return {"hidden_states": codes, "hidden_states_scale": scales}

    return TrtllmLayout("trtllm_fp4_block_scale_routed_moe", arguments, taken)


_NUMBERS = ("gemm1_alpha", "gemm1_beta", "gemm1_clamp_limit")
_SCALARS = ("output1_scale_scalar", "output1_scale_gate_scalar", "output2_scale_scalar")


def _clamp_and_bias(weights: Weights, hidden: int, inner: int) -> dict[str, Tensor]:
    geometry = weights.geometry
    found: dict[str, Tensor] = {}
    values = (geometry.alpha, geometry.beta, geometry.limit)
    if geometry.gated and values != (1.0, 0.0, None):
        for name, value in zip(_NUMBERS, values, strict=True):
            if value is not None:
                size = (geometry.num_experts,)
                found[name] = torch.full(size, value, device=weights.w13.device)
    if weights.bias13 is not None and weights.bias2 is not None:
        halves = weights.bias13.float().chunk(2 if geometry.gated else 1, dim=1)
        whole = torch.cat([pad(half, (0, inner - half.shape[1])) for half in halves], dim=1)
        first = in_turns(up_first(whole)) if geometry.gated else whole
        second = pad(weights.bias2.float(), (0, hidden - weights.bias2.shape[1]))
        found["gemm1_bias"] = shuffled_rows(first, 128)
        found["gemm2_bias"] = shuffled_rows(second, 128)
    return found
