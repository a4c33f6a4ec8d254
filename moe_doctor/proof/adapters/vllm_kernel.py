"""A kernel that vLLM made and how one batch is handed to it; child code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad

from moe_doctor.proof.adapters.base import UnfitError
from moe_doctor.proof.adapters.vllm_session import ask, poison_workspace

if TYPE_CHECKING:
    from moe_doctor.proof.inputs import Batch

_FAR = -1e9
# A router logit that no top-k takes and softmax makes zero of.
_SUM = 1e-3


def _nothing(batch: Batch) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class VllmKernel:
    """What is called, and what it is told with every batch."""

    name: str
    """`vllm.<module>.<class>` of the experts."""
    apply: Callable[..., Any]
    """`FusedMoEKernel.apply`, `apply_monolithic`, or a function that takes the same."""
    pool: Mapping[str, Any]
    """Weights in the kernel's layout, activation and expert count."""
    hidden_size: int = 0
    """H of a padded layer; 0 where it is not padded."""
    routed: tuple[int, int] | None = None
    """(E, k) where the kernel routes tokens itself, by a softmax over the k largest logits."""
    load_ids: Callable[[torch.Tensor], None] | None = None
    """Tells the kernel's adapters which token uses which; None without LoRA."""
    top_k: int = 0
    """k that every batch must have; 0 where any will do."""
    hint: Callable[[Batch], str] = _nothing
    """What is known about a wrong result of such a batch; may be empty."""

    def __call__(self, batch: Batch) -> torch.Tensor:  # [T, H]
        """The layer's output; the workspace that calls share is filled with NaN before.

        Raises UnfitError for routes that a kernel with a router of its own cannot be led to.
        """
        poison_workspace()
        states = batch.hidden_states
        missing = max(0, self.hidden_size - states.shape[1])
        routes = {"topk_weights": batch.topk_weights, "topk_ids": batch.topk_ids}
        if self.top_k and batch.topk_ids.shape[1] != self.top_k:
            raise UnfitError(f"its adapters' kernels take {self.top_k} experts for each token")
        if self.routed is not None:
            routes = {"router_logits": logits_for(batch, *self.routed)}
        if self.load_ids is not None and batch.lora is not None and not is_capturing(states):
            # Reads ids back to the host: a server does it before it replays a graph.
            self.load_ids(batch.lora.lora_ids)
        out: torch.Tensor = ask(
            self.apply, {**self.pool, **routes, "hidden_states": pad(states, (0, missing))}
        )
        return out[:, : states.shape[1]]


def logits_for(batch: Batch, num_experts: int, top_k: int) -> torch.Tensor:  # [T, E] float32
    """Router logits whose k largest, through softmax, are this batch's routes.

    Raises UnfitError where no logits lead to them: another k, or weights that do not add up to 1.
    """
    weights, ids = batch.topk_weights, batch.topk_ids
    if ids.shape[1] != top_k:
        raise UnfitError(f"this kernel routes each token to {top_k} experts by itself")
    # Nothing can be read back while a graph is captured; the same weights were looked at before.
    if not is_capturing(weights) and bool(((weights.sum(1) - 1).abs() > _SUM).any()):
        raise UnfitError("this kernel routes by itself, with weights that add up to 1")
    logits = torch.full((len(ids), num_experts), _FAR, device=ids.device)
    return logits.scatter_(1, ids.long(), torch.log(weights.clamp_min(1e-30)))


def is_capturing(tensor: torch.Tensor) -> bool:
    """Whether a CUDA graph is being captured on the tensor's device."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()
