"""Weights as a checkpoint's parameters stand on vLLM's layer before they are converted; child code.

Most schemes are stored as ours are. gpt-oss stores gate and up rows in turns, and the layer pads
both widths to what its backend asks for (vLLM 0.20 to 0.33 quantization/mxfp4.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from moe_doctor.kernels.quantized import QuantizedWeights
from moe_doctor.proof.adapters.flashinfer_fp4 import scales_of, with_activations

if TYPE_CHECKING:
    from moe_doctor.proof.adapters.vllm_schemes import Quantization
    from moe_doctor.proof.inputs import Weights

_GROUP = 32


@dataclass(frozen=True, slots=True)
class Stored:
    """Parameters of one layer."""

    w13: Tensor
    w2: Tensor
    w13_scale: Tensor | None
    w2_scale: Tensor | None
    w13_bias: Tensor | None
    w2_bias: Tensor | None


def stored(weights: Weights, quantization: Quantization) -> Stored:
    """The parameters of `weights`; scales are copies, which conversions may clamp in place."""
    w13, w2 = weights.w13, weights.w2
    if not isinstance(w13, QuantizedWeights) or not isinstance(w2, QuantizedWeights):
        return Stored(*weights.plain(), None, None, weights.bias13, weights.bias2)
    return Stored(
        w13.values,
        w2.values,
        quantization.scales(w13.scales.clone()),
        quantization.scales(w2.scales.clone()),
        weights.bias13,
        weights.bias2,
    )


def stored_in_turns(weights: Weights, hidden: int, inner: int) -> Stored:
    """mxfp4 parameters with gate and up rows in turns, padded with zeros to both sizes."""
    w13, w2 = weights.w13, weights.w2
    if not isinstance(w13, QuantizedWeights) or not isinstance(w2, QuantizedWeights):
        raise TypeError("the weights are not quantized")
    bias13, bias2 = weights.bias13, weights.bias2
    return Stored(
        _in_turns(w13.values, inner, hidden // 2),
        _grown(w2.values, hidden, inner // 2),
        _in_turns(w13.scales, inner, hidden // _GROUP),
        _grown(w2.scales, hidden, inner // _GROUP),
        None if bias13 is None else _in_turns(bias13[..., None], inner, 1)[..., 0],
        None if bias2 is None else _grown(bias2[..., None], hidden, 1)[..., 0],
    )


def nvfp4_scales(weights: Weights) -> dict[str, Tensor]:
    """Scales of experts [E] and inputs, by the names of the oracle's parameters."""
    meant = with_activations(weights)
    found: dict[str, Tensor] = {}
    for name, part in (("13", meant.w13), ("2", meant.w2)):
        if isinstance(part, QuantizedWeights):
            of_input, of_experts = scales_of(part)
            found[f"w{name}_scale_2"] = of_experts.clone()
            # Gate's and up's input have a scale each.
            shape = (len(of_experts), part.halves) if part.halves > 1 else (len(of_experts),)
            found[f"a{name}_scale"] = of_input.expand(shape).clone()
    return found


def _in_turns(rows: Tensor, inner: int, columns: int) -> Tensor:  # [E, 2I, k] to [E, 2 inner, ...]
    halves = [_grown(half, inner, columns) for half in rows.chunk(2, dim=1)]
    return torch.stack(halves, dim=2).flatten(1, 2).contiguous()


def _grown(tensor: Tensor, rows: int, columns: int) -> Tensor:  # [E, n, k] to [E, rows, columns]
    missing = (0, columns - tensor.shape[2], 0, rows - tensor.shape[1])
    return pad(tensor, missing).contiguous()
