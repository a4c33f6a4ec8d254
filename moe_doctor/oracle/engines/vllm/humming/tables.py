"""Humming's classes as tables: one backend, and no `--moe-backend` is read.

Source: quantization/utils/humming_utils.py and, from 0.31.0 on, utils/humming/moe.py
(select_humming_moe_experts), 0.25.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.backends.situation import Situation
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.oracle import BackendRow, ExplicitName, Wording, backend_row

WORDING = Wording("Humming", "Humming", "Humming")
_CLASSES = ("BatchedHummingGroupedExperts", "HummingGroupedExperts", "HummingIndexedExperts")
BACKENDS: tuple[BackendRow, ...] = (
    backend_row("HUMMING", "HUMMING", _CLASSES, None, since="0.25.0"),
)
EXPLICIT_NAMES: tuple[ExplicitName, ...] = ()


def order(situation: Situation, release: Release) -> list[str]:
    """The only backend."""
    return ["HUMMING"]
