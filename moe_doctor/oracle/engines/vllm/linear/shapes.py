"""What a quantized linear layer raises about its sizes while its weights are made.

Sources: create_weights of each linear method, utils/fp8_utils.py (validate_fp8_block_shape),
releases 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from math import gcd

from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.linear.kernels import has_kernel, marlin_takes
from moe_doctor.oracle.engines.vllm.linear.layer import Linear
from moe_doctor.oracle.engines.vllm.linear.stored import Stored
from moe_doctor.oracle.engines.vllm.methods.integer_formats import NO_LINEAR_KERNEL
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    by_linear,
    refused_by_method,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_PADS_ROWS = (0, 29, 0)
_COMPOSED = (0, 30, 0)
_OCP_MX = (0, 29, 0)
# Kinds whose parameter is `qweight` or `weight_packed`.
_PACKED = frozenset({"awq", "ct_mxfp4", "ct_nvfp4", "gptq", "int", "nvfp4a16"})
_ALIGNED = (
    "The {side} size is not aligned with the quantized weight shape. This can be caused by too "
    "large tensor parallel size."
)


def refuse_shape(
    linear: Linear, stored: Stored, question: Question, ranks: int
) -> MethodRefused | None:
    """The refusal of one linear layer, or None; `ranks` share it."""
    if not linear.inputs:
        return None
    match stored.kind:
        case "fp8":
            return _refuse_blocks(linear, stored, ranks)
        case "nvfp4":
            return _refuse_unit(linear, 16, "Unsupported model when in features size is not ")
        case "mxfp8":
            text = "MXFP8 requires input dimension to be divisible by 32, got "
            if question.release >= _COMPOSED:
                text = "MXFP8 requires input size divisible by 32, got "
            return _refuse_unit(linear, 32, f"{text}{linear.inputs_here}")
        case "ocp_mx" if question.release >= _OCP_MX:
            return _refuse_unit(linear, 32, "OCP MX linear layer '")
        case "pb_wo":
            return _refuse_whole_blocks(linear, stored, question.release)
        case "awq":
            return _refuse_awq(linear, stored, question)
        case "gptq" if stored.fallback and question.release < (0, 22, 0):
            return _refuse_unaligned(linear, stored)
        case "gptq" | "int":
            return _refuse_integers(linear, stored, question)
        case "w4a8":
            return _refuse_w4a8(linear, stored, question)
        case _:
            return None


def _refuse_unit(linear: Linear, unit: int, text: str) -> MethodRefused | None:
    if linear.inputs_here % unit == 0:
        return None
    if unit == 16:
        text += "multiple of 16"
    return _refused("ValueError", text, linear, f"columns are no whole groups of {unit}")


def refuse_online_shape(linear: Linear, name: str) -> MethodRefused | None:
    """The refusal of a layer that `--quantization mxfp8` or `mxfp4` makes of a plain one."""
    found = linear.inputs_here
    if found % 32 == 0:
        return None
    text = f"{name.upper()} requires input_size_per_partition ({found}) to be divisible by 32."
    return _refused("ValueError", text, linear, "columns are no whole groups of 32")


def refuse_packed(linear: Linear, stored: Stored) -> MethodRefused | None:
    """What a class raises that looks for `weight` where the method calls it otherwise."""
    if stored.kind not in _PACKED:
        return None
    text = "'ColumnParallelLinear' object has no attribute 'weight'"
    reason = f"{linear.path} is packed, and Mamba 2 looks for a parameter `weight` here"
    return refused_by_method("AttributeError", text, reason)


def _refuse_blocks(linear: Linear, stored: Stored, ranks: int) -> MethodRefused | None:
    rows, columns = stored.block
    parts = linear.outputs_here
    uneven = len(parts) > 1 and any(size % max(1, rows) for size in parts)
    if rows < 1 or columns < 1 or (stored.lenient and uneven):
        return None
    divided = ranks > 1 and linear.inputs // linear.inputs_here == ranks
    if divided and linear.inputs_here % columns:
        text = (
            f"Weight input_size_per_partition = {linear.inputs_here} is not divisible by weight "
            f"quantization block_k = {columns}."
        )
        return _refused("ValueError", text, linear, f"blocks are {columns} columns wide")
    split = ranks > 1 and linear.outputs // linear.rows == ranks
    if not split:
        parts = parts[:-1]
    for size in parts:
        if size % rows:
            text = (
                f"Weight output_partition_size = {size} is not divisible by weight quantization "
                f"block_n = {rows}."
            )
            return _refused("ValueError", text, linear, f"blocks are {rows} rows high")
    return None


def _refuse_whole_blocks(linear: Linear, stored: Stored, release: Release) -> MethodRefused | None:
    """ModelOptFp8PbWoLinearMethod: rows are padded from 0.29.0 on, columns never."""
    rows, columns = stored.block
    if linear.rows % rows and release < _PADS_ROWS:
        text = f"ModelOpt FP8_PB_WO requires out_features divisible by {rows}, got {linear.rows}."
        return _refused("ValueError", text, linear, f"blocks are {rows} rows high")
    found = linear.inputs_here
    if found % columns == 0:
        return None
    text = f"ModelOpt FP8_PB_WO requires in_features divisible by {columns}, got {found}."
    if release >= _COMPOSED:
        text = f"FP8_PB_WO requires in divisible by {columns}, got {found}"
    return _refused("ValueError", text, linear, f"blocks are {columns} columns wide")


def _refuse_awq(linear: Linear, stored: Stored, question: Question) -> MethodRefused | None:
    """Marlin's class where the shape suits it, else the plain one, which wants whole groups."""
    suits = marlin_takes(linear, stored, question)
    if stored.fallback or not suits:
        return _refuse_unaligned(linear, stored)
    if question.release < (0, 19, 0):
        return None
    return _refuse_integers(linear, stored, question)


