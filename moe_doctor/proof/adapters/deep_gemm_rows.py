"""A fused MoE around a grouped fp8 GEMM over contiguous rows; child code, no host synchronisation.

The GEMM is told an expert for every row; rows of one expert follow one another and begin at a
multiple of its alignment. Rows between and after are -1 or zeros (DeepGEMM 2, vLLM 0.20.0
fused_moe/deep_gemm_utils.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from moe_doctor.kernels.activations import resolve
from moe_doctor.kernels.quantized import FP8_MAX, SCALE_FLOOR, QuantizedWeights
from moe_doctor.kernels.reference import activate

if TYPE_CHECKING:
    from moe_doctor.proof.inputs import Batch, Weights

_GROUP = 128


@dataclass(frozen=True, slots=True)
class GroupedGemm:
    """One layer's weights and the GEMM that multiplies with them."""

    weights: Weights
    """fp8 blocks of 128 x 128."""
    function: Callable[..., Any]
    """(a, a scales), (b, b scales), out, expert of each row."""
    alignment: int
    """Rows at which an expert may begin."""

    def __call__(self, batch: Batch) -> Tensor:  # [T, H]
        """The layer's output."""
        geometry = self.weights.geometry
        place, experts = placed(batch.topk_ids, geometry.num_experts, self.alignment)
        rows = batch.hidden_states.new_zeros(experts.numel(), geometry.hidden_size)
        rows[place.flatten()] = batch.hidden_states.repeat_interleave(place.shape[1], 0)
        inner = self._multiply(rows, self.weights.w13, experts)
        act = resolve(
            geometry.activation,
            geometry.gated,
            *((geometry.limit, geometry.alpha, geometry.beta) if geometry.gated else (None,) * 3),
        )
        acted = activate(inner.float(), act).to(rows.dtype)
        down = self._multiply(acted, self.weights.w2, experts)[place].float()  # [T, k, H]
        summed: Tensor = (down * batch.topk_weights[..., None]).sum(1)
        return summed.to(batch.hidden_states.dtype)

    def _multiply(self, rows: Tensor, w: Tensor | QuantizedWeights, experts: Tensor) -> Tensor:
        if not isinstance(w, QuantizedWeights):
            raise TypeError("the weights are not quantized")
        out = rows.new_empty(len(rows), w.shape[1])
        self.function(quantized_rows(rows), (w.values, w.scales), out, experts)
        return out


def placed(topk_ids: Tensor, num_experts: int, alignment: int) -> tuple[Tensor, Tensor]:
    """Where each pair's row goes, [T, k], and the expert of every row, -1 past the last.

    The number of rows depends on the number of pairs alone.
    """
    flat = topk_ids.flatten().long()
    counts = (flat[:, None] == torch.arange(num_experts, device=flat.device)).sum(0)
    padded = (counts + alignment - 1) // alignment * alignment
    ends = padded.cumsum(0)
    order = flat.argsort(stable=True)
    rank = torch.empty_like(flat)
    rank[order] = torch.arange(flat.numel(), device=flat.device)
    before = counts.cumsum(0) - counts
    place = (ends - padded)[flat] + rank - before[flat]
    used = min(num_experts, flat.numel())
    most = (flat.numel() + used * (alignment - 1)) // alignment * alignment
    row = torch.arange(most, device=flat.device)
    experts = torch.searchsorted(ends, row, right=True)
    return place.view(topk_ids.shape), torch.where(experts < num_experts, experts, -1).int()


def quantized_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """e4m3 values and float32 scales [n, K / 128], by the rule of the reference."""
    groups = rows.float().view(len(rows), -1, _GROUP)
    largest = groups.abs().amax(2).clamp_min(SCALE_FLOOR)
    scale = largest / torch.full_like(largest, FP8_MAX)
    codes = (groups / scale[..., None]).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
    return codes.flatten(1), scale
