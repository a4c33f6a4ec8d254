"""AWQ and GPTQ checkpoints, and moe_wna16 for both.

Sources: quantization/{awq,awq_marlin,auto_awq,gptq,gptq_marlin,auto_gptq,moe_wna16}.py, 0.16.0 to
0.33.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.query import QuantQuery
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.methods.declared import Declared
from moe_doctor.oracle.engines.vllm.methods.integer_formats import (
    GROUPS,
    NO_LINEAR_KERNEL,
    lacks_linear_kernel,
    marlin_fits,
    orders_groups,
)
from moe_doctor.oracle.engines.vllm.methods.marlin_inputs import refuse_width
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    Afterwards,
    MethodRefused,
    NoOracle,
    OracleCall,
    by_linear,
    refused_by_method,
    refused_by_vllm_config,
    refused_later,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_MERGED_GPTQ: Release = (0, 22, 0)
_MERGED_AWQ: Release = (0, 24, 0)
_PADDED: Release = (0, 25, 0)
_CHECKED: Release = (0, 32, 0)
_LEAST_GROUP = 32
_GPTQ_TYPES = ((4, True), (8, True))


def build_gptq(question: Question, declared: Declared, name: str) -> OracleCall | NoOracle:
    """GPTQConfig, GPTQMarlinConfig and AutoGPTQConfig."""
    release = question.release
    bits, group = _needed(declared, ("bits",)), _needed(declared, ("group_size",))
    ordered = _needed(declared, ("desc_act",))
    if name == "gptq" and release < _MERGED_GPTQ:
        if bits not in (2, 3, 4, 8):
            text = "Currently, only 2/3/4/8-bit weight quantization is supported for GPTQ, but got "
            raise refused_by_vllm_config(f"{text}{bits} bits.", f"the weights have {bits} bits")
        return ask_for_wna16(question, "gptq", bits, group, zeros=False)
    symmetric = _needed(declared, ("sym",))
    if release >= (0, 30, 0):
        _refuse_ordering(declared.settings)
    if (bits, symmetric) not in _GPTQ_TYPES:
        text = f"Unsupported quantization config: bits={bits}, sym={symmetric}"
        raise refused_by_vllm_config(text, "Marlin takes symmetric weights of 4 or 8 bits")
    if release >= _CHECKED and group not in GROUPS:
        # The linear layers are built first, and have no other kernel.
        text = f"Marlin does not support group_size = {group}. Only group_sizes = {list(GROUPS)} "
        text += "are supported."
        raise refused_by_method("ValueError", text, f"group_size is {group}")
    if release >= (0, 30, 0) and lacks_linear_kernel(question, bits):
        reason = f"no kernel for AMD's GPUs takes {bits}-bit integers here"
        raise by_linear(refused_by_method("ValueError", NO_LINEAR_KERNEL, reason))
    ordered = bool(ordered) and group != -1
    padding = release >= (0, 30, 0) or (release >= _PADDED and not ordered)
    if not marlin_fits(question, group, padding=padding):
        # Falls back with the checkpoint's own settings: rules of single modules are not read.
        return ask_for_wna16(question, "gptq", bits, group, zeros=False)
    rule = question.rule("dynamic")
    bits, group = _overridden(rule, "bits", bits), _overridden(rule, "group_size", group)
    ordered, symmetric = bool(rule.get("desc_act", ordered)), rule.get("sym", symmetric)
    if (bits, symmetric) not in _GPTQ_TYPES:
        text = f"Unsupported quantization config: bits={bits}, sym={symmetric}"
        reason = "a `dynamic` rule asks for what Marlin does not take"
        raise refused_by_method("ValueError", text, reason)
    late = refuse_width(question, bits)
    return ask_for_gptq(question, bits, group, ordered=ordered, afterwards=late)


def ask_for_gptq(
    question: Question,
    bits: int,
    group: int,
    *,
    ordered: bool = False,
    afterwards: tuple[Afterwards, ...] = (),
) -> OracleCall | NoOracle:
    """GPTQMarlinMoEMethod and AutoGPTQMoEMethod."""
    release = question.release
    method = "AutoGPTQMoEMethod" if release >= _MERGED_GPTQ else "GPTQMarlinMoEMethod"
    if release < (0, 20, 0):
        if afterwards:
            raise MethodRefused(afterwards[0].refusal)
        return NoOracle(method, "it fixes Marlin by itself in this release", "MARLIN")
    quant = QuantQuery(
        weight_key="kInt4Static" if bits == 4 else "kInt8Static",
        model_type=question.model_type or None,
        kind="gptq",
        bits=bits,
        group_size=group,
        desc_act=ordered,
    )
    return question.ask_with("int_wna16", method, quant, afterwards=afterwards)


def build_awq(question: Question, declared: Declared, name: str) -> OracleCall | NoOracle:
    """AWQConfig, AWQMarlinConfig and AutoAWQConfig."""
    release = question.release
    merged = release >= _MERGED_AWQ
    bits = _needed(declared, ("w_bit", "bits") if name == "awq" or merged else ("bits",))
    group = _needed(
        declared, ("q_group_size", "group_size") if name == "awq" or merged else ("group_size",)
    )
    zeros = bool(_needed(declared, ("zero_point",)))
    if bits != 4:
        raise refused_by_vllm_config(_awq_bits(bits, name, merged), f"the weights have {bits} bits")
    if not marlin_fits(question, group, padding=release >= _PADDED):
        for key in ("bits", "group_size"):
            if key not in declared.settings:  # moe_wna16 knows these spellings alone
                text = f"Cannot find any of ['{key}'] in the model's quantization config."
                raise refused_by_method("ValueError", text, f"quantization_config lacks {key}")
        return ask_for_wna16(question, "awq", bits, group, zeros=zeros)
    if not merged and not zeros:
        # AWQConfig hands experts to AWQMarlinConfig, whose 4-bit type comes with zero points.
        text = "Marlin does not support weight_bits = uint4. Only types = ["
        raise refused_by_method("ValueError", text, "the weights have no zero points")
    return ask_for_awq(question, group, zeros=zeros)


def check_awq_keys(declared: Declared) -> None:
    """What CPUAWQConfig.from_config needs; its experts stay as they are."""
    for keys in (("w_bit", "bits"), ("q_group_size", "group_size"), ("zero_point",)):
        _needed(declared, keys)


def ask_for_awq(question: Question, group: int, *, zeros: bool) -> OracleCall | NoOracle:
    """AWQMarlinMoEMethod and AutoAWQMoEMethod."""
    release = question.release
    method = "AutoAWQMoEMethod" if release >= _MERGED_AWQ else "AWQMarlinMoEMethod"
    late: tuple[Afterwards, ...] = ()
    if group == -1:
        width = question.query.intermediate_size_per_partition
        hidden, experts = question.query.hidden_size, question.query.num_local_experts
        text = f"Trying to create tensor with negative dimension -{hidden}: "
        text += f"[{experts}, -{hidden}, {2 * width}]"
        late = (refused_later("RuntimeError", text, "the method divides by group_size -1"),)
    if release < (0, 22, 0):
        if late:
            raise MethodRefused(late[0].refusal)
        return NoOracle(method, "it fixes Marlin by itself in this release", "MARLIN")
    quant = QuantQuery(
        weight_key="kInt4Static",
        model_type=question.model_type or None,
        kind="awq",
        group_size=group,
        symmetric=not zeros,
    )
    return question.ask_with("int_wna16", method, quant, afterwards=late)


def build_moe_wna16(question: Question, declared: Declared) -> OracleCall | NoOracle:
    """MoeWNA16Config, by `--quantization moe_wna16`."""
    raw: Mapping[str, Any] = declared.settings
    awq = declared.method == "awq"
    zeros = bool(raw.get("zero_point")) if awq else raw.get("sym") is not True
    bits, group = _needed(declared, ("bits",)), _needed(declared, ("group_size",))
    if declared.method not in ("gptq", "awq"):
        text = "moe_wna16 only support gptq and awq."
        raise refused_by_vllm_config(text, f"the checkpoint calls itself {declared.method}")
    return ask_for_wna16(question, declared.method, bits, group, zeros=zeros)


def ask_for_wna16(
    question: Question, source: str, bits: int, group: int, *, zeros: bool
) -> OracleCall | NoOracle:
    """MoeWNA16Method."""
    method, release = "MoeWNA16Method", question.release
    late: tuple[Afterwards, ...] = ()
    if group == -1:
        width, hidden = question.query.intermediate_size_per_partition, question.query.hidden_size
        text = f"Trying to create tensor with negative dimension -{hidden}: "
        text += f"[{question.query.num_local_experts}, {2 * width}, -{hidden}]"
        late = (refused_later("RuntimeError", text, "the method divides by group_size -1"),)
    else:
        late = refuse_halving(question, group)
    if release < (0, 27, 0):
        if late:
            raise MethodRefused(late[0].refusal)
        return NoOracle(method, "it calls Triton's fused_experts itself in this release", "TRITON")
    if bits == 8 and release < (0, 29, 0) and group != -1:
        reason = f"{source} of 8 bits in groups of {group}: this release asserts group_size -1"
        raise refused_by_method("AssertionError", "", reason)
    key = "kInt8Static"
    if bits == 4:
        key = "kInt4Static32" if group == 32 else "kInt4Static"
    quant = QuantQuery(
        weight_key=key,
        model_type=question.model_type or None,
        kind="moe_wna16",
        bits=bits,
        group_size=group,
        symmetric=not zeros,
    )
    return question.ask_with("int_wna16", method, quant, afterwards=late)


def refuse_halving(question: Question, group: int) -> tuple[Afterwards, ...]:
    """create_weights halves the groups until they divide a rank's sizes, down to 32 columns."""
    width, hidden = question.query.intermediate_size_per_partition, question.query.hidden_size
    left = group
    while left > 0 and (width % left or hidden % left):
        left //= 2
        if left < _LEAST_GROUP:
            reason = f"groups of {group} cannot be halved to divide {width} and {hidden} columns"
            return (refused_later("AssertionError", "", reason),)
    return ()


