"""Plain torch on the CPU in the model's dtype, with adapters merged into the weights.

It is another computation than the fp32 reference that it is compared with: per pair instead of per
expert, in the model's dtype, and LoRA as a merge instead of two thin GEMMs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.proof.adapters.base import Question, missing_kernels

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.inputs import Batch, Weights


class ReferenceAdapter:
    """Torch operators, one (token, slot) pair at a time."""

    options = ("reference", "cpu")
    implementation = "torch"

    def mode(self, machine: MachineSnapshot) -> str:
        """Always the CPU."""
        return "cpu"

    def unavailable(self, question: Question) -> str | None:
        """Needs torch; knows what the reference knows."""
        if question.activation not in ("silu", "gelu", "gelu_tanh", "relu", "relu2"):
            return f"activation is {question.activation}; the torch reference does not have it"
        return missing_kernels(question.machine, "torch")

    def environment(self, machine: MachineSnapshot) -> dict[str, str]:
        """Keeps torch off the GPU."""
        return {"CUDA_VISIBLE_DEVICES": ""}

    def prepare(self, weights: Weights) -> Weights:
        """The plain layout."""
        return weights

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        """Sum of weight * w2 @ act(w13 @ x) over each token's slots."""
        from moe_doctor.kernels.reference import ACTIVATIONS

        act = ACTIVATIONS[layout.geometry.activation]
        for token in range(batch.hidden_states.shape[0]):
            total = batch.hidden_states.new_zeros(out.shape[1]).float()
            for slot in range(batch.topk_ids.shape[1]):
                w13, w2 = _merged(layout, batch, token, int(batch.topk_ids[token, slot]))
                inner = w13 @ batch.hidden_states[token]
                if layout.geometry.gated:
                    gate, up = inner.chunk(2)
                    inner = act(gate) * up
                else:
                    inner = act(inner)
                total += batch.topk_weights[token, slot] * (w2 @ inner).float()
            out[token] = total.to(out.dtype)
        return out


def _merged(layout: Weights, batch: Batch, token: int, expert: int) -> tuple[Tensor, Tensor]:
    w13, w2, lora = layout.w13[expert], layout.w2[expert], batch.lora
    if lora is None or int(lora.lora_ids[token]) < 0:
        return w13, w2
    adapter = int(lora.lora_ids[token])
    scaling = lora.scaling[adapter]
    delta13 = scaling * (lora.b13[adapter, expert].float() @ lora.a13[adapter, expert].float())
    delta2 = scaling * (lora.b2[adapter, expert].float() @ lora.a2[adapter, expert].float())
    return (w13.float() + delta13).to(w13.dtype), (w2.float() + delta2).to(w2.dtype)