def _refuse_unaligned(linear: Linear, stored: Stored) -> MethodRefused | None:
    group = stored.group if stored.group > 0 else linear.inputs
    if stored.kind == "gptq" and stored.group == -1:
        group = 1
    if linear.inputs_here % group:
        text = _ALIGNED.format(side="input")
        return _refused("ValueError", text, linear, f"groups are {group} columns wide")
    pack = 32 // gcd(32, stored.bits)
    if linear.rows % pack:
        text = _ALIGNED.format(side="output")
        return _refused("ValueError", text, linear, f"{pack} rows are packed together")
    return None


def _refuse_integers(linear: Linear, stored: Stored, question: Question) -> MethodRefused | None:
    unserved = _refuse_kernel(linear, stored, question)
    if unserved is not None or stored.kind != "int":
        return unserved
    # compressed_tensors_wNa16.py wants whole groups on each rank whatever the kernel takes.
    divided = linear.inputs != linear.inputs_here
    repeated = stored.ordered or (stored.group == -1 and divided)
    return None if repeated else _refuse_cut_groups(linear, stored, question)


def _refuse_w4a8(linear: Linear, stored: Stored, question: Question) -> MethodRefused | None:
    """compressed_tensors_w4a8_int.py asks for whole groups first, compressed_tensors_w4a8_fp8.py
    for a kernel."""
    if not stored.by_fp8 and stored.group != -1:
        text = (
            f"input_size_per_partition {linear.inputs_here} not divisible by group_size "
            f"{stored.group}"
        )
        refused = _refuse_cut_groups(linear, stored, question, text)
        if refused is not None:
            return refused
    unserved = _refuse_kernel(linear, stored, question)
    if unserved is not None or not stored.by_fp8:
        return unserved
    return _refuse_cut_groups(linear, stored, question)


def _refuse_kernel(linear: Linear, stored: Stored, question: Question) -> MethodRefused | None:
    if has_kernel(linear, stored, question):
        return None
    reason = f"no kernel takes {stored.bits}-bit integers in groups of {stored.group}"
    return _refused("ValueError", NO_LINEAR_KERNEL, linear, reason)


def _refuse_cut_groups(
    linear: Linear, stored: Stored, question: Question, text: str = ""
) -> MethodRefused | None:
    """What is raised where a rank's columns are no whole groups; `text` = until 0.24."""
    group = linear.inputs if stored.group == -1 else stored.group
    if linear.inputs_here % group == 0:
        return None
    reason = f"groups are {group} columns wide"
    if question.release < (0, 25, 0):
        return _refused("AssertionError", text, linear, reason)
    named = " for layer '" if stored.kind == "int" else f" is not divisible by group_size={group}."
    text = f"Weight input_size_per_partition={linear.inputs_here}{named}"
    return _refused("ValueError", text, linear, reason)


def _refused(kind: str, text: str, linear: Linear, why: str) -> MethodRefused:
    reason = (
        f"{linear.path} has {linear.rows} rows and {linear.inputs_here} columns on each rank, and "
        f"{why}"
    )
    return by_linear(refused_by_method(kind, text, reason))
