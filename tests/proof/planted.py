"""Errors planted in a fused MoE on purpose: what a comparison must notice."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from moe_doctor.core.spec import RoutingSpec
from moe_doctor.kernels.reference import fused_moe_reference
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

GEOMETRY = Geometry(16, 16, 4, 4, 128, 64, 64, "silu", True, "bfloat16", "bfloat16")


@cache
def _layer(device: str, dtype: str, tokens: int) -> tuple[Weights, Batch, Tensor]:
    geometry = replace(GEOMETRY, dtype=dtype, dtype_model=dtype)
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


def planted_comparison(name: str, device: str, dtype: str, tokens: int = 1024) -> Comparison:
    """Compare the layer with the error `name` planted in it with the reference."""
    weights, batch, wanted = _layer(device, dtype, tokens)
    lora = batch.lora
    assert lora is not None
    w13, weights_k, ids = weights.w13, batch.topk_weights, batch.topk_ids
    if name == "one-wrong-expert":
        # One token is sent to another expert in one of its slots.
        ids = ids.clone()
        ids[7, 0] = next(expert for expert in range(16) if expert not in ids[7].tolist())
    elif name == "gate-and-up-swapped":
        gate, up = w13.chunk(2, dim=1)
        w13 = torch.cat((up, gate), dim=1)
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
    return compare(out, wanted, dtype=dtype, depth=GEOMETRY.hidden_size)


def _spoil(name: str, out: Tensor) -> None:
    if name == "one-dropped-token":
        out[3] = 0
    elif name == "unwritten-rows":
        out[-2:] = float("nan")
    elif name == "one-element-zero":
        # The largest of its row, so that zero is far from right.
        out[11, int(out[11].abs().argmax())] = 0
