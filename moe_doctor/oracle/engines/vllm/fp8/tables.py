"""vLLM's FP8 oracle as tables: backends, order of preference, explicit names.

Source: fused_moe/oracle/fp8.py of each release. The steps that read these tables are in `steps.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from moe_doctor.backends.fp8_formats import BLOCK
from moe_doctor.backends.situation import Situation
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.noted import look
from moe_doctor.core.query import Parallel
from moe_doctor.core.release import Release, Span, span
from moe_doctor.oracle.engines.vllm.oracle import BackendRow, ExplicitName, Wording, backend_row

WORDING = Wording("FP8", "Fp8", "FP8")

TRTLLM = "FLASHINFER_TRTLLM"
CUTLASS = "FLASHINFER_CUTLASS"
FLASHINFER = (TRTLLM, CUTLASS)
DEEP_GEMM = ("DEEPGEMM", "BATCHED_DEEPGEMM")
VLLM_CUTLASS = ("VLLM_CUTLASS", "BATCHED_VLLM_CUTLASS")
TRTLLM_FUNCTION = "is_supported_config_trtllm_fp8"

_AITER_0_33 = ("AiterFp8BlockExperts", "AiterFp8TensorExperts", "AiterFp8ChannelExperts")
_TRTLLM_0_18 = ("TrtLlmFp8ExpertsMonolithic", "TrtLlmFp8ExpertsModular")
_HUMMING = ("BatchedHummingGroupedExperts", "HummingGroupedExperts", "HummingIndexedExperts")


def _named(
    member: str, kernels: tuple[str, ...], option: str, until: str = ""
) -> tuple[BackendRow, ...]:
    """A backend of every release, which `--moe-backend` can name from 0.17.0 on."""
    return (
        backend_row(member, member, kernels, None, until="0.16.0"),
        backend_row(member, member, kernels, option, "0.17.0", until),
    )


BACKENDS: tuple[BackendRow, ...] = (
    backend_row("NONE", "NONE", (), None),
    *_named("AITER", ("AiterExperts",), "aiter", "0.32.0"),
    backend_row("AITER", "AITER", _AITER_0_33, "aiter", since="0.33.0"),
    backend_row(TRTLLM, TRTLLM, (TRTLLM_FUNCTION,), None, until="0.16.0"),
    backend_row(TRTLLM, TRTLLM, ("TrtLlmFp8Experts",), "flashinfer_trtllm", "0.17.0", "0.17.1"),
    backend_row(TRTLLM, TRTLLM, _TRTLLM_0_18, "flashinfer_trtllm", since="0.18.0"),
    *_named(CUTLASS, ("FlashInferExperts",), "flashinfer_cutlass"),
    *_named("DEEPGEMM", ("TritonOrDeepGemmExperts",), "deep_gemm"),
    *_named("BATCHED_DEEPGEMM", ("BatchedDeepGemmExperts",), "deep_gemm"),
    *_named("VLLM_CUTLASS", ("TritonOrCutlassExperts",), "cutlass"),
    *_named("BATCHED_VLLM_CUTLASS", ("CutlassBatchedExpertsFp8",), "cutlass"),
    *_named("TRITON", ("TritonExperts",), "triton"),
    *_named("BATCHED_TRITON", ("BatchedTritonExperts",), "triton"),
    *_named("MARLIN", ("MarlinExperts",), "marlin"),
    backend_row("HUMMING", "HUMMING", _HUMMING, "humming", since="0.25.0"),
    backend_row("XPU", "XPU", ("XPUExpertsFp8",), None, until="0.21.0"),
    backend_row("XPU", "XPU", ("XPUExpertsFp8", "XPUExpertsMxfp8"), None, "0.22.0", "0.22.1"),
    backend_row(
        "XPU", "XPU", ("XPUExpertsFp8", "XPUExpertsMxFp8", "XPUExpertsBlockFp8"), None, "0.23.0"
    ),
    backend_row("CPU", "CPU", ("CPUExpertsFp8",), None, since="0.21.0"),
    backend_row("CPU_W8A8", "CPU_W8A8", ("CPUExpertsFp8W8A8",), None, since="0.31.0"),
    backend_row("HPC", "HPC", ("HPCExperts",), "hpc", since="0.25.0"),
)


# In the order of the error message of map_fp8_backend.
EXPLICIT_NAMES: tuple[ExplicitName, ...] = (
    ExplicitName("triton", "TRITON", span("0.17.0")),
    ExplicitName("deep_gemm", "DEEPGEMM", span("0.17.0")),
    ExplicitName("cutlass", "VLLM_CUTLASS", span("0.17.0")),
    ExplicitName("flashinfer_trtllm", TRTLLM, span("0.17.0")),
    ExplicitName("flashinfer_cutlass", CUTLASS, span("0.17.0")),
    ExplicitName("marlin", "MARLIN", span("0.17.0")),
    ExplicitName("humming", "HUMMING", span("0.25.0")),
    ExplicitName("aiter", "AITER", span("0.17.0")),
    ExplicitName("hpc", "HPC", span("0.25.0")),
)

# An explicit name means the batched variant where the dispatch hands over that format.
BATCHED_VARIANTS = {
    "DEEPGEMM": "BATCHED_DEEPGEMM",
    "TRITON": "BATCHED_TRITON",
    "VLLM_CUTLASS": "BATCHED_VLLM_CUTLASS",
}


class Place(NamedTuple):
    """One backend's place in the order of preference, the same on every platform."""

    member: str
    """Member."""
    span: Span
    """Releases."""


