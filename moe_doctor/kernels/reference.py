"""Slow, obvious fused MoE in fp32: what every proof is compared with.

Legend: T tokens, E experts, k experts per token, H hidden_size, I intermediate_size, R lora rank.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from moe_doctor.kernels.lora import LoRAWeights

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
    w13: Tensor,  # [E, 2I, H] gate rows then up rows; [E, I, H] when not gated
    w2: Tensor,  # [E, H, I]
    topk_weights: Tensor,  # [T, k] float32
    topk_ids: Tensor,  # [T, k] int; entries outside 0..E-1 contribute nothing
    *,
    activation: str = "silu",
    gated: bool = True,
    lora: LoRAWeights | None = None,
) -> Tensor:  # [T, H] float32
    """Return the layer's output in fp32, expert by expert, adapter by adapter."""
    act = ACTIVATIONS[activation]
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for expert in range(w13.shape[0]):
        token, slot = (topk_ids == expert).nonzero(as_tuple=True)  # [n], [n]
        if token.numel() == 0:
            continue
        rows = hidden_states[token].float()  # [n, H]
        up = rows @ w13[expert].float().T  # [n, 2I]
        if lora is not None:
            up += _delta(rows, lora.a13[:, expert], lora.b13[:, expert], lora, token)
        if gated:
            gate, up = up.chunk(2, dim=-1)  # [n, I] each
            inner = act(gate) * up
        else:
            inner = act(up)
        down = inner @ w2[expert].float().T  # [n, H]
        if lora is not None:
            down += _delta(inner, lora.a2[:, expert], lora.b2[:, expert], lora, token)
        output.index_add_(0, token, down * topk_weights[token, slot, None].float())
    return output


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
