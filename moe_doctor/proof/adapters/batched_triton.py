"""Our Triton kernels in the batched activation format, between a dispatch and a combine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moe_doctor.kernels.schemes import find_scheme
from moe_doctor.proof.adapters.base import Question
from moe_doctor.proof.adapters.triton import TritonAdapter

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.inputs import Batch, Weights


class BatchedTritonAdapter(TritonAdapter):
    """`moe_doctor.kernels.batched`, the stand-in for an engine's batched Triton experts."""

    options = ("batched_triton",)
    implementation = "moe_doctor.kernels.batched"

    def unavailable(self, question: Question) -> str | None:
        """As our Triton kernels; a scale over all tokens would be one over the rows in use."""
        if find_scheme(question.scheme).activations == "tensor":
            return (
                f"{question.scheme} has one scale for all tokens; batches in this format come in "
                "parts"
            )
        return super().unavailable(question)

    def prepare(self, weights: Weights) -> Weights:
        """The plain layout; imported here, so that no case pays for it."""
        import moe_doctor.kernels.batched  # noqa: F401

        return weights

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        """Dispatch, both GEMMs, combine; rows that are not in use hold NaN."""
        from moe_doctor.proof.adapters.batches import in_parts

        return out.copy_(in_parts(batch, lambda part: _layer(layout, part)))


def _layer(weights: Weights, batch: Batch) -> Tensor:
    from moe_doctor.kernels.batched import batched_moe, combine, dispatch, lora_of_rows

    geometry = weights.geometry
    sent = dispatch(batch.hidden_states, batch.topk_ids, geometry.num_experts)
    rows = batched_moe(
        sent.rows,
        sent.counts,
        weights.w13,
        weights.w2,
        **weights.arguments(),
        lora=None if batch.lora is None else lora_of_rows(batch.lora, sent),
    )
    return combine(rows, sent.where, batch.topk_weights)
