"""vLLM's two oracles for 4-bit integer weights with 8-bit inputs as tables.

Source: fused_moe/oracle/w4a8.py (FP8 inputs, from 0.22.0 on) and oracle/w4a8_int8.py (integer
inputs on CPUs, from 0.23.0 on).
"""

from __future__ import annotations

from moe_doctor.backends.situation import Situation
from moe_doctor.core.release import Release, span
from moe_doctor.oracle.engines.vllm.oracle import BackendRow, ExplicitName, Wording, backend_row

WORDING = Wording("W4A8", "W4A8", "W4A8")
_HUMMING = ("BatchedHummingGroupedExperts", "HummingGroupedExperts", "HummingIndexedExperts")

# --moe-backend is read from 0.31.0 on.
BACKENDS: tuple[BackendRow, ...] = (
    backend_row("CUTLASS", "CUTLASS", ("CutlassExpertsW4A8Fp8",), None, until="0.30.0"),
    backend_row("CUTLASS", "CUTLASS", ("CutlassExpertsW4A8Fp8",), "cutlass", since="0.31.0"),
    backend_row("HUMMING", "HUMMING", _HUMMING, "humming", since="0.31.0"),
)
EXPLICIT_NAMES: tuple[ExplicitName, ...] = (
    ExplicitName("cutlass", "CUTLASS", span("0.31.0")),
    ExplicitName("humming", "HUMMING", span("0.31.0")),
)


def order(situation: Situation, release: Release) -> list[str]:
    """The backends in the order in which select_w4a8_moe_backend lists them."""
    return ["CUTLASS"] if release < (0, 31, 0) else ["CUTLASS", "HUMMING"]


INT8_WORDING = Wording("W4A8 Int8", "W4A8 Int8", "W4A8 Int8")
INT8_BACKENDS: tuple[BackendRow, ...] = (
    backend_row("CPU_INT4", "CPU_INT4", ("CPUExpertsInt4 with int8 inputs",), "cpu"),
)
INT8_EXPLICIT_NAMES: tuple[ExplicitName, ...] = (ExplicitName("cpu", "CPU_INT4", span()),)


def int8_order(situation: Situation, release: Release) -> list[str]:
    """The release's _get_priority_backends(): empty off CPUs."""
    return ["CPU_INT4"] if situation.facts.platform == "cpu" else []
