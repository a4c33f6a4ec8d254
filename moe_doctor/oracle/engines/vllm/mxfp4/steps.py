"""vLLM's MXFP4 oracles, step by step in the order of the source.

Source: fused_moe/oracle/mxfp4.py, select_mxfp4_moe_backend, select_gpt_oss_mxfp4_moe_backend and
select_deepseek_v4_mxfp4_moe_backend. Each step answers with a `Choice`, raises `Refused` where the
engine raises, or returns None to pass on.
"""

from __future__ import annotations

from moe_doctor.backends.situation import Situation
from moe_doctor.core.release import Release, span
from moe_doctor.oracle.engines.vllm.mxfp4 import order, tables
from moe_doctor.oracle.engines.vllm.mxfp4.choices import first_that_fits, return_or_raise
from moe_doctor.oracle.engines.vllm.mxfp4.variables import read_variables
from moe_doctor.oracle.engines.vllm.oracle import (
    ExplicitName,
    MoEOracle,
    ProgramStep,
    parse_flag,
)
from moe_doctor.oracle.engines.vllm.quant_keys import key_text_on
from moe_doctor.oracle.walk import Choice, Refused, Walk

_UNSUPPORTED = "No MXFP4 MoE backend supports the deployment configuration."


def return_for_lora(walk: Walk) -> Choice | None:
    """With LoRA the release answers before candidates and `--moe-backend` (until 0.20.2)."""
    facts = walk.situation.facts
    capability = facts.capability
    has_triton_kernels = "triton_kernels" in facts.features
    if walk.release < (0, 20, 0) and has_triton_kernels and facts.platform in ("cpu", "xpu"):
        raise Refused("TypeError", "'<=' not supported between instances of 'tuple' and 'NoneType'")
    if not walk.situation.query.lora:
        return None
    if facts.platform != "cuda":
        raise Refused("NotImplementedError", "Mxfp4 LoRA is currently only supported on CUDA.")
    release = ".".join(map(str, walk.release[:2]))
    walk.notes.append(f"vLLM {release} returns here for LoRA, before it looks at anything else")
    marlin = walk.environment.get("VLLM_MXFP4_USE_MARLIN")
    fits = has_triton_kernels and capability is not None and (9, 0) <= capability < (11, 0)
    if marlin is not None and not parse_flag(marlin) and fits:
        return Choice(
            "TRITON_UNFUSED", "UnfusedOAITritonExperts", "Using Triton backend for mxfp4 lora"
        )
    return Choice("MARLIN", "MarlinExperts", "Using Marlin backend for mxfp4 lora")


def take_explicit_name(walk: Walk) -> Choice | None:
    """`--moe-backend` of the general oracle: filtered by the inputs that are asked for."""
    option = walk.situation.query.moe_backend
    if option == "auto":
        return None
    members = _members_of(walk, option)
    wanted = order.requested(walk.situation)
    release = walk.release
    if release >= (0, 22, 0):
        if release < (0, 29, 0):
            members = _in_format(walk, members)
        named = members
        members = _in_format(walk, _requested(walk, members, wanted))
        if not members:
            shown = key_text_on(wanted, walk.situation.facts.arch)
            variants = f"; supported variants: {list(named)}" if release < (0, 29, 0) else ""
            raise Refused(
                "ValueError",
                f"moe_backend='{option}' does not support activation={shown}{variants}",
            )
    else:
        members = _in_format(walk, members)
    for member in members:
        inputs = tables.OWN_INPUTS.get(member)
        if release >= (0, 29, 0):
            inputs = wanted if member == "EMULATION" else inputs
        elif release >= (0, 21, 0) and wanted is not None:
            inputs = wanted
        order.ask_about(walk, member, inputs)
    return _one_of(walk, option, members)


