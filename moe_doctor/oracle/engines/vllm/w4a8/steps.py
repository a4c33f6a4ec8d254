"""vLLM's two oracles for 4-bit integer weights with 8-bit inputs, step by step.

Source: fused_moe/oracle/w4a8.py, select_w4a8_moe_backend; oracle/w4a8_int8.py,
select_w4a8_int8_moe_backend.
"""

from __future__ import annotations

from moe_doctor.core.release import span
from moe_doctor.oracle.engines.vllm.oracle import (
    MoEOracle,
    ProgramStep,
    first_that_fits,
    map_explicit_name,
    return_or_raise,
)
from moe_doctor.oracle.engines.vllm.w4a8 import tables
from moe_doctor.oracle.walk import Choice, Refused, Walk


def take_cutlass(walk: Walk) -> Choice | None:
    """Until 0.30.0 CUTLASS or an error; `--moe-backend` is not read."""
    kernel, rejection = walk.ask("CUTLASS")
    if kernel is not None:
        return _chosen("CUTLASS", kernel)
    raise Refused(
        "NotImplementedError",
        "W4A8 MoE backend CUTLASS does not support the deployment configuration: "
        f"{rejection.engine if rejection else None}.",
    )


def take_first_that_fits(walk: Walk) -> Choice | None:
    """The candidates, or the one of `--moe-backend`, in order; the error names every reason."""
    option = walk.situation.query.moe_backend
    members = walk.order
    if option != "auto":
        members = [map_explicit_name(tables.EXPLICIT_NAMES, tables.WORDING, option, walk.release)]
        walk.notes.append(f"--moe-backend {option} was asked for: no other backend is tried")
    reasons = []
    for member in members:
        for kernel in walk.backends[member].kernels:
            rejection = walk.ask_kernel(kernel, member)
            if rejection is None:
                return _chosen(member, kernel)
            reasons.append(f"{kernel}: {rejection.engine}")
    raise Refused(
        "NotImplementedError",
        f"No W4A8 MoE backend supports the deployment configuration: {'; '.join(reasons)}",
    )


def _chosen(member: str, kernel: str) -> Choice:
    return Choice(member, kernel, f"Using {member} W4A8 MoE backend.")


def refuse_other_platforms(walk: Walk) -> Choice | None:
    """Integer inputs need a CPU."""
    if walk.order:
        return None
    raise Refused("NotImplementedError", "W4A8 Int8 MoE is only supported on CPU platforms")


def take_explicit_cpu(walk: Walk) -> Choice | None:
    """`--moe-backend` on a CPU: that one or an error."""
    option = walk.situation.query.moe_backend
    if option == "auto":
        return None
    names, wording = tables.INT8_EXPLICIT_NAMES, tables.INT8_WORDING
    member = map_explicit_name(names, wording, option, walk.release)
    walk.notes.append(f"--moe-backend {option} was asked for: no other backend is tried")
    return return_or_raise(walk, wording, member)


def take_cpu(walk: Walk) -> Choice | None:
    """The only candidate."""
    choice = first_that_fits(walk, tables.INT8_WORDING)
    if choice is not None:
        return choice
    raise Refused(
        "NotImplementedError", "No W4A8 Int8 MoE backend supports the deployment configuration."
    )


ORACLE = MoEOracle(
    name="w4a8",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=tables.EXPLICIT_NAMES,
    program=(
        ProgramStep(take_cutlass, span(until="0.30.0")),
        ProgramStep(take_first_that_fits, span("0.31.0")),
    ),
    order=tables.order,
)

INT8_ORACLE = MoEOracle(
    name="w4a8_int8",
    wording=tables.INT8_WORDING,
    backend_rows=tables.INT8_BACKENDS,
    explicit_names=tables.INT8_EXPLICIT_NAMES,
    program=(
        ProgramStep(refuse_other_platforms, span()),
        ProgramStep(take_explicit_cpu, span()),
        ProgramStep(take_cpu, span()),
    ),
    order=tables.int8_order,
)
