"""vLLM's MXFP8 oracle, step by step in the order of the source.

Source: fused_moe/oracle/mxfp8.py, select_mxfp8_moe_backend. It takes the formats for granted:
kMxfp8Static weights with kMxfp8Dynamic inputs.
"""

from __future__ import annotations

from moe_doctor.core.release import span
from moe_doctor.oracle.engines.vllm.mxfp8 import tables
from moe_doctor.oracle.engines.vllm.oracle import MoEOracle, ProgramStep, map_explicit_name
from moe_doctor.oracle.walk import Choice, Refused, Walk

_LOG_NATIVE = "Using native CDNA4 (gfx950) MXFP8 dot_scaled MoE backend."
_LOG_EMULATED = (
    "No native MXFP8 MoE backend available on this device; MXFP8 weights will be dequantized to "
    "BF16 once at load time and the MoE will run in BF16 (no per-step dequant)."
)


def refuse_lora(walk: Walk) -> Choice | None:
    """LoRA is refused before anything else."""
    if walk.situation.query.lora:
        raise Refused("NotImplementedError", "LoRA is not supported for MXFP8 MoE.")
    return None


def take_explicit_name(walk: Walk) -> Choice | None:
    """`--moe-backend`: that one or an error, never another."""
    option = walk.situation.query.moe_backend
    if option == "auto":
        return None
    member = map_explicit_name(tables.EXPLICIT_NAMES, tables.WORDING, option, walk.release)
    walk.notes.append(f"--moe-backend {option} was asked for: no other backend is tried")
    return _select_class(walk, member, " (user-requested)")


def take_the_only_one(walk: Walk) -> Choice | None:
    """One backend: 0.18.0 asks nothing, from 0.19.0 its refusal is the answer."""
    return _select_class(walk, walk.order[0], "")


def take_first_that_fits(walk: Walk) -> Choice | None:
    """The candidates in order."""
    for member in walk.order:
        kernel, _ = walk.ask(member)
        if kernel is not None:
            return Choice(member, kernel, _log(walk, member, ""))
    return None


def fall_back_on_rocm(walk: Walk) -> Choice | None:
    """On ROCm a Triton kernel is taken without being asked (0.24.0 to 0.26.0)."""
    if walk.situation.facts.platform != "rocm":
        return None
    if _has_mx(walk):
        walk.notes.append("on ROCm with MX arithmetic vLLM falls back on its own Triton kernel")
        member = "NATIVE_MXFP8" if walk.release < (0, 25, 0) else "TRITON_MXFP8"
        return Choice(member, tables.NATIVE, _LOG_NATIVE)
    walk.notes.append("on ROCm without MX arithmetic vLLM falls back on expanded weights")
    return Choice("EMULATION", tables.EMULATED, _LOG_EMULATED)


def give_up(walk: Walk) -> Choice | None:
    """Nothing fits."""
    raise Refused("ValueError", "No MXFP8 MoE backends available.")


PROGRAM: tuple[ProgramStep, ...] = (
    ProgramStep(refuse_lora, span(until="0.20.2")),
    ProgramStep(take_explicit_name, span()),
    ProgramStep(take_the_only_one, span(until="0.19.1")),
    ProgramStep(take_first_that_fits, span("0.20.0")),
    ProgramStep(fall_back_on_rocm, span("0.24.0", "0.26.0")),
    ProgramStep(give_up, span("0.20.0")),
)

ORACLE = MoEOracle(
    name="mxfp8",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=tables.EXPLICIT_NAMES,
    program=PROGRAM,
    order=tables.order,
)


def _select_class(walk: Walk, member: str, requested: str) -> Choice:
    """_select_kernel_cls(): the first class that fits, or its last reason as an error."""
    log = _log(walk, member, requested)
    if walk.release < (0, 19, 0):
        return Choice(member, None, log, "flashinfer_trtllm_fp8_block_scale_moe")
    if member == "TRITON_MXFP8" and walk.release < (0, 27, 0):
        _leave_one_class(walk, member)
    kernel, rejection = walk.ask(member)
    if kernel is not None:
        return Choice(member, kernel, log)
    value = walk.backends[member].value
    reason = None if rejection is None else rejection.engine
    raise Refused("ValueError", f"No supported MXFP8 expert class for {value}: {reason}")


def _leave_one_class(walk: Walk, member: str) -> None:
    """0.25.0 to 0.26.0 look at the device first and ask one of two classes alone."""
    kernel = tables.NATIVE if _has_mx(walk) else tables.EMULATED
    backend = walk.backends[member]._replace(kernels=(kernel,))
    walk.backends = {**walk.backends, member: backend}


def _has_mx(walk: Walk) -> bool:
    return walk.situation.facts.arch.startswith("gfx95")


def _log(walk: Walk, member: str, requested: str) -> str:
    value = walk.backends[member].value
    return f"Using '{value}' MxFp8 MoE backend{requested}."
