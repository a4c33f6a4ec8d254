"""What MXFP4 experts ran until 0.18.1: get_mxfp4_backend() of the method's own module.

Source: quantization/mxfp4.py of 0.16.0 to 0.18.1. It names a backend and no class, and reads
neither the layer nor `--moe-backend`.
"""

from __future__ import annotations

from moe_doctor.backends.situation import Situation
from moe_doctor.core.release import Release, span
from moe_doctor.oracle.engines.vllm.mxfp4 import tables
from moe_doctor.oracle.engines.vllm.oracle import MoEOracle, ProgramStep, backend_row, parse_flag
from moe_doctor.oracle.walk import Choice, Walk

_SM90 = "SM90_FI_MXFP4_BF16"
_CUTLASS = "SM100_FI_MXFP4_MXFP8_CUTLASS"
_TRTLLM = "SM100_FI_MXFP4_MXFP8_TRTLLM"
_BF16 = "SM100_FI_MXFP4_BF16"
_MEMBERS = ("NONE", _TRTLLM, _CUTLASS, _BF16, _SM90, "MARLIN", "TRITON")
_VARIABLES = "VLLM_USE_FLASHINFER_MOE_MXFP4_"


def follow_platform(walk: Walk) -> Choice:
    """The whole rule: LoRA, then FlashInfer by capability and variable, then Triton or Marlin."""
    facts = walk.situation.facts
    if walk.situation.query.lora:
        return _for_lora(walk)
    if facts.platform == "cuda":
        return _flashinfer(walk) or _triton_or_marlin(walk)
    if facts.platform == "xpu":
        return Choice("MARLIN", None)
    if facts.platform == "rocm":
        if walk.release >= (0, 17, 0) and "aiter" in facts.features and facts.arch == "gfx950":
            return Choice("CK", None)
        if "triton_kernels" in facts.features:
            return Choice("TRITON", None)
    return Choice("NONE", None)


def _for_lora(walk: Walk) -> Choice:
    if walk.situation.facts.platform != "cuda":
        return Choice("NONE", None)
    walk.notes.append("with LoRA the release looks at Triton and Marlin alone")
    # The variable decides only where it is set to off.
    named = _marlin_variable(walk) is False
    return Choice("TRITON", None) if named and _has_triton(walk) else Choice("MARLIN", None)


def _flashinfer(walk: Walk) -> Choice | None:
    facts = walk.situation.facts
    if facts.capability is None or "flashinfer" not in facts.features:
        return None
    if facts.capability == (9, 0):
        return Choice(_SM90, None) if _is_on(walk, "BF16") else None
    if facts.capability[0] != 10:
        return None
    if _is_on(walk, "MXFP8_CUTLASS"):
        return Choice(_CUTLASS, None)
    return Choice(_TRTLLM if _is_on(walk, "MXFP8") else _BF16, None)


def _triton_or_marlin(walk: Walk) -> Choice:
    marlin = _marlin_variable(walk) or not _has_triton(walk)
    return Choice("MARLIN" if marlin else "TRITON", None)


def _has_triton(walk: Walk) -> bool:
    facts = walk.situation.facts
    fits = facts.capability is not None and (9, 0) <= facts.capability < (11, 0)
    return fits and "triton_kernels" in facts.features


def _marlin_variable(walk: Walk) -> bool | None:
    value = walk.environment.get("VLLM_MXFP4_USE_MARLIN")
    return None if value is None else parse_flag(value)


def _is_on(walk: Walk, ending: str) -> bool:
    return parse_flag(walk.environment.get(_VARIABLES + ending, "0"))


def _no_order(situation: Situation, release: Release) -> list[str]:
    return []


ORACLE = MoEOracle(
    name="legacy_mxfp4",
    wording=tables.WORDING,
    backend_rows=(
        *(backend_row(name, name, (), None, until="0.18.1") for name in _MEMBERS),
        backend_row("CK", "CK", (), None, "0.17.0", "0.18.1"),
    ),
    explicit_names=(),
    program=(ProgramStep(follow_platform, span(until="0.18.1")),),
    order=_no_order,
)
