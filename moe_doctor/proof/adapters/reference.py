"""Plain torch on the CPU in the model's dtype, with adapters merged into the weights.

It is another computation than the fp32 reference that it is compared with: per pair instead of per
expert, in the model's dtype, and LoRA as a merge instead of two thin GEMMs. Quantized weights are
dequantized to that dtype; activations go through their scheme's rule one token at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.record import record
from moe_doctor.kernels.activations import SWIGLU_OAI, resolve
from moe_doctor.kernels.schemes import NONE, find_scheme
from moe_doctor.proof.adapters.base import PlainAdapter, Question, missing_kernels

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.inputs import Batch, Weights


class ReferenceAdapter(PlainAdapter):
    """Torch operators, one (token, slot) pair at a time."""

    options = ("reference", "cpu")
    implementation = "torch"
    repeatable = True

    def mode(self, machine: MachineSnapshot) -> str:
        """Always the CPU."""
        return "cpu"

    def unavailable(self, question: Question) -> str | None:
        """Needs torch; knows what the reference knows."""
        if question.activation not in ("silu", "gelu", "gelu_tanh", "relu", "relu2", *SWIGLU_OAI):
            return f"activation is {question.activation}; the torch reference does not have it"
        if find_scheme(question.scheme).activations == "tensor":
            return f"{question.scheme} has one scale for all tokens; this runs one token at a time"
        if question.lora and find_scheme(question.scheme).quantizes_activations:
            return (
                "adapters read unquantized activations, so none can be merged into "
                f"{question.scheme} weights"
            )
        return missing_kernels(question.machine, "torch")

    def environment(self, machine: MachineSnapshot) -> dict[str, str]:
        """Keeps torch off the GPU."""
        return {"CUDA_VISIBLE_DEVICES": ""}

    def prepare(self, weights: Weights) -> _Layout:
        """Every expert's weights in the model's dtype."""
        import torch

        from moe_doctor.kernels.reference import matrix

        dtype = getattr(torch, weights.geometry.dtype)
        if weights.geometry.scheme == NONE:
            return _Layout(weights, *weights.plain())
        return _Layout(
            weights,
            torch.stack([matrix(weights.w13, e).to(dtype) for e in range(weights.w13.shape[0])]),
            torch.stack([matrix(weights.w2, e).to(dtype) for e in range(weights.w2.shape[0])]),
        )

    def run(self, layout: _Layout, batch: Batch, out: Tensor) -> Tensor:
        """Sum of weight * w2 @ act(w13 @ x) over each token's slots."""
        from moe_doctor.kernels.reference import activate, as_seen

        weights, dtype = layout.weights, out.dtype
        geometry = weights.geometry
        act = resolve(
            geometry.activation,
            geometry.gated,
            *((geometry.limit, geometry.alpha, geometry.beta) if geometry.gated else (None,) * 3),
        )
        for token in range(batch.hidden_states.shape[0]):
            total = batch.hidden_states.new_zeros(out.shape[1]).float()
            x = as_seen(batch.hidden_states[token : token + 1].float(), weights.w13).to(dtype)
            for slot in range(batch.topk_ids.shape[1]):
                expert = int(batch.topk_ids[token, slot])
                w13, w2 = _merged(layout, batch, token, expert)
                inner = x @ w13.T
                if weights.bias13 is not None:
                    inner += weights.bias13[expert]
                inner = as_seen(activate(inner, act).float(), weights.w2).to(dtype)
                down = inner @ w2.T
                if weights.bias2 is not None:
                    down += weights.bias2[expert]
                total += batch.topk_weights[token, slot] * down[0].float()
            out[token] = total.to(dtype)
        return out


@record
class _Layout:
    """The weights as they were made, and both projections in the model's dtype."""

    weights: Weights
    w13: Tensor
    w2: Tensor


def _merged(layout: _Layout, batch: Batch, token: int, expert: int) -> tuple[Tensor, Tensor]:
    w13, w2, lora = layout.w13[expert], layout.w2[expert], batch.lora
    if lora is None or int(lora.lora_ids[token]) < 0:
        return w13, w2
    adapter = int(lora.lora_ids[token])
    scaling = lora.scaling[adapter]
    delta13 = scaling * (lora.b13[adapter, expert].float() @ lora.a13[adapter, expert].float())
    delta2 = scaling * (lora.b2[adapter, expert].float() @ lora.a2[adapter, expert].float())
    return (w13.float() + delta13).to(w13.dtype), (w2.float() + delta2).to(w2.dtype)
