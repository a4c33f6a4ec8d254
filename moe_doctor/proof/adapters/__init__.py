"""One file per backend that can be proved: its layout of weights, its call, what it needs.

The parent asks an adapter why it cannot run here, so a module of this folder imports torch and
its backend inside methods only.
"""

from __future__ import annotations

from moe_doctor.proof.adapters.base import Adapter
from moe_doctor.proof.adapters.batched_triton import BatchedTritonAdapter
from moe_doctor.proof.adapters.deep_gemm import DeepGemmAdapter
from moe_doctor.proof.adapters.flashinfer_cutlass import FlashInferCutlassAdapter
from moe_doctor.proof.adapters.flashinfer_trtllm import FlashInferTrtllmAdapter
from moe_doctor.proof.adapters.reference import ReferenceAdapter
from moe_doctor.proof.adapters.triton import TritonAdapter
from moe_doctor.proof.adapters.vllm import VLLM_ADAPTERS, vllm_is_installed

ADAPTERS: tuple[Adapter, ...] = (
    TritonAdapter(),
    BatchedTritonAdapter(),
    FlashInferCutlassAdapter(),
    FlashInferTrtllmAdapter(),
    DeepGemmAdapter(),
    ReferenceAdapter(),
)
"""Every adapter of ours, in the order in which `--backend all` proves them."""


def find_adapters(backend_option: str) -> tuple[Adapter, ...]:
    """The adapters that answer to a `--moe-backend` value, the engine's own before our stand-in."""
    engine: tuple[Adapter, ...] = VLLM_ADAPTERS if vllm_is_installed() else ()
    return tuple(a for a in (*engine, *ADAPTERS) if backend_option in a.options)
