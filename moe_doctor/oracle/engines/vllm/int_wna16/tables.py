"""vLLM's oracle for integer weights and 16-bit inputs as tables.

Source: fused_moe/oracle/int_wna16.py, from 0.20.0 on; the program is in `steps.py`, and what a
checkpoint's layout rules out is in `layouts.py`.
"""

from __future__ import annotations

from functools import lru_cache

from moe_doctor.backends.situation import Situation
from moe_doctor.core.release import Release, span
from moe_doctor.oracle.engines.vllm.oracle import BackendRow, ExplicitName, Wording, backend_row

WORDING = Wording("WNA16", "WNA16", "WNA16", quotes=True)

TRTLLM = "FLASHINFER_TRTLLM"
MARLIN = ("MARLIN", "BATCHED_MARLIN")
_HUMMING = ("BatchedHummingGroupedExperts", "HummingGroupedExperts", "HummingIndexedExperts")

# --moe-backend is read from 0.25.0 on.
BACKENDS: tuple[BackendRow, ...] = (
    backend_row("MARLIN", "MARLIN", ("MarlinExperts",), None, until="0.24.0"),
    backend_row("MARLIN", "MARLIN", ("MarlinExperts",), "marlin", since="0.25.0"),
    backend_row("BATCHED_MARLIN", "BATCHED_MARLIN", ("BatchedMarlinExperts",), None),
    backend_row("HUMMING", "HUMMING", _HUMMING, "humming", since="0.25.0"),
    backend_row("CPU", "CPU", ("CPUExpertsInt4",), None, since="0.24.0"),
    backend_row("ZEN_CPU", "ZEN_CPU", ("ZentorchExpertsInt4",), None, since="0.31.0"),
    backend_row(TRTLLM, TRTLLM, ("TrtLlmMxint4ExpertsMonolithic",), None, "0.23.0", "0.24.0"),
    backend_row(
        TRTLLM, TRTLLM, ("TrtLlmMxint4ExpertsMonolithic",), "flashinfer_trtllm", since="0.25.0"
    ),
    backend_row("TRITON", "TRITON", ("TritonWNA16Experts",), "triton", since="0.27.0"),
    backend_row("XPU", "XPU", ("XPUExpertsWNA16",), None, since="0.23.0"),
    backend_row(
        "EMULATION", "EMULATION", ("Int4EmulationTritonExperts",), "emulation", since="0.26.0"
    ),
    backend_row("RDNA3", "RDNA3", ("Rdna3WNA16Experts",), "rdna3", since="0.30.0"),
)

# The order on GPUs, best first; each release has those of its enum.
_ORDER = ("RDNA3", TRTLLM, *MARLIN, "TRITON", "HUMMING", "EMULATION")

# In the order of the error message of map_wna16_backend.
EXPLICIT_NAMES: tuple[ExplicitName, ...] = (
    ExplicitName("triton", "TRITON", span("0.27.0")),
    ExplicitName("marlin", "MARLIN", span("0.25.0")),
    ExplicitName("humming", "HUMMING", span("0.25.0")),
    ExplicitName("flashinfer_trtllm", TRTLLM, span("0.25.0")),
    ExplicitName("emulation", "EMULATION", span("0.26.0")),
    ExplicitName("rdna3", "RDNA3", span("0.30.0")),
)


@lru_cache(maxsize=256)
def base_order(platform: str, release: Release) -> tuple[str, ...]:
    """The platform's backends in the release's order.

    Before a platform has a list of its own, the oracle gives it the GPU's.
    """
    if platform == "cpu" and release >= (0, 31, 0):
        return ("ZEN_CPU", "CPU")
    if platform == "cpu" and release >= (0, 24, 0):
        return ("CPU",)
    if platform == "xpu" and release >= (0, 23, 0):
        return ("XPU",)
    held = {row.backend.member for row in BACKENDS if row.span.holds(release)}
    return tuple(member for member in _ORDER if member in held)


def order(situation: Situation, release: Release) -> list[str]:
    """The release's _get_priority_backends() for this situation."""
    members = list(base_order(situation.facts.platform, release))
    if release >= (0, 32, 0) and prefers_humming(situation):
        members.remove("HUMMING")
        members.insert(members.index("MARLIN"), "HUMMING")
    return members


def prefers_humming(situation: Situation) -> bool:
    """Whether Humming comes before Marlin (quantization/utils/humming/priority.py)."""
    return situation.facts.platform == "cuda" and situation.facts.capability == (9, 0)
