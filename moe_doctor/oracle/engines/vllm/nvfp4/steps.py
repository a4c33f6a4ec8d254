"""vLLM's NVFP4 oracle, step by step in the order of the source.

Source: fused_moe/oracle/nvfp4.py, select_nvfp4_moe_backend. No platform leaves early: elsewhere
than on CUDA every candidate is asked and rejects the device.
"""

from __future__ import annotations

from moe_doctor.backends.situation import Rejection
from moe_doctor.core.release import span
from moe_doctor.oracle.engines.vllm.flashinfer_variable import flashinfer_choice
from moe_doctor.oracle.engines.vllm.nvfp4 import tables
from moe_doctor.oracle.engines.vllm.oracle import (
    MoEOracle,
    ProgramStep,
    log_line,
    map_explicit_name,
    parse_flag,
    unsupported,
)
from moe_doctor.oracle.engines.vllm.quant_keys import key_text
from moe_doctor.oracle.walk import Choice, Refused, Walk


def drop_without_clamp(walk: Walk) -> Choice | None:
    """A model's swiglu_limit leaves the backends that apply it."""
    limit = walk.situation.query.swiglu_limit
    if limit is not None:
        clamping = tables.held(tables.CLAMPING, walk.release)
        walk.drop(
            [member for member in walk.order if member not in clamping],
            f"does not apply the clamp that swiglu_limit={limit} asks for",
        )
    return None


def take_explicit_name(walk: Walk) -> Choice | None:
    """`--moe-backend`: that one or an error, never another."""
    situation = walk.situation
    option = situation.query.moe_backend
    if option == "auto":
        return None
    member = map_explicit_name(tables.EXPLICIT_NAMES, tables.WORDING, option, walk.release)
    walk.notes.append(f"--moe-backend {option} was asked for: no other backend is tried")
    if member == "B12X" and parse_flag(walk.environment.get("VLLM_B12X_MOE_FP4_FORCE_A16", "0")):
        _forget_inputs(walk, member)
    if (
        member == tables.CUTEDSL
        and walk.release >= (0, 20, 0)
        and situation.activation_format == "batched"
    ):
        member = tables.CUTEDSL_BATCHED
    limit = situation.query.swiglu_limit
    if limit is not None and not _clamps(walk, member):
        advice = tables.held(tables.ADVICE, walk.release)[0]
        raise Refused(
            "ValueError",
            f"Model sets swiglu_limit={limit}, but the explicitly requested "
            f"moe_backend={option!r} does not apply the SwiGLU clamp. Use {advice} instead.",
        )
    return _return_or_raise(walk, member)


def read_flashinfer_variables(walk: Walk) -> Choice | None:
    """VLLM_USE_FLASHINFER_MOE_FP4 and VLLM_FLASHINFER_MOE_BACKEND, when set."""
    wanted = walk.environment.get("VLLM_USE_FLASHINFER_MOE_FP4")
    if wanted is None:
        return None
    members = tables.held(tables.FLASHINFER, walk.release)
    if not parse_flag(wanted):
        walk.drop(members, "VLLM_USE_FLASHINFER_MOE_FP4=0 takes it off the list")
        return None
    if "VLLM_FLASHINFER_MOE_BACKEND" in walk.environment:
        return _take_named_flashinfer(walk)
    for member in members:
        if not _clamps(walk, member):
            continue
        kernel, _ = _ask(walk, member)
        if kernel is not None:
            walk.notes.append("VLLM_USE_FLASHINFER_MOE_FP4=1 tries FlashInfer alone")
            return _choose(walk, member, kernel, is_named=walk.release > (0, 16, 0))
    raise Refused(
        "NotImplementedError",
        "Found VLLM_USE_FLASHINFER_MOE_FP4=1, but no FlashInfer NVFP4 MoE backend supports the "
        "configuration.",
    )


def force_marlin(walk: Walk) -> Choice | None:
    """VLLM_TEST_FORCE_FP8_MARLIN: Marlin or an error."""
    value = walk.environment.get("VLLM_TEST_FORCE_FP8_MARLIN", "0")
    if value.strip().lower() not in ("1", "true"):
        return None
    walk.notes.append(f"VLLM_TEST_FORCE_FP8_MARLIN={value}: no other backend is tried")
    return _return_or_raise(walk, "MARLIN")


