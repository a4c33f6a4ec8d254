"""vLLM's NVFP4 oracle as tables: backends, order, explicit names, who clamps SwiGLU.

Source: fused_moe/oracle/nvfp4.py of each release.
"""

from __future__ import annotations

from functools import lru_cache

from moe_doctor.backends.situation import Situation
from moe_doctor.core.release import Release, Span, span
from moe_doctor.oracle.engines.vllm.oracle import (
    BackendRow,
    ExplicitName,
    Wording,
    backend_row,
)

WORDING = Wording("NvFp4", "NvFp4", "NvFP4", quotes=True, log_quotes=True)

TRTLLM = "FLASHINFER_TRTLLM"
CUTLASS = "FLASHINFER_CUTLASS"
CUTEDSL = "FLASHINFER_CUTEDSL"
CUTEDSL_BATCHED = "FLASHINFER_CUTEDSL_BATCHED"
FLASHINFER_B12X = "FLASHINFER_B12X"
MOE_EP = "FLASHINFER_MOE_EP_CUTEDSL"

_HUMMING = ("BatchedHummingGroupedExperts", "HummingGroupedExperts", "HummingIndexedExperts")


def _one(member: str, kernel: str, option: str, since: str = "0.17.0") -> BackendRow:
    return backend_row(member, member, (kernel,), option, since)


def _unnamed(member: str, kernel: str) -> BackendRow:
    """0.16.0 has no `--moe-backend`."""
    return backend_row(member, member, (kernel,), None, until="0.16.0")


BACKENDS: tuple[BackendRow, ...] = (
    _unnamed(TRTLLM, "flashinfer_trtllm_fp4_moe"),
    _unnamed(CUTLASS, "FlashInferExperts"),
    _unnamed(CUTEDSL, "FlashInferCuteDSLExperts"),
    _unnamed("VLLM_CUTLASS", "CutlassExpertsFp4"),
    _unnamed("MARLIN", "MarlinExperts"),
    backend_row(
        TRTLLM,
        TRTLLM,
        ("TrtLlmNvFp4ExpertsMonolithic", "TrtLlmNvFp4ExpertsModular"),
        "flashinfer_trtllm",
        "0.17.0",
    ),
    _one(CUTLASS, "FlashInferExperts", "flashinfer_cutlass"),
    _one(CUTEDSL, "FlashInferCuteDSLExperts", "flashinfer_cutedsl"),
    _one(CUTEDSL_BATCHED, "FlashInferCuteDSLBatchedExperts", "flashinfer_cutedsl", "0.20.0"),
    _one("VLLM_CUTLASS", "CutlassExpertsFp4", "cutlass"),
    _one("MARLIN", "MarlinExperts", "marlin"),
    _one("EMULATION", "Nvfp4QuantizationEmulationTritonExperts", "emulation", "0.20.0"),
    _one(FLASHINFER_B12X, "FlashInferB12xExperts", "flashinfer_b12x", "0.22.0"),
    backend_row("HUMMING", "HUMMING", _HUMMING, "humming", "0.25.0"),
    _one("B12X", "B12xExperts", "b12x", "0.29.0"),
    _one(MOE_EP, "FlashInferMoeEpExperts", "flashinfer_moe_ep_cutedsl", "0.32.0"),
)

# The candidates on every platform; B12X and FLASHINFER_* outside this list run by name alone.
ORDER: tuple[tuple[str, Span], ...] = (
    (TRTLLM, span()),
    (CUTEDSL, span()),
    (CUTEDSL_BATCHED, span("0.20.0")),
    (CUTLASS, span()),
    ("VLLM_CUTLASS", span()),
    ("MARLIN", span()),
    ("HUMMING", span("0.25.0")),
    ("EMULATION", span("0.20.0")),
)

# FLASHINFER_NVFP4_MOE_BACKENDS: what VLLM_USE_FLASHINFER_MOE_FP4 is about, in its order.
FLASHINFER: tuple[tuple[str, Span], ...] = (
    (TRTLLM, span()),
    (CUTLASS, span()),
    (CUTEDSL, span()),
    (CUTEDSL_BATCHED, span("0.20.0")),
    (FLASHINFER_B12X, span("0.22.0")),
)

# NVFP4_BACKENDS_WITH_CLAMP: who applies a model's swiglu_limit.
CLAMPING: tuple[tuple[str, Span], ...] = (
    (TRTLLM, span("0.22.0")),
    (CUTLASS, span("0.24.0")),
    ("MARLIN", span("0.24.0")),
    (CUTEDSL, span("0.28.0")),
    ("VLLM_CUTLASS", span("0.28.0")),
    ("EMULATION", span("0.28.0")),
    ("HUMMING", span("0.28.0")),
    ("B12X", span("0.29.0")),
    (MOE_EP, span("0.32.0")),
)

# What the refusal of a backend without the clamp recommends.
_THREE = "'flashinfer_trtllm', 'flashinfer_cutlass', 'flashinfer_cutedsl'"
ADVICE: tuple[tuple[str, Span], ...] = (
    ("'flashinfer_trtllm' or 'flashinfer_cutlass'", span("0.22.0", "0.27.1")),
    (f"{_THREE}, 'cutlass', 'marlin', or 'humming'", span("0.28.0", "0.28.0")),
    (f"{_THREE}, 'cutlass', 'b12x', 'marlin', or 'humming'", span("0.29.0", "0.31.0")),
    (
        f"{_THREE}, 'flashinfer_moe_ep_cutedsl', 'cutlass', 'b12x', 'marlin', or 'humming'",
        span("0.32.0"),
    ),
)

# In the order of the error message of map_nvfp4_backend.
EXPLICIT_NAMES: tuple[ExplicitName, ...] = (
    ExplicitName("b12x", "B12X", span("0.29.0")),
    ExplicitName("cutlass", "VLLM_CUTLASS", span("0.17.0")),
    ExplicitName("flashinfer_trtllm", TRTLLM, span("0.17.0")),
    ExplicitName("flashinfer_cutlass", CUTLASS, span("0.17.0")),
    ExplicitName("flashinfer_cutedsl", CUTEDSL, span("0.17.0")),
    ExplicitName("flashinfer_moe_ep_cutedsl", MOE_EP, span("0.32.0")),
    ExplicitName("flashinfer_b12x", FLASHINFER_B12X, span("0.22.0")),
    ExplicitName("marlin", "MARLIN", span("0.17.0")),
    ExplicitName("humming", "HUMMING", span("0.25.0")),
    ExplicitName("emulation", "EMULATION", span("0.20.0")),
)


@lru_cache(maxsize=256)
def held(rows: tuple[tuple[str, Span], ...], release: Release) -> tuple[str, ...]:
    """The entries of one of the tables above that `release` has."""
    return tuple(name for name, range_ in rows if range_.holds(release))


@lru_cache(maxsize=64)
def base_order(release: Release) -> tuple[str, ...]:
    """The candidates that `release` has; hashing the release alone is quicker than the rows."""
    return held(ORDER, release)


def order(situation: Situation, release: Release) -> list[str]:
    """The release's list of candidates, before the environment and the clamp shorten it."""
    members = list(base_order(release))
    # 0.32.0 (quantization/utils/humming/priority.py): Humming measured faster on Hopper
    if release >= (0, 32, 0) and situation.facts.capability == (9, 0):
        members.remove("HUMMING")
        members.insert(members.index("MARLIN"), "HUMMING")
    return members
