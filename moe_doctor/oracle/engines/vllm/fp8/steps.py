"""vLLM's FP8 oracle, step by step in the order of the source.

Source: fused_moe/oracle/fp8.py, select_fp8_moe_backend. Each step answers with a `Choice`, raises
`Refused` where the engine raises, or returns None to pass on.
"""

from __future__ import annotations

from moe_doctor.core.release import span
from moe_doctor.oracle.engines.vllm.flashinfer_variable import flashinfer_choice
from moe_doctor.oracle.engines.vllm.fp8 import tables
from moe_doctor.oracle.engines.vllm.oracle import (
    MoEOracle,
    ProgramStep,
    log_line,
    map_explicit_name,
    parse_flag,
    return_or_raise,
)
from moe_doctor.oracle.engines.vllm.rocm_variables import aiter_is_wanted
from moe_doctor.oracle.walk import Choice, Refused, Walk


def return_for_lora(walk: Walk) -> Choice | None:
    """With LoRA the release answers before candidates, `--moe-backend` and the environment."""
    if not walk.situation.query.lora:
        return None
    release = ".".join(map(str, walk.release[:2]))
    walk.notes.append(f"vLLM {release} returns here for LoRA, before it looks at anything else")
    return Choice("TRITON", "TritonExperts")


def take_explicit_name(walk: Walk) -> Choice | None:
    """`--moe-backend`: that one, in the dispatch's format, or an error."""
    situation = walk.situation
    option = situation.query.moe_backend
    if option == "auto":
        return None
    member = map_explicit_name(tables.EXPLICIT_NAMES, tables.WORDING, option, walk.release)
    if situation.activation_format == "batched":
        member = tables.BATCHED_VARIANTS.get(member, member)
    walk.notes.append(f"--moe-backend {option} was asked for: no other backend is tried")
    if member in tables.VLLM_CUTLASS and not _allows_vllm_cutlass(walk):
        raise Refused(
            "ValueError", "vLLM CUTLASS FP8 MoE backend is disabled for this configuration."
        )
    if member in tables.DEEP_GEMM and _reads_deep_gemm_flag(walk):
        parse_flag(walk.environment.get("VLLM_USE_DEEP_GEMM", "1"))
    return _plain(return_or_raise(walk, tables.WORDING, member))


def read_flashinfer_variables(walk: Walk) -> Choice | None:
    """VLLM_USE_FLASHINFER_MOE_FP8 and VLLM_FLASHINFER_MOE_BACKEND, when set."""
    wanted = walk.environment.get("VLLM_USE_FLASHINFER_MOE_FP8")
    if wanted is None:
        return None
    if not parse_flag(wanted):
        walk.drop(tables.FLASHINFER, "VLLM_USE_FLASHINFER_MOE_FP8=0 takes it off the list")
        return None
    if "VLLM_FLASHINFER_MOE_BACKEND" in walk.environment:
        member = flashinfer_choice(walk, tables.TRTLLM, tables.CUTLASS, _no_masked_gemm(walk))
        walk.notes.append(
            "VLLM_USE_FLASHINFER_MOE_FP8=1 and VLLM_FLASHINFER_MOE_BACKEND name this backend"
        )
        return _plain(return_or_raise(walk, tables.WORDING, member))
    for member in tables.FLASHINFER:
        kernel, _ = walk.ask(member)
        if kernel is not None:
            walk.notes.append("VLLM_USE_FLASHINFER_MOE_FP8=1 tries FlashInfer alone")
            return _plain(Choice(member, kernel, log_line(walk, tables.WORDING, member)))
    raise Refused(
        "NotImplementedError",
        "Found VLLM_USE_FLASHINFER_MOE_FP8=1, but no FlashInfer FP8 MoE backend supports the "
        "configuration.",
    )


def read_deep_gemm_variables(walk: Walk) -> Choice | None:
    """VLLM_USE_DEEP_GEMM and VLLM_MOE_USE_DEEP_GEMM, when either is set."""
    names = ("VLLM_USE_DEEP_GEMM", "VLLM_MOE_USE_DEEP_GEMM")
    if not any(name in walk.environment for name in names):
        _leave_deep_gemm_out_for_model(walk)
        return None
    if not all(parse_flag(walk.environment.get(name, "1")) for name in names):
        walk.drop(tables.DEEP_GEMM, "the DeepGEMM variables take it off the list")
        return None
    standard, batched = tables.DEEP_GEMM
    member = standard if walk.situation.activation_format == "standard" else batched
    walk.notes.append("the DeepGEMM variables ask for it: DeepGEMM or an error")
    return _plain(return_or_raise(walk, tables.WORDING, member))


