"""vLLM's oracle for integer weights and 16-bit inputs, step by step in the order of the source.

Source: fused_moe/oracle/int_wna16.py, select_wna16_moe_backend.
"""

from __future__ import annotations

from moe_doctor.core.query import QuantQuery
from moe_doctor.core.release import span
from moe_doctor.oracle.engines.vllm.int_wna16 import layouts, tables
from moe_doctor.oracle.engines.vllm.oracle import (
    MoEOracle,
    ProgramStep,
    map_explicit_name,
    unsupported,
)
from moe_doctor.oracle.walk import Choice, Refused, Walk


def build_configuration(walk: Walk) -> Choice | None:
    """The checkpoint's own configuration comes before the oracle and may refuse."""
    layouts.refuse_layout(walk.situation.query.quant or QuantQuery(), walk.release)
    return None


def take_explicit_name(walk: Walk) -> Choice | None:
    """`--moe-backend`: that one or an error, never another."""
    option = walk.situation.query.moe_backend
    if option == "auto":
        return None
    member = map_explicit_name(tables.EXPLICIT_NAMES, tables.WORDING, option, walk.release)
    walk.notes.append(f"--moe-backend {option} was asked for: no other backend is tried")
    reason = layouts.incompatible(walk, member) if walk.release >= (0, 27, 0) else None
    if reason is not None:
        walk.left_out = {**walk.left_out, member: reason}
        raise Refused(
            "ValueError",
            f"WNA16 MoE backend '{member}' does not support the deployment configuration "
            f"since {reason}.",
        )
    kernel, rejection = walk.ask(member)
    if kernel is None:
        raise Refused("ValueError", unsupported(walk, tables.WORDING, member, rejection))
    return _chosen(member, kernel)


def take_first_that_fits(walk: Walk) -> Choice | None:
    """The candidates in order; from 0.27.0 on the layout is looked at before a class is asked."""
    for member in walk.order:
        reason = layouts.incompatible(walk, member) if walk.release >= (0, 27, 0) else None
        if reason is not None:
            walk.left_out = {**walk.left_out, member: reason}
            continue
        kernel, _ = walk.ask(member)
        if kernel is not None:
            return _chosen(member, kernel)
    raise Refused(
        "NotImplementedError", "No WNA16 MoE backend supports the deployment configuration."
    )


def _chosen(member: str, kernel: str) -> Choice:
    return Choice(member, kernel, f"Using '{member}' WNA16 MoE backend.")


ORACLE = MoEOracle(
    name="int_wna16",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=tables.EXPLICIT_NAMES,
    program=(
        ProgramStep(build_configuration, span("0.27.0")),
        ProgramStep(take_explicit_name, span("0.25.0")),
        ProgramStep(take_first_that_fits, span()),
    ),
    order=tables.order,
)
