"""VLLM_FLASHINFER_MOE_BACKEND (until 0.23.0): get_flashinfer_moe_backend()."""

from __future__ import annotations

from moe_doctor.oracle.walk import Refused, Walk

_CHOICES = ("throughput", "latency", "masked_gemm")


def flashinfer_choice(walk: Walk, trtllm: str, cutlass: str, refusal: str) -> str:
    """The member that the variable names.

    `latency` means TRT-LLM on Blackwell and CUTLASS elsewhere; `masked_gemm` (CuTe DSL) raises
    `Refused` with the oracle's own sentence.
    """
    name = walk.environment["VLLM_FLASHINFER_MOE_BACKEND"]
    capability = walk.situation.facts.capability
    if name not in _CHOICES:
        raise Refused(
            "ValueError",
            f"Invalid value '{name}' for VLLM_FLASHINFER_MOE_BACKEND. "
            f"Valid options: {list(_CHOICES)}.",
        )
    if name == "masked_gemm":
        raise Refused("ValueError", refusal)
    if name == "latency" and capability is not None and capability[0] == 10:
        return trtllm
    return cutlass
