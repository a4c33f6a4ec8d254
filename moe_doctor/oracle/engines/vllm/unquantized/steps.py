"""vLLM's unquantized oracle, step by step in the order of the source (from 0.20.0 on).

Source: fused_moe/oracle/unquantized.py, select_unquantized_moe_backend. Each step answers with a
`Choice`, raises `Refused` where the engine raises, or returns None to pass on.
"""

from __future__ import annotations

from moe_doctor.core.release import span
from moe_doctor.oracle.engines.vllm.flashinfer_variable import flashinfer_choice
from moe_doctor.oracle.engines.vllm.oracle import (
    MoEOracle,
    ProgramStep,
    first_that_fits,
    log_line,
    map_explicit_name,
    parse_flag,
    return_or_raise,
)
from moe_doctor.oracle.engines.vllm.rocm_variables import aiter_is_wanted
from moe_doctor.oracle.engines.vllm.unquantized import legacy, tables
from moe_doctor.oracle.walk import Choice, Refused, Walk

_RETURNS = "returns here for LoRA, before it looks at any other backend or at --moe-backend"


def leave_early(walk: Walk) -> Choice | None:
    """Platforms without a choice: one backend and no experts class."""
    platform = walk.situation.facts.platform
    walk.notes.append(f"vLLM has one path on {platform} and returns before it looks at anything")
    return Choice(walk.order[0], None)


def leave_early_off_gpu(walk: Walk) -> Choice | None:
    """TPU and out-of-tree platforms always, CPU until 0.27.1."""
    platform = walk.situation.facts.platform
    early = ("tpu", "oot", "cpu") if walk.release <= (0, 27, 1) else ("tpu", "oot")
    return leave_early(walk) if platform in early else None


def return_for_lora(walk: Walk) -> Choice | None:
    """With LoRA the release answers before candidates, `--moe-backend` and the environment."""
    if not walk.situation.query.lora:
        return None
    release = ".".join(map(str, walk.release[:2]))
    if walk.release >= (0, 26, 0):
        walk.aside = {"TrtLlmBf16LoRAExperts": tables.TRTLLM}
        rejection = walk.ask_kernel("TrtLlmBf16LoRAExperts")
        walk.notes.append(f"vLLM {release} {_RETURNS}")
        if rejection is None:
            shard = walk.situation.query.intermediate_size_per_partition
            if shard % 128 == 0:
                log = "Using TrtLlmBf16LoRAExperts Unquantized MoE LoRA backend "
                log += "(TrtLlmBf16LoRAExperts)."
                return Choice(tables.TRTLLM, "TrtLlmBf16LoRAExperts", log)
            why = f"intermediate_size_per_partition is {shard}; needs a multiple of 128"
            walk.overruled = {"TrtLlmBf16LoRAExperts": why}
        return Choice("TRITON", "TritonExperts", "Using TRITON Unquantized MoE LoRA backend")
    walk.notes.append(f"vLLM {release} {_RETURNS}")
    return Choice("TRITON", "TritonExperts")


def return_for_moonep(walk: Walk) -> Choice | None:
    """MoonEP's all2all owns the layout of the experts."""
    if walk.situation.all2all != "moonep":
        return None
    walk.notes.append("all2all backend moonep brings its own experts")
    return return_or_raise(walk, tables.WORDING, "MOONEP")


def take_explicit_name(walk: Walk) -> Choice | None:
    """`--moe-backend`: that one or an error, never another."""
    option = walk.situation.query.moe_backend
    if option in tables.pass_through(walk.release):
        return None
    member = map_explicit_name(tables.EXPLICIT_NAMES, tables.WORDING, option, walk.release)
    if member == "TRITON" and walk.situation.activation_format == "batched":
        member = "BATCHED_TRITON"
    walk.notes.append(f"--moe-backend {option} was asked for: no other backend is tried")
    return return_or_raise(walk, tables.WORDING, member)


