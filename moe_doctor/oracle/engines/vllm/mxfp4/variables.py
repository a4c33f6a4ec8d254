"""The variables that named an MXFP4 backend until 0.23.0; `--moe-backend` replaces them."""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.mxfp4 import order, tables
from moe_doctor.oracle.engines.vllm.mxfp4.choices import return_or_raise
from moe_doctor.oracle.engines.vllm.oracle import parse_flag
from moe_doctor.oracle.walk import Choice, Refused, Walk

_BF16 = "VLLM_USE_FLASHINFER_MOE_MXFP4_BF16"
_NAMED = (
    ("VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8", tables.TRTLLM_MXFP8),
    ("VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8_CUTLASS", tables.CUTLASS_MXFP8),
    ("VLLM_MXFP4_USE_MARLIN", "MARLIN"),
)


def read_variables(walk: Walk) -> Choice | None:
    """Each names its backend, or takes FlashInfer off the list."""
    wanted = walk.environment.get(_BF16)
    if wanted is not None:
        if parse_flag(wanted):
            return _named(walk, _BF16, _flashinfer_member(walk))
        walk.drop((tables.TRTLLM_BF16, tables.CUTLASS_BF16), f"{_BF16}=0 takes it off the list")
    for name, member in _NAMED:
        if parse_flag(walk.environment.get(name, "0")):
            return _named(walk, name, member)
    return None


def _named(walk: Walk, name: str, member: str) -> Choice:
    walk.notes.append(f"{name}=1 names this backend: no other is tried")
    order.ask_about(walk, member, tables.OWN_INPUTS.get(member))
    return return_or_raise(walk, member)


def _flashinfer_member(walk: Walk) -> str:
    facts = walk.situation.facts
    # ROCm's gfx90a counts as capability 9.0 in this question.
    if facts.capability == (9, 0) or facts.arch.startswith("gfx90"):
        return tables.CUTLASS_BF16
    if facts.capability is not None and facts.capability[0] == 10:
        return tables.TRTLLM_BF16
    raise Refused(
        "ValueError",
        f"{_BF16}=1 is set but the current device capability is not supported. "
        "Only SM90 (CUTLASS) and SM100+ (TRTLLM) are supported.",
    )