def take_explicit_name_as_it_is(walk: Walk) -> Choice | None:
    """`--moe-backend` of DeepSeek-V4's oracle: every variant with its own inputs."""
    option = walk.situation.query.moe_backend
    if option == "auto":
        return None
    members = _members_of(walk, option)
    if option == "b12x" or (0, 29, 0) <= walk.release < (0, 30, 0):
        members = _requested(walk, members, None)
    members = _in_format(walk, members)
    order.ask_all(walk, {member: tables.OWN_INPUTS.get(member) for member in members})
    return _one_of(walk, option, members)


def emulate_unreliable_shape(walk: Walk) -> Choice | None:
    """One shape of one model on MI350 goes to emulation (_requires_qwen38_tep8_emulation)."""
    query, facts = walk.situation.query, walk.situation.facts
    wanted = order.requested(walk.situation)
    shape = (
        query.num_experts,
        query.num_local_experts,
        query.hidden_size,
        query.intermediate_size_per_partition * query.parallel.tp_size,
        query.parallel.ep_size,
    )
    if (
        wanted != "kMxfp4Dynamic"
        or not query.parallel.use_ep
        or shape != (512, 64, 2560, 640, 8)
        or facts.platform != "rocm"
        or not facts.arch.startswith("gfx950")
    ):
        return None
    walk.notes.append("AITER's W4A4 kernel is not reliable for this shape: vLLM emulates it")
    order.ask_about(walk, "EMULATION", wanted)
    return return_or_raise(walk, "EMULATION")


def try_in_order(walk: Walk) -> Choice | None:
    """The candidates in order."""
    wanted = order.requested(walk.situation)
    inputs = {member: tables.OWN_INPUTS.get(member) for member in walk.order}
    if walk.release >= (0, 32, 0):
        if "EMULATION" in inputs:
            inputs["EMULATION"] = wanted
    elif walk.release >= (0, 21, 0) and wanted is not None:
        inputs = dict.fromkeys(inputs, wanted)
    order.ask_all(walk, inputs)
    return first_that_fits(walk)


def try_in_order_as_it_is(walk: Walk) -> Choice | None:
    """DeepSeek-V4's candidates in order, each with its own inputs."""
    order.ask_all(walk, {member: tables.OWN_INPUTS.get(member) for member in walk.order})
    choice = first_that_fits(walk)
    if choice is not None:
        return choice
    raise Refused("NotImplementedError", _UNSUPPORTED)


def fall_back(walk: Walk) -> Choice | None:
    """What a platform is left with when no candidate fits."""
    platform, release = walk.situation.facts.platform, walk.release
    last = {"xpu": "XPU"}
    if (0, 22, 0) <= release < (0, 30, 0):
        last["cpu"] = "CPU"
    if (0, 24, 0) <= release < (0, 27, 0):
        last["rocm"] = "TRITON_UNFUSED"
    if platform in last:
        member = last[platform]
        walk.notes.append(f"no candidate fits: vLLM asks {member} once more")
        walk.begin_again(member)
        order.ask_about(walk, member, None)
        return return_or_raise(walk, member)
    if release >= (0, 27, 0) or platform in ("cuda", "rocm"):
        raise Refused("NotImplementedError", _refusal(walk))
    walk.notes.append("no candidate fits, and vLLM names no backend on this platform")
    return Choice("NONE", None)


def _refusal(walk: Walk) -> str:
    """The sentence of the release."""
    if walk.release < (0, 22, 0):
        return _UNSUPPORTED
    wanted = key_text_on(order.requested(walk.situation), walk.situation.facts.arch)
    text = f"{_UNSUPPORTED} weight_key=kMxfp4Static, activation_key={wanted}. "
    if walk.release < (0, 27, 0):
        text += (
            "Native backends require specific hardware. "
            "Set `VLLM_LOGGING_LEVEL=DEBUG` to see detailed unsupported reasons. "
        )
        if walk.release < (0, 25, 0):
            text += (
                "To use the emulation backend for research/debugging, pass --moe-backend emulation."
            )
        return text
    reasons = []
    for member in walk.order:
        value = walk.backends[member].value
        for kernel in walk.backends[member].kernels:
            rejection = walk.judge(kernel, member)
            reasons.append(
                f"backend: {value}, reason: {rejection.engine if rejection is not None else None}"
            )
    values = [walk.backends[member].value for member in walk.order]
    return f"{text}Candidate backends were: {values}. Unsupported reasons: {'; '.join(reasons)}. "


