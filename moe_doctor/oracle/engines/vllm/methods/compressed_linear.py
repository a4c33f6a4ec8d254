"""compressed-tensors: what the linear layers of the same group raise before the experts are built.

Attention comes first in every decoder layer; where the checkpoint's ignore list names it, it is
not quantized and refuses nothing. Source: CompressedTensorsConfig._get_scheme_from_parts, 0.16.0
to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Mapping

from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.methods.arguments import Arguments
from moe_doctor.oracle.engines.vllm.methods.compressed_groups import WITH_INPUTS, Group
from moe_doctor.oracle.engines.vllm.methods.integer_formats import (
    NO_LINEAR_KERNEL,
    lacks_linear_kernel,
)
from moe_doctor.oracle.engines.vllm.methods.outcome import MethodRefused, refused_by_method
from moe_doctor.oracle.engines.vllm.methods.question import Question

_NOT_SPARSE: Release = (0, 22, 0)
_SPARSE_SIDES = ("tensor", "channel", "token")
# The release goes on with the layer's name and both arguments from 0.24.0 on.
_NO_SCHEME = "No compressed-tensors compatible scheme was found"


def refuse_linear(question: Question, group: Group) -> MethodRefused | None:
    """The refusal of attention's linear layers, or None; the tests in the order of the code."""
    weights, inputs, layout = group.weights, group.inputs, group.layout
    release = question.release
    if weights.is_nvfp4 and (inputs is None or release >= (0, 23, 0)):
        return None if inputs is None else _refuse_nvfp4(question, inputs)
    if weights.is_mxfp4:
        if not question.setting.is_below((8, 0)) or not question.is_on("cuda"):
            return None
        return _refuse_capability(question, (8, 0))
    if weights.is_mxfp8 and release >= (0, 20, 0):
        return None
    if inputs is not None and is_w4a8(question, weights, inputs):
        return _refuse_group(weights)
    packed, by_group = layout == "pack-quantized", weights.strategy in ("channel", "group")
    if inputs is None and by_group and not weights.dynamic:
        narrow = weights.num_bits not in (4, 8)
        if (0, 23, 0) <= release < (0, 25, 0) and narrow and weights.type == "int":
            return _refuse_narrow(weights)
        if packed and (release >= (0, 25, 0) or not narrow):
            return _refuse_on_rocm(question, weights)
    if inputs is not None and release >= (0, 26, 0) and packed and by_group:
        integers = weights.type == inputs.type == "int" and not weights.dynamic
        by_token = inputs.dynamic and inputs.strategy in ("token", "group")
        if integers and by_token and inputs.symmetric:
            return None
    if layout not in WITH_INPUTS:
        return _no_scheme(weights, inputs)
    return _refuse_with_inputs(question, weights, inputs)


def refuse_sparse(question: Question, group: Group | None) -> MethodRefused | None:
    """What attention of a 2:4-sparse checkpoint raises; `group` = its own, None = it stays plain.

    supports_cutlass_24; 0.22.0 refuses every sparse checkpoint while it reads the config.
    """
    sparse = question.details.get("sparsity_config")
    if not isinstance(sparse, Mapping) or question.release >= _NOT_SPARSE:
        return None
    named = "Linear" in (sparse.get("targets") or ()) and "Linear" not in (
        sparse.get("ignore") or ()
    )
    if not named or sparse.get("sparsity_structure") != "2:4":
        return None
    if sparse.get("format") not in ("dense", "sparse-24-bitmask"):
        return None
    if group is not None:
        weights, inputs = group.weights, group.inputs
        if inputs is None or not weights.num_bits == inputs.num_bits == 8:
            return None
        if weights.strategy not in _SPARSE_SIDES or inputs.strategy not in _SPARSE_SIDES:
            return None
    if question.release >= (0, 19, 0):
        text = "Sparse24 models are no longer supported by vLLM"
        return refused_by_method("NotImplementedError", text, "two of four weights are left out")
    if question.setting.is_below((9, 0)) and question.is_on("cuda"):
        return _refuse_capability(question, (9, 0))
    return None


