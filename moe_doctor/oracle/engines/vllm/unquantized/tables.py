"""vLLM's unquantized oracle as tables: backends, priorities, demotions, explicit names.

Source: fused_moe/oracle/unquantized.py of each release. The steps that read these tables are in
`steps.py`; until 0.19.1 the oracle is a chain of ifs, which `legacy.py` states the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from moe_doctor.backends.situation import Situation
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release, Span, span
from moe_doctor.oracle.engines.vllm.oracle import (
    BackendRow,
    ExplicitName,
    Wording,
    backend_row,
)

WORDING = Wording("Unquantized", "Unquantized", "unquantized")

TRTLLM = "FLASHINFER_TRTLLM"
CUTLASS = "FLASHINFER_CUTLASS"
FLASHINFER = (TRTLLM, CUTLASS)


_MONOLITHIC_THEN_MODULAR = ("TrtLlmBf16ExpertsMonolithic", "TrtLlmBf16ExpertsModular")
_CPU_CLASSES = (
    "X86CPUUnquantizedExperts",
    "ArmCPUUnquantizedExperts",
    "PowerCPUUnquantizedExperts",
    "CPUUnquantizedExperts",
)

# `--moe-backend` exists from 0.17.0 (config/kernel.py); before, no option names a backend.
BACKENDS: tuple[BackendRow, ...] = (
    backend_row(TRTLLM, "FlashInfer TRTLLM", ("flashinfer_fused_moe_bf16",), None, until="0.16.0"),
    backend_row(
        TRTLLM,
        "FlashInfer TRTLLM",
        ("flashinfer_fused_moe_bf16",),
        "flashinfer_trtllm",
        "0.17.0",
        "0.19.1",
    ),
    backend_row(
        TRTLLM,
        "FlashInfer TRTLLM",
        ("TrtLlmBf16Experts",),
        "flashinfer_trtllm",
        "0.20.0",
        "0.25.1",
    ),
    backend_row(
        TRTLLM, "FlashInfer TRTLLM", _MONOLITHIC_THEN_MODULAR, "flashinfer_trtllm", since="0.26.0"
    ),
    backend_row(CUTLASS, "FlashInfer CUTLASS", ("FlashInferExperts",), None, until="0.16.0"),
    backend_row(
        CUTLASS, "FlashInfer CUTLASS", ("FlashInferExperts",), "flashinfer_cutlass", since="0.17.0"
    ),
    backend_row("AITER", "ROCm AITER", ("AiterExperts",), None, until="0.16.0"),
    backend_row("AITER", "ROCm AITER", ("AiterExperts",), "aiter", "0.17.0", "0.32.0"),
    backend_row("AITER", "ROCm AITER", ("AiterUnquantizedExperts",), "aiter", since="0.33.0"),
    backend_row("TRITON", "TRITON", ("TritonExperts",), None, until="0.16.0"),
    backend_row("TRITON", "TRITON", ("TritonExperts",), "triton", since="0.17.0"),
    backend_row(
        "BATCHED_TRITON", "BATCHED_TRITON", ("BatchedTritonExperts",), "triton", "0.20.0", "0.26.0"
    ),
    backend_row(
        "BATCHED_TRITON",
        "BATCHED_TRITON",
        ("BatchedTritonExperts",),
        "batched_triton",
        since="0.27.0",
    ),
    backend_row("MOONEP", "MOONEP", ("MoonEPExperts",), None, since="0.31.0"),
    backend_row("XPU", "XPU", ("XPUExperts",), None),
    backend_row("CPU", "CPU", (), None, until="0.27.1"),
    backend_row("CPU", "CPU", _CPU_CLASSES, None, since="0.28.0"),
    backend_row("TPU", "TPU", (), None),
    backend_row("OOT", "OOT", (), None),
)


class Priority(NamedTuple):
    """The order in which a platform's backends are tried."""

    platform: str
    """Platform."""
    order: tuple[str, ...]
    """Members, best first."""
    span: Span
    """Releases."""


