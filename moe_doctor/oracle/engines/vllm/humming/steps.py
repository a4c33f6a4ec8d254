"""Humming's choice step by step.

Source: select_humming_moe_experts, and HummingMoEMethod.process_weights_after_loading for what
happens without a class (`aftermath` has the exception).
"""

from __future__ import annotations

from moe_doctor.core.release import span
from moe_doctor.oracle.engines.vllm.humming import tables
from moe_doctor.oracle.engines.vllm.oracle import MoEOracle, ProgramStep
from moe_doctor.oracle.walk import Choice, Walk


def take_first_class(walk: Walk) -> Choice | None:
    """The classes in order."""
    kernel, _ = walk.ask("HUMMING")
    if kernel is None:
        return None
    return Choice("HUMMING", kernel, f"Using {kernel} Humming MoE backend.")


def go_on_without(walk: Walk) -> Choice | None:
    """No class: the model is built without one, and its weights cannot be converted."""
    walk.notes.append("no class of Humming fits; vLLM finds out while it converts the weights")
    return Choice("HUMMING", None)


ORACLE = MoEOracle(
    name="humming",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=tables.EXPLICIT_NAMES,
    program=(
        ProgramStep(take_first_class, span("0.25.0")),
        ProgramStep(go_on_without, span("0.25.0")),
    ),
    order=tables.order,
)