def _refuse_ordering(raw: Mapping[str, Any]) -> None:
    """normalize_and_validate_gptq_desc_act: the checkpoint's own setting, then each rule's."""
    reason = "columns reordered across groups have no kernel from 0.30.0 on"
    text = "GPTQ group activation ordering (desc_act=True) is no longer supported"
    tail = "Use a checkpoint with static activation ordering or desc_act=False."
    if orders_groups(raw):
        raise refused_by_vllm_config(f"{text}. {tail}", reason)
    rules = raw.get("dynamic")
    for pattern, rule in rules.items() if isinstance(rules, Mapping) else ():
        if str(pattern).startswith("-:") or not isinstance(rule, Mapping):
            continue
        if orders_groups({**raw, **rule}):
            where = f", but is enabled by dynamic rule {pattern!r}. "
            raise refused_by_vllm_config(f"{text}{where}{tail}", reason)


def _overridden(rule: Mapping[str, Any], key: str, value: int) -> int:
    found = rule.get(key, value)
    return found if isinstance(found, int) else value


def _needed(declared: Declared, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if key in declared.settings:
            return declared.settings[key]
    raise refused_by_vllm_config(
        f"Cannot find any of {list(keys)} in the model's quantization config.",
        f"quantization_config lacks {' and '.join(keys)}",
    )


def _awq_bits(bits: object, name: str, merged: bool) -> str:
    if merged:
        return (
            f"Unsupported num_bits = {bits}. Supported: 4. For 8-bit AWQ, use Marlin backend by "
            "setting backend='awq:marlin' or backend='marlin'."
        )
    if name == "awq":
        return (
            f"Currently, only 4-bit weight quantization is supported for AWQ, but got {bits} bits."
        )
    return f"Unsupported num_bits = {bits}. Supported num_bits = dict_keys([4, 8])"