def force_marlin(walk: Walk) -> Choice | None:
    """VLLM_TEST_FORCE_FP8_MARLIN (until 0.28.0)."""
    value = walk.environment.get("VLLM_TEST_FORCE_FP8_MARLIN", "0")
    if value.strip().lower() not in ("1", "true"):
        return None
    walk.notes.append("VLLM_TEST_FORCE_FP8_MARLIN: Marlin or an error")
    return return_or_raise(walk, tables.WORDING, "MARLIN")


def read_aiter_variables(walk: Walk) -> Choice | None:
    """VLLM_ROCM_USE_AITER and VLLM_ROCM_USE_AITER_MOE, when either is set, on any platform."""
    wanted = aiter_is_wanted(walk)
    if wanted is None:
        return None
    if not wanted:
        walk.drop(("AITER",), "the VLLM_ROCM_USE_AITER variables take it off the list")
        return None
    walk.notes.append("VLLM_ROCM_USE_AITER=1: AITER or an error")
    return return_or_raise(walk, tables.WORDING, "AITER")


def leave_vllm_cutlass_out(walk: Walk) -> Choice | None:
    """The quantization method may keep vLLM's own CUTLASS kernels off the list."""
    if not _allows_vllm_cutlass(walk):
        walk.drop(tables.VLLM_CUTLASS, "the quantization method does not allow it")
    return None


def take_first_that_fits(walk: Walk) -> Choice | None:
    """The candidates in order; off CUDA and ROCm a model without one goes on."""
    for member in walk.order:
        kernel, _ = walk.ask(member)
        if kernel is not None:
            return _plain(Choice(member, kernel, log_line(walk, tables.WORDING, member)))
    if walk.situation.facts.platform in ("cuda", "rocm"):
        raise Refused(
            "NotImplementedError", "No FP8 MoE backend supports the deployment configuration."
        )
    return Choice("NONE", None)


PROGRAM: tuple[ProgramStep, ...] = (
    ProgramStep(return_for_lora, span(until="0.19.1")),
    ProgramStep(take_explicit_name, span("0.17.0")),
    ProgramStep(read_flashinfer_variables, span(until="0.23.0")),
    ProgramStep(read_deep_gemm_variables, span()),
    ProgramStep(force_marlin, span(until="0.28.0")),
    ProgramStep(read_aiter_variables, span()),
    ProgramStep(leave_vllm_cutlass_out, span()),
    ProgramStep(take_first_that_fits, span()),
)

ORACLE = MoEOracle(
    name="fp8",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=tables.EXPLICIT_NAMES,
    program=PROGRAM,
    order=tables.order,
)


def _allows_vllm_cutlass(walk: Walk) -> bool:
    quant = walk.situation.query.quant
    return quant is not None and quant.allow_vllm_cutlass


def _reads_deep_gemm_flag(walk: Walk) -> bool:
    """is_deep_gemm_supported() reads the variable first; from 0.31.0 only where the GPU fits."""
    facts = walk.situation.facts
    if walk.release < (0, 31, 0):
        return True
    fits = facts.capability is not None and (
        facts.capability == (9, 0) or facts.capability[0] in (10, 12)
    )
    return facts.platform == "cuda" and fits


def _plain(choice: Choice) -> Choice:
    """0.16.0 names no class for FlashInfer TRT-LLM: its conditions are a function's."""
    return choice._replace(kernel=None) if choice.kernel == tables.TRTLLM_FUNCTION else choice


def _no_masked_gemm(walk: Walk) -> str:
    if walk.release < (0, 17, 0):
        return "FlashInfer MaskedGEMM not supported for FP8"
    return "FlashInfer MOE backend FlashinferMoeBackend.CUTEDSL does not support FP8 MoE."


def _leave_deep_gemm_out_for_model(walk: Walk) -> None:
    """Models that DeepGEMM harms on some GPUs (from 0.33.0)."""
    quant, capability = walk.situation.query.quant, walk.situation.facts.capability
    if walk.release < (0, 33, 0) or quant is None or capability is None:
        return
    model = quant.model_type or ""
    if capability[0] in tables.NO_DEEP_GEMM.get(model, ()):
        walk.drop(
            tables.DEEP_GEMM, f"vLLM leaves DeepGEMM out for {model} on {capability[0]}.x GPUs"
        )
