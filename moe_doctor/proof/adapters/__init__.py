"""One file per backend that can be proved: its layout of weights, its call, what it needs.

The parent asks an adapter why it cannot run here, so a module of this folder imports torch and
its backend inside methods only.
"""

from __future__ import annotations

from moe_doctor.proof.adapters.base import Adapter
from moe_doctor.proof.adapters.flashinfer_cutlass import FlashInferCutlassAdapter
from moe_doctor.proof.adapters.reference import ReferenceAdapter
from moe_doctor.proof.adapters.triton import TritonAdapter

ADAPTERS: tuple[Adapter, ...] = (TritonAdapter(), FlashInferCutlassAdapter(), ReferenceAdapter())
"""Every adapter, in the order in which `--backend all` proves them."""


def find_adapter(backend_option: str) -> Adapter | None:
    """The adapter that answers to a `--moe-backend` value, or None."""
    return next((a for a in ADAPTERS if backend_option in a.options), None)
