"""vLLM's oracle for 8-bit integer weights and inputs as tables.

Source: fused_moe/oracle/int8.py, from 0.20.0 on.
"""

from __future__ import annotations

from moe_doctor.backends.situation import Situation
from moe_doctor.core.release import Release, span
from moe_doctor.oracle.engines.vllm.oracle import BackendRow, ExplicitName, Wording, backend_row

WORDING = Wording("Int8", "Int8", "Int8")

_HUMMING = ("BatchedHummingGroupedExperts", "HummingGroupedExperts", "HummingIndexedExperts")
_CPU = ("ArmCPUExpertsInt8", "CPUExpertsInt8")
_CPU_0_31 = ("ZenCPUExpertsInt8", "PowerCPUExpertsInt8", *_CPU)

BACKENDS: tuple[BackendRow, ...] = (
    backend_row("TRITON", "TRITON", ("TritonExperts",), "triton"),
    backend_row("HUMMING", "HUMMING", _HUMMING, "humming", since="0.25.0"),
    backend_row("CPU", "CPU", ("CPUExpertsInt8",), None, "0.25.0", "0.26.0"),
    backend_row("CPU", "CPU", _CPU, None, "0.27.0", "0.28.0"),
    backend_row("CPU", "CPU", ("ZenCPUExpertsInt8", *_CPU), None, "0.29.0", "0.30.0"),
    backend_row("CPU", "CPU", _CPU_0_31, None, since="0.31.0"),
)

# In the order of the error message of map_int8_backend.
EXPLICIT_NAMES: tuple[ExplicitName, ...] = (
    ExplicitName("triton", "TRITON", span()),
    ExplicitName("humming", "HUMMING", span("0.25.0")),
)


def order(situation: Situation, release: Release) -> list[str]:
    """The release's _get_priority_backends() for this situation."""
    if release < (0, 25, 0):
        return ["TRITON"]
    if release < (0, 27, 0) and situation.facts.platform == "cpu":
        return ["CPU", "TRITON", "HUMMING"]
    return ["TRITON", "HUMMING", "CPU"]