def _members_of(walk: Walk, option: str) -> list[str]:
    known = tables.names_of(walk.release)
    if option not in known:
        raise Refused(
            "ValueError",
            f"moe_backend='{option}' is not supported for MXFP4 MoE. "
            f"Expected one of {list(known)}.",
        )
    return list(known[option])


def _requested(walk: Walk, members: list[str], wanted: str | None) -> list[str]:
    """_get_requested_backends(): B12X has a variable and a rule of its own."""
    if members[0].startswith("B12X"):
        if parse_flag(walk.environment.get("VLLM_B12X_MOE_FP4_FORCE_A16", "0")):
            return ["B12X_MXFP4_BF16"]
        if wanted is None:
            return members
    return order.filter_by_inputs(members, wanted, walk.release)


def _in_format(walk: Walk, members: list[str]) -> list[str]:
    """MARLIN means its batched twin where the dispatch hands over batches."""
    if walk.situation.activation_format != "batched":
        return members
    return ["BATCHED_MARLIN" if one == "MARLIN" else one for one in members]


def _one_of(walk: Walk, option: str, members: list[str]) -> Choice:
    walk.notes.append(f"--moe-backend {option} was asked for: no other backend is tried")
    last: Refused | None = None
    for member in members:
        try:
            return return_or_raise(walk, member)
        except Refused as refusal:
            if refusal.error.type != "ValueError":
                raise
            last = refusal
    if last is None:
        raise AssertionError(f"--moe-backend {option} stands for no backend")
    raise last


_GENERAL_PROGRAM: tuple[ProgramStep, ...] = (
    ProgramStep(return_for_lora, span("0.19.0", "0.20.2")),
    ProgramStep(take_explicit_name, span("0.19.0")),
    ProgramStep(read_variables, span("0.19.0", "0.23.0")),
    ProgramStep(emulate_unreliable_shape, span("0.29.0", "0.32.0")),
    ProgramStep(try_in_order, span("0.19.0")),
    ProgramStep(fall_back, span("0.19.0")),
)
_NAMES = tuple(ExplicitName(one.option, one.members[0], one.span) for one in tables.EXPLICIT_NAMES)


def _order(situation: Situation, release: Release) -> list[str]:
    """0.20.x gives the general name to the order that prefers MXFP8 inputs."""
    if (0, 20, 0) <= release < (0, 21, 0):
        return order.mxfp8_first(situation, release)
    return order.general(situation, release)


MXFP4 = MoEOracle(
    name="mxfp4",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=_NAMES,
    program=(
        # 0.20.x alone: these always answer
        ProgramStep(take_explicit_name_as_it_is, span("0.20.0", "0.20.2")),
        ProgramStep(try_in_order_as_it_is, span("0.20.0", "0.20.2")),
        *_GENERAL_PROGRAM,
    ),
    order=_order,
)

# 0.20.0 to 0.20.2
GPT_OSS_MXFP4 = MoEOracle(
    name="gpt_oss_mxfp4",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=_NAMES,
    program=_GENERAL_PROGRAM,
    order=order.general,
)

# from 0.21.0
DEEPSEEK_V4_MXFP4 = MoEOracle(
    name="deepseek_v4_mxfp4",
    wording=tables.WORDING,
    backend_rows=tables.BACKENDS,
    explicit_names=_NAMES,
    program=(
        ProgramStep(take_explicit_name_as_it_is, span("0.21.0")),
        ProgramStep(try_in_order_as_it_is, span("0.21.0")),
    ),
    order=order.mxfp8_first,
)
