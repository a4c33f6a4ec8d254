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
from moe_doctor.oracle.engines.vllm.methods.integer_formats import marlin_fits, orders_groups
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    Afterwards,
    MethodRefused,
    NoOracle,
    OracleCall,
    refused_by_vllm_config,
    refused_later,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_MERGED_GPTQ: Release = (0, 22, 0)
_MERGED_AWQ: Release = (0, 24, 0)
_PADDED: Release = (0, 25, 0)


def build_gptq(question: Question, declared: Declared, name: str) -> OracleCall | NoOracle:
    """GPTQConfig, GPTQMarlinConfig and AutoGPTQConfig."""
    release = question.release
    if declared.settings.get("dynamic"):
        why = "GPTQ with per-module rules (`dynamic`): the tables do not follow them"
        return NoOracle("", why)
    bits, group = _needed(declared, ("bits",)), _needed(declared, ("group_size",))
    ordered = _needed(declared, ("desc_act",))
    if name == "gptq" and release < _MERGED_GPTQ:
        if bits not in (2, 3, 4, 8):
            text = "Currently, only 2/3/4/8-bit weight quantization is supported for GPTQ, but got "
            raise refused_by_vllm_config(f"{text}{bits} bits.", f"the weights have {bits} bits")
        return _wna16(question, "gptq", bits, group, zeros=False)
    symmetric = _needed(declared, ("sym",))
    if release >= (0, 30, 0) and orders_groups(declared.settings):
        raise refused_by_vllm_config(
            "GPTQ group activation ordering (desc_act=True) is no longer supported. Use a "
            "checkpoint with static activation ordering or desc_act=False.",
            "columns reordered across groups have no kernel from 0.30.0 on",
        )
    if bits not in (4, 8) or symmetric is not True:
        text = f"Unsupported quantization config: bits={bits}, sym={symmetric}"
        raise refused_by_vllm_config(text, "Marlin takes symmetric weights of 4 or 8 bits")
    ordered = bool(ordered) and group != -1
    padding = release >= (0, 30, 0) or (release >= _PADDED and not ordered)
    if not marlin_fits(question, group, padding=padding):
        return _wna16(question, "gptq", bits, group, zeros=False)
    method = "AutoGPTQMoEMethod" if release >= _MERGED_GPTQ else "GPTQMarlinMoEMethod"
    if release < (0, 20, 0):
        return NoOracle(method, "it fixes Marlin by itself in this release", "MARLIN")
    quant = QuantQuery(
        weight_key="kInt4Static" if bits == 4 else "kInt8Static",
        model_type=question.model_type or None,
        kind="gptq",
        bits=bits,
        group_size=group,
        desc_act=ordered,
    )
    return question.ask_with("int_wna16", method, quant)


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
    if not merged and not zeros:
        # AWQConfig hands experts to AWQMarlinConfig, whose kernel needs zero points.
        return NoOracle("", "AWQ without zero points before 0.24.0: the tables do not state it")
    if not marlin_fits(question, group, padding=release >= _PADDED):
        return _wna16(question, "awq", bits, group, zeros=zeros)
    method = "AutoAWQMoEMethod" if merged else "AWQMarlinMoEMethod"
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
    return _wna16(question, declared.method, bits, group, zeros=zeros)


def _wna16(
    question: Question, source: str, bits: int, group: int, *, zeros: bool
) -> OracleCall | NoOracle:
    method, release = "MoeWNA16Method", question.release
    if release < (0, 27, 0):
        return NoOracle(method, "it calls Triton's fused_experts itself in this release", "Triton")
    if bits == 8 and release < (0, 29, 0) and group != -1:
        why = f"{source} of 8 bits in groups of {group}: this release asserts group_size -1"
        return NoOracle("", why)
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
    return question.ask_with("int_wna16", method, quant)


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
