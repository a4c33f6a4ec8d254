"""Errors planted in a fused MoE on purpose: what a comparison must notice."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from moe_doctor.core.spec import RoutingSpec
from moe_doctor.kernels.quantized import QuantizedWeights
from moe_doctor.kernels.reference import fused_moe_reference
from moe_doctor.kernels.schemes import NONE, find_scheme
from moe_doctor.proof.case import Geometry, LoRASetup, ProofCase
from moe_doctor.proof.compare import Comparison, compare
from moe_doctor.proof.inputs import Batch, Weights, make_batch, make_weights

PLANTED = (
    "one-wrong-expert",
    "one-dropped-token",
    "gate-and-up-swapped",
    "scale-off-by-two",
    "unwritten-rows",
    "one-element-zero",
    "wrong-adapter",
    "adapter-ignored",
    "one-slot-dropped",
)
"""Every planted error; `none` is the same computation left alone."""

PLANTED_SCALES = ("one-experts-scales-doubled", "neighbours-scale")
"""Errors that only quantized weights can have."""

PLANTED_ZEROS = ("zero-point-off-by-one",)
"""And those of int4 alone."""

SCHEMES = (
    "fp8_tensor_static",
    "fp8_tensor",
    "fp8_channel",
    "fp8_block_32x32",
    "int8_channel",
    "int8_weight_channel",
    "int4_g32",
    "int4_g64_zeros",
    "mxfp4",
    "nvfp4",
)
"""One of every kind, with several groups in the small layer."""

GEOMETRY = Geometry(16, 16, 4, 4, 128, 64, 64, "silu", True, "bfloat16", "bfloat16")


def planted_names(scheme: str) -> tuple[str, ...]:
    """The errors that weights of a scheme can have."""
    if scheme == NONE:
        return PLANTED
    zeros = PLANTED_ZEROS if scheme.startswith("int4") else ()
    return PLANTED + PLANTED_SCALES + zeros


@cache
def _layer(device: str, dtype: str, tokens: int, scheme: str) -> tuple[Weights, Batch, Tensor]:
    geometry = replace(GEOMETRY, dtype=dtype, dtype_model=dtype, scheme=scheme)
    weights = make_weights(geometry, LoRASetup((16, 8), (2.0, 0.5)), torch.device(device))
    batch = make_batch(ProofCase("random", tokens, "random", 3, "mixed"), weights, RoutingSpec())
    wanted = fused_moe_reference(
        batch.hidden_states,
        weights.w13,
        weights.w2,
        batch.topk_weights,
        batch.topk_ids,
        lora=batch.lora,
    )
    return weights, batch, wanted


def planted_comparison(
    name: str, device: str, dtype: str, tokens: int = 1024, scheme: str = NONE
) -> Comparison:
    """Compare the layer with the error `name` planted in it with the reference."""
    weights, batch, wanted = _layer(device, dtype, tokens, scheme)
    lora = batch.lora
    assert lora is not None
    w13, weights_k, ids = weights.w13, batch.topk_weights, batch.topk_ids
    if name == "one-wrong-expert":
        # One token is sent to another expert in one of its slots.
        ids = ids.clone()
        ids[7, 0] = next(expert for expert in range(16) if expert not in ids[7].tolist())
    elif name == "gate-and-up-swapped":
        w13 = _swap_halves(w13)
    elif name in PLANTED_SCALES or name in PLANTED_ZEROS:
        assert isinstance(w13, QuantizedWeights)
        w13 = _spoil_scales(name, w13)
    elif name == "scale-off-by-two":
        weights_k = weights_k.clone()
        weights_k[5, 0] *= 2
    elif name == "one-slot-dropped":
        weights_k = weights_k.clone()
        weights_k[9, 1] = 0
    elif name in ("wrong-adapter", "adapter-ignored"):
        lora_ids = lora.lora_ids.clone()
        lora_ids[4] = {"wrong-adapter": 1 - int(lora_ids[4]), "adapter-ignored": -1}[name]
        assert int(lora.lora_ids[4]) >= 0
        lora = type(lora)(lora.a13, lora.b13, lora.a2, lora.b2, lora.scaling, lora_ids)
    out = fused_moe_reference(batch.hidden_states, w13, weights.w2, weights_k, ids, lora=lora).to(
        getattr(torch, dtype)
    )
    _spoil(name, out)
    return compare(out, wanted, dtype=dtype, depth=GEOMETRY.hidden_size, scheme=scheme)


def _swap_halves(w13: Tensor | QuantizedWeights) -> Tensor | QuantizedWeights:
    if isinstance(w13, Tensor):
        return torch.cat(w13.chunk(2, dim=1)[::-1], dim=1)
    values, scales, zeros = (
        part if part is None or part.shape[1] == 1 else torch.cat(part.chunk(2, dim=1)[::-1], dim=1)
        for part in (w13.values, w13.scales, w13.zeros)
    )
    return replace(w13, values=values, scales=scales, zeros=zeros)


def _spoil_scales(name: str, w13: QuantizedWeights) -> QuantizedWeights:
    scales = w13.scales.clone()
    if name == "one-experts-scales-doubled":
        # An exponent of e8m0 grows by one.
        if w13.expert_scales is not None:
            spoiled = w13.expert_scales.clone()
            spoiled[3] *= 2
            return replace(w13, expert_scales=spoiled)
        scales[3] = scales[3] + 1 if w13.scheme.weights == "mxfp4" else scales[3] * 2
        return replace(w13, scales=scales)
    if name == "neighbours-scale":
        # The next group of columns, or of rows, or the next expert where there is no other.
        axis = next((axis for axis in (2, 1) if scales.shape[axis] > 1), 0)
        rolled = scales.float().roll(1, dims=axis).to(scales.dtype)
        return replace(w13, scales=rolled)
    zeros = w13.zeros if w13.zeros is not None else torch.full_like(scales, 8, dtype=torch.uint8)
    with_zeros = find_scheme(w13.scheme.name.removesuffix("_zeros") + "_zeros")
    return replace(w13, scheme=with_zeros, zeros=zeros + 1)


def _spoil(name: str, out: Tensor) -> None:
    if name == "one-dropped-token":
        out[3] = 0
    elif name == "unwritten-rows":
        out[-2:] = float("nan")
    elif name == "one-element-zero":
        # The largest of its row, so that zero is far from right.
        out[11, int(out[11].abs().argmax())] = 0