PRIORITIES: tuple[Priority, ...] = (
    Priority("cuda", (TRTLLM, CUTLASS, "TRITON"), span(until="0.19.1")),
    Priority("cuda", (TRTLLM, CUTLASS, "TRITON", "BATCHED_TRITON"), span("0.20.0")),
    Priority("rocm", ("AITER", "TRITON"), span(until="0.19.1")),
    Priority("rocm", ("AITER", "TRITON", "BATCHED_TRITON"), span("0.20.0")),
    Priority("xpu", ("XPU",), span(until="0.30.0")),
    # kept behind XPU for VLLM_BATCH_INVARIANT
    Priority("xpu", ("XPU", "TRITON"), span("0.31.0")),
    Priority("cpu", ("CPU",), span()),
    Priority("tpu", ("TPU",), span()),
    Priority("oot", ("OOT",), span()),
)


class Demotion(NamedTuple):
    """Backends that move to the back of the list in some situation."""

    members: tuple[str, ...]
    """Moved one by one, in this order."""
    when: Callable[[Situation], bool]
    """The situation."""
    why: str
    """One clause for the reader."""
    span: Span
    """Releases."""
    platform: str = "cuda"
    """Platform."""


def _is_hopper(situation: Situation) -> bool:
    capability = situation.facts.capability
    return capability is not None and capability[0] == 9


def _has_data_parallel(situation: Situation) -> bool:
    return situation.query.parallel.dp_size > 1


def _is_swigluoai(situation: Situation) -> bool:
    return situation.query.activation == "swigluoai"


# In the order of _get_priority_backends.
DEMOTIONS: tuple[Demotion, ...] = (
    # PR 44220: Triton measured faster on Hopper.
    Demotion(FLASHINFER, _is_hopper, "on Hopper FlashInfer comes after Triton", span("0.23.0")),
    # Qwen3.5 crashed with data and expert parallelism.
    Demotion(
        (CUTLASS,),
        _has_data_parallel,
        "with data parallelism FlashInfer CUTLASS comes last",
        span("0.20.0"),
    ),
    # FlashInfer takes SWIGLUOAI for plain SwiGLU here.
    Demotion(
        FLASHINFER, _is_swigluoai, "for swigluoai FlashInfer comes after Triton", span("0.25.0")
    ),
)


# In the order of the error message of map_unquantized_backend.
EXPLICIT_NAMES: tuple[ExplicitName, ...] = (
    ExplicitName("triton", "TRITON", span("0.17.0")),
    ExplicitName("batched_triton", "BATCHED_TRITON", span("0.27.0")),
    ExplicitName("flashinfer_trtllm", TRTLLM, span("0.17.0")),
    ExplicitName("flashinfer_cutlass", CUTLASS, span("0.17.0")),
    ExplicitName("aiter", "AITER", span("0.17.0")),
)

# Values that fall through to `auto` because they concern quantized layers only.
PASS_THROUGH: tuple[tuple[str, Span], ...] = (
    ("auto", span()),
    ("humming", span("0.25.0")),
    ("marlin", span("0.33.0")),
)


@lru_cache(maxsize=256)
def base_order(platform: str, release: Release) -> tuple[str, ...]:
    """The platform's backends in the release's order, before any demotion.

    Raises LookupError for a platform that the release does not know.
    """
    for priority in PRIORITIES:
        if priority.platform == platform and priority.span.holds(release):
            return priority.order
    raise LookupError(platform)


@lru_cache(maxsize=256)
def demotions(platform: str, release: Release) -> tuple[Demotion, ...]:
    """The demotions that the release has on a platform."""
    return tuple(one for one in DEMOTIONS if one.platform == platform and one.span.holds(release))


@lru_cache(maxsize=64)
def pass_through(release: Release) -> frozenset[str]:
    """Values of `--moe-backend` that mean `auto` to an unquantized layer."""
    return frozenset(option for option, held in PASS_THROUGH if held.holds(release))


def order(situation: Situation, release: Release) -> list[str]:
    """The release's _get_priority_backends() for this situation."""
    platform = situation.facts.platform
    members = list(base_order(platform, release))
    for demotion in demotions(platform, release):
        if demotion.when(situation):
            for member in demotion.members:
                members.remove(member)
                members.append(member)
    return members