def read_flashinfer_variables(walk: Walk) -> Choice | None:
    """VLLM_USE_FLASHINFER_MOE_FP16 and VLLM_FLASHINFER_MOE_BACKEND, when set."""
    wanted = walk.environment.get("VLLM_USE_FLASHINFER_MOE_FP16")
    if wanted is None:
        return None
    if not parse_flag(wanted):
        walk.drop(tables.FLASHINFER, "VLLM_USE_FLASHINFER_MOE_FP16=0 takes it off the list")
        return None
    if "VLLM_FLASHINFER_MOE_BACKEND" in walk.environment:
        refusal = (
            "FlashInfer MOE backend FlashinferMoeBackend.CUTEDSL does not support unquantized MoE."
        )
        member = flashinfer_choice(walk, tables.TRTLLM, tables.CUTLASS, refusal)
        walk.notes.append(
            "VLLM_USE_FLASHINFER_MOE_FP16=1 and VLLM_FLASHINFER_MOE_BACKEND name this backend"
        )
        return return_or_raise(walk, tables.WORDING, member)
    for member in tables.FLASHINFER:
        kernel, _ = walk.ask(member)
        if kernel is not None:
            walk.notes.append("VLLM_USE_FLASHINFER_MOE_FP16=1 tries FlashInfer alone")
            return Choice(member, kernel, log_line(walk, tables.WORDING, member))
    raise Refused(
        "NotImplementedError",
        "Found VLLM_USE_FLASHINFER_MOE_FP16=1, but no FlashInfer unquantized MoE backend "
        "supports the configuration.",
    )


def read_aiter_variables(walk: Walk) -> Choice | None:
    """VLLM_ROCM_USE_AITER and VLLM_ROCM_USE_AITER_MOE, when either is set, on any platform."""
    enabled = aiter_is_wanted(walk)
    if enabled is None:
        return None
    if not enabled:
        walk.drop(("AITER",), "the VLLM_ROCM_USE_AITER variables take it off the list")
        return None
    if walk.release <= (0, 30, 0):
        walk.notes.append("VLLM_ROCM_USE_AITER=1: AITER or an error")
        return return_or_raise(walk, tables.WORDING, "AITER")
    kernel, rejection = walk.ask("AITER")
    if kernel is not None:
        walk.notes.append("VLLM_ROCM_USE_AITER=1: AITER is tried first")
        return Choice("AITER", kernel, log_line(walk, tables.WORDING, "AITER"))
    walk.notes.append(
        "VLLM_ROCM_USE_AITER=1 was asked for, but AITER "
        f"{rejection.doctor if rejection else 'has no kernel'}: the others are tried"
    )
    walk.drop(("AITER",), rejection.doctor if rejection else "has no kernel")
    return None


def take_first_that_fits(walk: Walk) -> Choice | None:
    """The candidates in order."""
    choice = first_that_fits(walk, tables.WORDING)
    if choice is not None:
        return choice
    raise Refused(
        "NotImplementedError",
        "No Unquantized MoE backend supports the deployment configuration.",
    )


PROGRAM: tuple[ProgramStep, ...] = (
    ProgramStep(legacy.read_variable_first, span(until="0.19.1")),
    ProgramStep(legacy.take_explicit_name, span("0.17.0", "0.19.1")),
    ProgramStep(legacy.follow_platform, span(until="0.19.1")),
    ProgramStep(leave_early_off_gpu, span("0.20.0")),
    # PR 40273
    ProgramStep(return_for_lora, span("0.20.0")),
    ProgramStep(return_for_moonep, span("0.31.0")),
    ProgramStep(take_explicit_name, span("0.20.0")),
    ProgramStep(read_flashinfer_variables, span("0.20.0", "0.23.0")),
    ProgramStep(read_aiter_variables, span("0.20.0")),
    ProgramStep(take_first_that_fits, span("0.20.0")),
)


ORACLE = MoEOracle(
    name="unquantized",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=tables.EXPLICIT_NAMES,
    program=PROGRAM,
    order=tables.order,
)
