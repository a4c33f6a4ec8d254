"""compressed-tensors: what the linear layers of the same group raise before the experts are built.

Attention comes first in every decoder layer; where the checkpoint's ignore list names it, it is
not quantized and refuses nothing. Source: CompressedTensorsConfig._get_scheme_from_parts, 0.16.0
to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.methods.arguments import Arguments
from moe_doctor.oracle.engines.vllm.methods.compressed_groups import Group
from moe_doctor.oracle.engines.vllm.methods.outcome import MethodRefused, refused_by_method
from moe_doctor.oracle.engines.vllm.methods.question import Question

# The release goes on with the layer's name and both arguments from 0.24.0 on.
_NO_SCHEME = "No compressed-tensors compatible scheme was found"


def refuse_linear(question: Question, group: Group) -> MethodRefused | None:
    """The refusal of attention's linear layers, or None."""
    weights, inputs, layout = group.weights, group.inputs, group.layout
    release = question.release
    if weights.strategy == "tensor_group" and inputs is not None:
        return _refuse_nvfp4(question, weights, inputs)
    capability = question.capability if question.platform == "cuda" else None
    if weights.is_mxfp4 and capability is not None and capability < (8, 0):
        return _refuse_capability(question, capability, (8, 0))
    if inputs is None:
        return _refuse_narrow(question, weights)
    if weights.type == "float" and weights.num_bits == 8 and weights.strategy == "group":
        return _no_scheme(weights, inputs) if release < (0, 20, 0) else None
    if weights.num_bits == 4 and weights.type == "int" and inputs.strategy == "token":
        hopper = question.platform == "cuda" and question.capability == (9, 0)
        if weights.strategy == "group" and hopper and inputs.type == "float":
            return _refuse_group(weights)
        if inputs.type == "float" and question.platform == "cuda":
            return _no_scheme(weights, inputs)
        packed = layout == "pack-quantized" and release < (0, 26, 0)
        taken = hopper and weights.strategy == "group"
        return _no_scheme(weights, inputs) if packed and not taken else None
    return None


def _refuse_capability(
    question: Question, found: tuple[int, int], smallest: tuple[int, int]
) -> MethodRefused:
    """_check_scheme_supported: a tuple in the source until 0.28.0, printed piece by piece."""
    pieces = (
        "Quantization scheme is not supported for ",
        f"the current GPU. Min capability: {smallest[0] * 10 + smallest[1]}. ",
        f"Current capability: {found[0] * 10 + found[1]}.",
    )
    text = "".join(pieces) if question.release >= (0, 29, 0) else str(pieces)
    reason = f"it needs compute capability {smallest[0]}.{smallest[1]}"
    return refused_by_method("RuntimeError", text, reason)


def _refuse_narrow(question: Question, weights: Arguments) -> MethodRefused | None:
    """Integer weights of other sizes than 4 and 8 bits, with plain inputs."""
    release = question.release
    if weights.type != "int" or weights.num_bits in (4, 8) or release >= (0, 25, 0):
        return None
    if release < (0, 23, 0):
        return _no_scheme(weights, None)
    if weights.num_bits == 2:
        return None
    text = f"Unsupported num_bits = {weights.num_bits} for WNA8O8Int; supported = [2, 4, 8]"
    return refused_by_method("ValueError", text, f"the weights have {weights.num_bits} bits")


def _refuse_group(weights: Arguments) -> MethodRefused | None:
    if weights.group_size == 128:
        return None
    text = "W4A8 kernels require group quantization with group size 128"
    return refused_by_method("ValueError", text, f"group_size is {weights.group_size}")


def _refuse_nvfp4(
    question: Question, weights: Arguments, inputs: Arguments
) -> MethodRefused | None:
    if inputs.strategy == "tensor_group" and inputs.num_bits == 4:
        return None
    if question.release < (0, 23, 0):
        return _no_scheme(weights, inputs)
    text = "For NVFP4 weights, input quantization must also be NVFP4 format, None for NVFP4A16"
    if question.release < (0, 29, 0):
        head, _, tail = text.partition(", None")
        text = str((f"{head}, ", f"None{tail}"))
    return refused_by_method("ValueError", text, "inputs are quantized in another format")


def _no_scheme(weights: Arguments, inputs: Arguments | None) -> MethodRefused:
    given = "plain" if inputs is None else f"{inputs.num_bits}-bit {inputs.type}"
    reason = f"no linear method takes {weights.num_bits}-bit {weights.type} weights with {given} "
    return refused_by_method("NotImplementedError", _NO_SCHEME, f"{reason}inputs here")