def _refuse_on_rocm(question: Question, weights: Arguments) -> MethodRefused | None:
    if not lacks_linear_kernel(question, weights.num_bits):
        return None
    reason = f"no kernel for AMD's GPUs takes {weights.num_bits}-bit integers here"
    return refused_by_method("ValueError", NO_LINEAR_KERNEL, reason)


def is_w4a8(question: Question, weights: Arguments, inputs: Arguments) -> bool:
    """_is_fp8_w4a8_sm90: exactly 9.0; before 0.31.0 the types are not looked at."""
    bits = weights.num_bits == 4 and inputs.num_bits == 8 and weights.strategy == "group"
    dynamic = inputs.strategy == "token" and inputs.dynamic and not weights.dynamic
    typed = question.release < (0, 31, 0) or (weights.type == "int" and inputs.type == "float")
    if not (bits and dynamic and weights.symmetric and inputs.symmetric and typed):
        return False
    return question.setting.is_family(9) and question.is_on("cuda")


def _refuse_with_inputs(
    question: Question, weights: Arguments, inputs: Arguments | None
) -> MethodRefused | None:
    """Formats that quantize inputs too."""
    if inputs is not None and weights.is_nvfp4 and inputs.is_nvfp4:
        return None
    plain = weights.symmetric and not weights.dynamic
    if weights.type == "float" and plain and weights.strategy in ("tensor", "channel", "block"):
        return None
    if inputs is None:
        text = "'NoneType' object has no attribute 'num_bits'"
        return refused_by_method("AttributeError", text, "the inputs' format is not declared")
    eight = weights.num_bits == inputs.num_bits == 8 and weights.strategy in ("tensor", "channel")
    if eight and plain and inputs.strategy == ("token" if inputs.dynamic else "tensor"):
        return None
    four = weights.num_bits == 4 and inputs.num_bits == 8
    by_token = inputs.strategy == "token" and inputs.dynamic
    typed = question.release < (0, 31, 0) or weights.type == inputs.type == "int"
    if four and by_token and plain and weights.strategy in ("group", "channel") and typed:
        return None
    return _no_scheme(weights, inputs)


def _refuse_capability(question: Question, smallest: tuple[int, int]) -> MethodRefused:
    """_check_scheme_supported: a tuple in the source until 0.28.0, printed piece by piece."""
    found = question.capability or (0, 0)
    pieces = (
        "Quantization scheme is not supported for ",
        f"the current GPU. Min capability: {smallest[0] * 10 + smallest[1]}. ",
        f"Current capability: {found[0] * 10 + found[1]}.",
    )
    text = "".join(pieces) if question.release >= (0, 29, 0) else str(pieces)
    reason = f"it needs compute capability {smallest[0]}.{smallest[1]}"
    return refused_by_method("RuntimeError", text, reason)


def _refuse_narrow(weights: Arguments) -> MethodRefused | None:
    """0.23.0 and 0.24.0 take other sizes than 4 and 8 bits for a kernel that knows 2 alone."""
    if weights.num_bits == 2:
        return None
    text = f"Unsupported num_bits = {weights.num_bits} for WNA8O8Int; supported = [2, 4, 8]"
    return refused_by_method("ValueError", text, f"the weights have {weights.num_bits} bits")


def _refuse_group(weights: Arguments) -> MethodRefused | None:
    if weights.group_size == 128:
        return None
    text = "W4A8 kernels require group quantization with group size 128"
    return refused_by_method("ValueError", text, f"group_size is {weights.group_size}")


def _refuse_nvfp4(question: Question, inputs: Arguments) -> MethodRefused | None:
    if inputs.is_nvfp4:
        return None
    text = "For NVFP4 weights, input quantization must also be NVFP4 format, None for NVFP4A16"
    if question.release < (0, 29, 0):
        head, _, tail = text.partition(", None")
        text = str((f"{head}, ", f"None{tail}"))
    return refused_by_method("ValueError", text, "inputs are quantized in another format")


def _no_scheme(weights: Arguments, inputs: Arguments | None) -> MethodRefused:
    given = "plain" if inputs is None else f"{inputs.num_bits}-bit {inputs.type}"
    reason = f"no linear method takes {weights.num_bits}-bit {weights.type} weights with {given} "
    return refused_by_method("NotImplementedError", _NO_SCHEME, f"{reason}inputs here")
