"""vLLM's unquantized oracle until 0.19.1: a chain of ifs that names a backend and no class.

Source: fused_moe/oracle/unquantized.py of 0.16.0 and of 0.17.0 to 0.19.1. It does not look at
LoRA; the class follows later (unquantized_fused_moe_method.py).
"""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.oracle import map_explicit_name, parse_flag
from moe_doctor.oracle.engines.vllm.unquantized import tables
from moe_doctor.oracle.walk import Choice, Refused, Walk

# What make_unquantized_moe_kernel builds for each backend.
_RUNS = {
    tables.CUTLASS: "FlashInferExperts",
    "AITER": "AiterExperts",
    "XPU": "XPUExperts",
}
_NOT_AVAILABLE = {
    tables.TRTLLM: "FlashInfer TRTLLM MoE backend is not available for this configuration.",
    tables.CUTLASS: "FlashInfer CUTLASS MoE backend is not available for this configuration.",
    "AITER": "ROCm AITer MoE backend is not available for this configuration.",
}


def read_variable_first(walk: Walk) -> Choice | None:
    """Where FlashInfer could run, its variable is read before anything else, for its errors too."""
    if any(
        walk.judge(kernel) is None for kernel in ("flashinfer_fused_moe_bf16", "FlashInferExperts")
    ):
        parse_flag(walk.environment.get("VLLM_USE_FLASHINFER_MOE_FP16", "0"))
    return None


def take_explicit_name(walk: Walk) -> Choice | None:
    """`--moe-backend` (from 0.17.0) is read before the platform."""
    option = walk.situation.query.moe_backend
    if option == "auto":
        return None
    member = map_explicit_name(tables.EXPLICIT_NAMES, tables.WORDING, option, walk.release)
    walk.notes.append(f"--moe-backend {option} was asked for: no other backend is tried")
    if member in _NOT_AVAILABLE:
        kernel, _ = walk.ask(member)
        if kernel is None:
            raise Refused("ValueError", _NOT_AVAILABLE[member])
    return _choose(walk, member)


def follow_platform(walk: Walk) -> Choice | None:
    """On CUDA FlashInfer only when its variable asks for it; elsewhere one path."""
    platform = walk.situation.facts.platform
    if platform == "cuda":
        _gate_flashinfer(walk)
    for member in walk.order[:-1]:
        kernel, _ = walk.ask(member)
        if kernel is not None:
            return _choose(walk, member)
    return _choose(walk, walk.order[-1])


def _gate_flashinfer(walk: Walk) -> None:
    """FlashInfer is tried only with VLLM_USE_FLASHINFER_MOE_FP16=1 (default 0)."""
    if not parse_flag(walk.environment.get("VLLM_USE_FLASHINFER_MOE_FP16", "0")):
        walk.drop(tables.FLASHINFER, "VLLM_USE_FLASHINFER_MOE_FP16 is not 1")
        return
    # 0.17.0 added the second variable; it defaults to latency.
    name = walk.environment.get("VLLM_FLASHINFER_MOE_BACKEND", "latency")
    if walk.release >= (0, 17, 0) and name != "latency":
        walk.drop((tables.TRTLLM,), f"VLLM_FLASHINFER_MOE_BACKEND is {name}, not latency")


def _choose(walk: Walk, member: str) -> Choice:
    """The class that the release builds later, when it is one of the modular ones."""
    runs = _RUNS.get(member)
    if member == "TRITON":
        batched = walk.situation.activation_format == "batched"
        runs = "BatchedTritonExperts" if batched else "TritonExperts"
    value = walk.backends[member].value
    return Choice(member, None, f"Using {value} backend for Unquantized MoE", runs)
