"""Slow, obvious fused MoE in fp32: what every proof is compared with.

Legend: T tokens, E experts, k experts per token, H hidden_size, I intermediate_size, R lora rank.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from moe_doctor.kernels.activations import Activation, resolve
from moe_doctor.kernels.lora import LoRAWeights
from moe_doctor.kernels.quantized import QuantizedWeights, requantize_rows

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
}
"""Nonlinearities by the name that `MoESpec.activation` uses."""


def fused_moe_reference(
    hidden_states: Tensor,  # [T, H]
    w13: Tensor | QuantizedWeights,  # [E, 2I, H] gate rows then up rows; [E, I, H] when not gated
    w2: Tensor | QuantizedWeights,  # [E, H, I]
    topk_weights: Tensor,  # [T, k] float32
    topk_ids: Tensor,  # [T, k] int; entries outside 0..E-1 contribute nothing
    *,
    activation: str = "silu",
    gated: bool = True,
    limit: float | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    bias13: Tensor | None = None,  # [E, 2I or I]
    bias2: Tensor | None = None,  # [E, H]
    lora: LoRAWeights | None = None,
) -> Tensor:  # [T, H] float32
    """Return the layer's output in fp32, expert by expert, adapter by adapter.

    Quantized weights are dequantized to fp32. Where the scheme quantizes activations too, tokens
    and inner activations go through its rule (`quantized.requantize_rows`) before each projection,
    inner ones after being rounded to the dtype of the hidden states, as every engine hands them
    over; adapters read them unquantized. So an error against this is one of accumulation and of
    rounded intermediates, never of the quantization itself.
    """
    act = resolve(activation, gated, limit, alpha, beta)
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    seen = as_seen(hidden_states.float(), w13)  # [T, H]
    inner: dict[int, Tensor] = {}
    for expert in range(w13.shape[0]):
        token, _ = (topk_ids == expert).nonzero(as_tuple=True)  # [n]
        if token.numel() == 0:
            continue
        up = seen[token] @ matrix(w13, expert).T  # [n, 2I]
        if lora is not None:
            rows = hidden_states[token].float()
            up += _delta(rows, lora.a13[:, expert], lora.b13[:, expert], lora, token)
        if bias13 is not None:
            up += bias13[expert].float()
        inner[expert] = activate(up, act)  # [n, I]
        if isinstance(w2, QuantizedWeights) and w2.scheme.quantizes_activations:
            inner[expert] = inner[expert].to(hidden_states.dtype).float()
        if not _needs_all(w2):
            _add_down(output, inner, w2, topk_weights, topk_ids, expert, bias2, lora)
    if _needs_all(w2) and inner:
        # One scale for the rows of all experts.
        together = as_seen(torch.cat(list(inner.values())), w2)
        parts = torch.split(together, [len(rows) for rows in inner.values()])
        for expert, part in zip(tuple(inner), parts, strict=True):
            _add_down(output, inner, w2, topk_weights, topk_ids, expert, bias2, lora, part)
    return output


def _add_down(
    output: Tensor,  # [T, H], added to
    inner: dict[int, Tensor],  # [n, I] of each expert; the one used is taken out
    w2: Tensor | QuantizedWeights,
    topk_weights: Tensor,
    topk_ids: Tensor,
    expert: int,
    bias2: Tensor | None,
    lora: LoRAWeights | None,
    seen: Tensor | None = None,  # [n, I] as the scheme's projection sees it
) -> None:
    rows = inner.pop(expert)
    token, slot = (topk_ids == expert).nonzero(as_tuple=True)  # [n], [n]
    down = (as_seen(rows, w2) if seen is None else seen) @ matrix(w2, expert).T  # [n, H]
    if lora is not None:
        down += _delta(rows, lora.a2[:, expert], lora.b2[:, expert], lora, token)
    if bias2 is not None:
        down += bias2[expert].float()
    output.index_add_(0, token, down * topk_weights[token, slot, None].float())


def activate(up: Tensor, act: Activation) -> Tensor:  # [n, 2I or I] to [n, I]
    """The activation as plain torch operators."""
    function = ACTIVATIONS[act.name]
    if not act.gated:
        return function(up)
    gate, up = up.chunk(2, dim=-1)
    if act.limit:
        gate, up = gate.clamp(max=act.limit), up.clamp(-act.limit, act.limit)
    acted = gate * torch.sigmoid(act.alpha * gate) if act.alpha != 1.0 else function(gate)
    return acted * (up + act.beta)


def matrix(weights: Tensor | QuantizedWeights, expert: int) -> Tensor:  # [N, K] float32
    """One expert's weights in fp32, as they are meant."""
    if isinstance(weights, QuantizedWeights):
        return weights.expert(expert)
    return weights[expert].float()


def as_seen(rows: Tensor, weights: Tensor | QuantizedWeights) -> Tensor:  # [n, K] float32
    """Rows as a projection with these weights sees them."""
    if isinstance(weights, QuantizedWeights):
        return requantize_rows(rows, weights.scheme, weights.input_scale)
    return rows


def _needs_all(weights: Tensor | QuantizedWeights) -> bool:
    return isinstance(weights, QuantizedWeights) and weights.scheme.activations == "tensor"


def _delta(
    rows: Tensor,  # [n, in] float32
    a: Tensor,  # [L, R, in]
    b: Tensor,  # [L, out, R]
    lora: LoRAWeights,
    token: Tensor,  # [n]
) -> Tensor:  # [n, out] float32
    delta = torch.zeros(rows.shape[0], b.shape[1], dtype=torch.float32, device=rows.device)
    adapters = lora.lora_ids[token]  # [n]
    for adapter in range(lora.max_loras):
        mine = adapters == adapter
        if bool(mine.any()):
            shrunk = rows[mine] @ a[adapter].float().T
            delta[mine] = lora.scaling[adapter].float() * (shrunk @ b[adapter].float().T)
    return delta
