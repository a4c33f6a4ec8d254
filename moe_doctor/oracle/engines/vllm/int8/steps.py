"""vLLM's oracle for 8-bit integer weights and inputs, step by step in the order of the source.

Source: fused_moe/oracle/int8.py, select_int8_moe_backend.
"""

from __future__ import annotations

from moe_doctor.core.query import QuantQuery
from moe_doctor.core.release import span
from moe_doctor.oracle.engines.vllm.int8 import tables
from moe_doctor.oracle.engines.vllm.oracle import (
    MoEOracle,
    ProgramStep,
    first_that_fits,
    map_explicit_name,
    return_or_raise,
)
from moe_doctor.oracle.engines.vllm.quant_keys import key_text
from moe_doctor.oracle.walk import Choice, Refused, Walk


def return_for_lora(walk: Walk) -> Choice | None:
    """Until 0.20.2 LoRA is answered before candidates and `--moe-backend`."""
    if not walk.situation.query.lora:
        return None
    release = ".".join(map(str, walk.release[:2]))
    walk.notes.append(
        f"vLLM {release} returns here for LoRA, before it looks at any other backend or at "
        "--moe-backend"
    )
    return Choice("TRITON", "TritonExperts")


def take_explicit_name(walk: Walk) -> Choice | None:
    """`--moe-backend`: that one or an error, never another."""
    option = walk.situation.query.moe_backend
    if option == "auto":
        return None
    member = map_explicit_name(tables.EXPLICIT_NAMES, tables.WORDING, option, walk.release)
    walk.notes.append(f"--moe-backend {option} was asked for: no other backend is tried")
    return return_or_raise(walk, tables.WORDING, member)


def take_first_that_fits(walk: Walk) -> Choice | None:
    """The candidates in order; from 0.27.0 on the error names the formats."""
    choice = first_that_fits(walk, tables.WORDING)
    if choice is not None:
        return choice
    message = "No Int8 MoE backend supports the deployment configuration"
    if walk.release < (0, 27, 0):
        raise Refused("NotImplementedError", f"{message}.")
    quant = walk.situation.query.quant or QuantQuery()
    raise Refused(
        "NotImplementedError",
        f"{message} (weight_key={key_text(quant.weight_key)}, "
        f"activation_key={key_text(quant.activation_key)}). Set `VLLM_LOGGING_LEVEL=DEBUG` to see "
        "per-backend unsupported reasons.",
    )


ORACLE = MoEOracle(
    name="int8",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=tables.EXPLICIT_NAMES,
    program=(
        ProgramStep(return_for_lora, span(until="0.20.2")),
        ProgramStep(take_explicit_name, span()),
        ProgramStep(take_first_that_fits, span()),
    ),
    order=tables.order,
)