def take_first_that_fits(walk: Walk) -> Choice | None:
    """The candidates in order."""
    for member in walk.order:
        kernel, _ = _ask(walk, member)
        if kernel is not None:
            return _choose(walk, member, kernel)
    raise Refused(
        "NotImplementedError", "No NvFp4 MoE backend supports the deployment configuration."
    )


PROGRAM: tuple[ProgramStep, ...] = (
    ProgramStep(drop_without_clamp, span("0.22.0")),
    ProgramStep(take_explicit_name, span("0.17.0")),
    ProgramStep(read_flashinfer_variables, span(until="0.23.0")),
    ProgramStep(force_marlin, span(until="0.28.0")),
    ProgramStep(take_first_that_fits, span()),
)

ORACLE = MoEOracle(
    name="nvfp4",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=tables.EXPLICIT_NAMES,
    program=PROGRAM,
    order=tables.order,
)


def _ask(walk: Walk, member: str) -> tuple[str | None, Rejection | None]:
    """Ask a backend; 0.17.0 to 0.19.1 import flashinfer before they look at TRT-LLM."""
    if (
        member == tables.TRTLLM
        and (0, 17, 0) <= walk.release <= (0, 19, 1)
        and "flashinfer_module" not in walk.situation.facts.features
    ):
        walk.notes.append("vLLM imports flashinfer for TRT-LLM's class, which is not installed")
        raise Refused("ModuleNotFoundError", "No module named 'flashinfer'")
    return walk.ask(member)


def _return_or_raise(walk: Walk, member: str) -> Choice:
    kernel, rejection = _ask(walk, member)
    if kernel is not None:
        return _choose(walk, member, kernel)
    raise Refused("ValueError", unsupported(walk, tables.WORDING, member, rejection))


def _choose(walk: Walk, member: str, kernel: str, *, is_named: bool = True) -> Choice:
    """The choice; 0.16.0 has a function for TRT-LLM, and names no class for some others."""
    log = log_line(walk, tables.WORDING, member)
    if not is_named or kernel == "flashinfer_trtllm_fp4_moe":
        return Choice(member, None, log, kernel)
    return Choice(member, kernel, log)


def _clamps(walk: Walk, member: str) -> bool:
    """Whether a backend may take the model as far as its swiglu_limit goes."""
    if walk.release < (0, 22, 0) or walk.situation.query.swiglu_limit is None:
        return True
    return member in tables.held(tables.CLAMPING, walk.release)


def _take_named_flashinfer(walk: Walk) -> Choice:
    """get_flashinfer_moe_backend() and what the oracle makes of it."""
    if walk.environment["VLLM_FLASHINFER_MOE_BACKEND"] == "masked_gemm":
        member = tables.CUTEDSL
    else:
        member = flashinfer_choice(walk, tables.TRTLLM, tables.CUTLASS, refusal="")
    if not _clamps(walk, member):
        raise Refused(
            "ValueError",
            f"Model sets swiglu_limit={walk.situation.query.swiglu_limit}, but the FlashInfer "
            f"backend selected via VLLM_FLASHINFER_MOE_BACKEND ({walk.backends[member].value}) "
            "does not apply the SwiGLU clamp.",
        )
    walk.notes.append(
        "VLLM_USE_FLASHINFER_MOE_FP4=1 and VLLM_FLASHINFER_MOE_BACKEND name this backend"
    )
    return _return_or_raise(walk, member)


def _forget_inputs(walk: Walk, member: str) -> None:
    """Ask a backend as if the checkpoint left the inputs in 16 bits."""
    situation = walk.situation
    quant = situation.query.quant
    if quant is None:
        return
    query = situation.query._replace(quant=quant._replace(activation_key=None))
    walk.notes.append("VLLM_B12X_MOE_FP4_FORCE_A16=1: inputs stay in 16 bits")
    text = f"{key_text(quant.weight_key)}x{key_text(None)}"
    own = situation._replace(query=query, scheme_text=text)
    walk.variants = {**walk.variants, member: own}