ORDER: tuple[Place, ...] = (
    Place("AITER", span()),
    Place(TRTLLM, span()),
    Place(CUTLASS, span()),
    Place("DEEPGEMM", span()),
    # 0.16.0 has each batched variant beside its own backend
    Place("BATCHED_DEEPGEMM", span(until="0.16.0")),
    Place("VLLM_CUTLASS", span()),
    Place("BATCHED_VLLM_CUTLASS", span(until="0.16.0")),
    Place("TRITON", span()),
    Place("BATCHED_TRITON", span(until="0.16.0")),
    Place("MARLIN", span()),
    Place("HUMMING", span("0.25.0")),
    Place("BATCHED_DEEPGEMM", span("0.17.0")),
    Place("BATCHED_VLLM_CUTLASS", span("0.17.0")),
    Place("BATCHED_TRITON", span("0.17.0")),
    Place("XPU", span()),
    Place("CPU_W8A8", span("0.31.0")),
    Place("CPU", span("0.21.0")),
    Place("HPC", span("0.25.0")),
)


class Promotion(NamedTuple):
    """A backend that moves up in some situation."""

    member: str
    """What moves."""
    when: Callable[[Situation], bool]
    """The situation."""
    span: Span
    """Releases."""
    ahead_of: str | None = None
    """It stops before this backend; None = it goes to the front."""


def _is_block(situation: Situation) -> bool:
    quant = situation.query.quant
    return quant is not None and (quant.weight_key, quant.activation_key) == BLOCK


def _is_hopper(situation: Situation) -> bool:
    facts = situation.facts
    return facts.platform == "cuda" and facts.capability == (9, 0)


def _is_blackwell_behind_deepep_v2(situation: Situation) -> bool:
    facts = situation.facts
    return (
        facts.platform == "cuda"
        and facts.capability is not None
        and facts.capability[0] == 10
        and situation.all2all == "deepep_v2"
        and _is_block(situation)
    )


def _is_hopper_block_with_ep(situation: Situation) -> bool:
    return _is_hopper(situation) and _is_block(situation) and _is_spread(situation)


def _is_hopper_block_without_ep(situation: Situation) -> bool:
    return _is_hopper(situation) and _is_block(situation) and not _is_spread(situation)


def _is_spread(situation: Situation) -> bool:
    return look(situation.query.parallel, _has_groups)


def _has_groups(parallel: Parallel) -> bool:
    return parallel.ep_size > 1


def _is_xpu(situation: Situation) -> bool:
    return situation.facts.platform == "xpu"


def _is_cpu(situation: Situation) -> bool:
    return situation.facts.platform == "cpu"


# In the order of _get_priority_backends: a later one ends up further in front.
PROMOTIONS: tuple[Promotion, ...] = (
    # humming/priority.py: Humming outranks Marlin on capability 9.0
    Promotion("HUMMING", _is_hopper, span("0.32.0"), ahead_of="MARLIN"),
    # DeepEP v2 pads to the worst case; TRT-LLM skips whole padding tiles
    Promotion(TRTLLM, _is_blackwell_behind_deepep_v2, span("0.24.0")),
    # On Hopper block FP8 goes to Triton with TP and to FlashInfer CUTLASS with EP.
    Promotion(CUTLASS, _is_hopper_block_with_ep, span("0.17.0")),
    Promotion("TRITON", _is_hopper_block_without_ep, span("0.17.0")),
    Promotion("XPU", _is_xpu, span("0.18.0")),
    Promotion("CPU", _is_cpu, span("0.21.0")),
    Promotion("CPU_W8A8", _is_cpu, span("0.31.0")),
)


@lru_cache(maxsize=64)
def base_order(release: Release) -> tuple[str, ...]:
    """The release's backends before any promotion."""
    return tuple(place.member for place in ORDER if place.span.holds(release))


@lru_cache(maxsize=64)
def promotions(release: Release) -> tuple[Promotion, ...]:
    """The promotions that the release has."""
    return tuple(one for one in PROMOTIONS if one.span.holds(release))


def order(situation: Situation, release: Release) -> list[str]:
    """The release's _get_priority_backends() for this situation."""
    members = list(base_order(release))
    for promotion in promotions(release):
        if promotion.when(situation):
            members.remove(promotion.member)
            ahead = promotion.ahead_of
            members.insert(0 if ahead is None else members.index(ahead), promotion.member)
    return members


# should_auto_disable_deep_gemm() as the FP8 oracle asks it, from 0.33.0: the text model's type, or
# the outer one of a checkpoint with a tower, -> the capability families on which DeepGEMM is left
# out (accuracy; `kolibri1` for latency).
NO_DEEP_GEMM: dict[str, tuple[int, ...]] = {
    "qwen3_5": (10, 12),
    "qwen3_5_moe": (10, 12),
    "qwen3_5_text": (10, 12),
    "qwen3_5_moe_text": (10, 12),
    "kolibri1": (12,),
}
