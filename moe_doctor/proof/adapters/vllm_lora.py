"""Adapters as vLLM's experts apply them themselves: its LoRA context and its own kernels.

From 0.20.0 on an experts class with `LoRAExpertsMixin` adds the adapters between its GEMMs; before,
layers were patched around it (lora/layers/fused_moe.py). Here the context that a server's layer
builds is filled with our adapters. Child code.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from moe_doctor.proof.adapters.base import UnfitError
from moe_doctor.proof.adapters.vllm_session import LAYERS, ask

if TYPE_CHECKING:
    from moe_doctor.kernels.lora import LoRAWeights
    from moe_doctor.proof.case import Geometry

_CONTEXTS = ("fused_moe.experts.lora_context", "fused_moe.lora_context")
# From 0.22.0 on, and before.
_MOST_TOKENS = 1 << 17
# Of one batch: room for an id each.


def give_adapters(
    kernel: Any, adapters: LoRAWeights, geometry: Geometry, version: str
) -> Callable[[torch.Tensor], None]:
    """Hand `adapters` to the experts of a modular kernel; what tells it a batch's ids.

    Raises UnfitError where this release or this class does not apply adapters itself.
    """
    experts = kernel.fused_experts
    if not hasattr(experts, "set_lora_context"):
        raise UnfitError(f"{type(experts).__name__} of vLLM {version} takes no LoRA adapters")
    context = _context_class(version)
    punica = importlib.import_module("vllm.lora.punica_wrapper.punica_gpu")
    settings = importlib.import_module("vllm.config.lora").LoRAConfig(
        max_lora_rank=adapters.rank, max_loras=adapters.max_loras
    )
    device = adapters.a13.device
    wrapper = punica.PunicaWrapperGPU(
        _MOST_TOKENS, max_batches=256, device=device, lora_config=settings
    )
    # A server scales B when it loads an adapter (lora/lora_weights.py, optimize).
    factor = adapters.scaling.view(-1, 1, 1, 1).to(adapters.b13.dtype)
    halves = 2 if geometry.gated else 1
    pool = {
        "w13_lora_a_stacked": (adapters.a13,) * halves,
        "w13_lora_b_stacked": tuple(
            half.contiguous() for half in (adapters.b13 * factor).chunk(halves, dim=2)
        ),
        "w2_lora_a_stacked": (adapters.a2,),
        "w2_lora_b_stacked": (adapters.b2 * factor,),
        "adapter_enabled": torch.tensor(
            [1] * adapters.max_loras + [0], dtype=torch.int32, device=device
        ),
        "max_loras": adapters.max_loras,
        "top_k": geometry.top_k,
        "w13_num_slices": halves,
        "fully_sharded": False,
        "tp_rank": 0,
        "tp_size": 1,
        "local_num_experts": geometry.num_experts,
        "punica_wrapper": wrapper,
        "use_tuned_config": False,
    }
    experts.set_lora_context(ask(context, pool))
    # A server's warm-up runs with an adapter on every token: what it leaves behind is left here.
    wrapper.token_mapping_meta.prepare_tensors(
        torch.zeros(_MOST_TOKENS, dtype=torch.int32, device=device)
    )

    def load(lora_ids: torch.Tensor) -> None:
        wrapper.token_mapping_meta.prepare_tensors(lora_ids)

    return load


def knows_original_states(version: str) -> bool:
    """Whether adapters read the hidden states from before they were quantized (0.24.0 on)."""
    return "original_hidden_states" in getattr(_context_class(version), "__annotations__", {})


def _context_class(version: str) -> Any:
    for name in _CONTEXTS:
        try:
            return importlib.import_module(f"{LAYERS}.{name}").MoELoRAContext
        except ModuleNotFoundError:
            continue
    raise UnfitError(
        f"vLLM {version} applies adapters by patching its layer around the experts; "
        "a proof has the experts alone"
    )
