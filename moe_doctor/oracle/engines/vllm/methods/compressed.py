"""compressed-tensors: which method a scheme of weights and inputs gets, and what it asks.

Sources: quantization/compressed_tensors/compressed_tensors.py (the _is_* tests) and
compressed_tensors_moe/*.py, 0.16.0 to 0.33.0. The tests are tried in the order of get_moe_method.
"""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.methods.arguments import Arguments
from moe_doctor.oracle.engines.vllm.methods.compressed_groups import (
    attention_group,
    experts_group,
    read_groups,
)
from moe_doctor.oracle.engines.vllm.methods.compressed_integers import build_wna16
from moe_doctor.oracle.engines.vllm.methods.compressed_linear import refuse_linear, refuse_sparse
from moe_doctor.oracle.engines.vllm.methods.fp8 import late_block_refusal
from moe_doctor.oracle.engines.vllm.methods.mxfp4 import ask_cutlass_or_marlin
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    NoOracle,
    OracleCall,
    by_linear,
    refused_by_method,
    refused_later,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_INT4_KEYS = {
    32: "kInt4W4A8StaticGroup32Sym",
    64: "kInt4W4A8StaticGroup64Sym",
    128: "kInt4W4A8StaticGroup128Sym",
}


def build(question: Question) -> OracleCall | NoOracle:
    """CompressedTensorsMoEMethod.get_moe_method."""
    groups = read_groups(question)
    attention = attention_group(question, groups)
    sparse = refuse_sparse(question, attention)
    if sparse is not None:
        raise by_linear(sparse)
    if attention is not None:
        refused = refuse_linear(question, attention)
        if refused is not None:
            raise by_linear(refused)
    experts = experts_group(question, groups)
    if experts is None:
        return question.unquantized()
    return _build(question, experts.weights, experts.inputs, experts.layout)


def _build(
    question: Question, weights: Arguments, inputs: Arguments | None, layout: str
) -> OracleCall | NoOracle:
    release = question.release
    if _is_group32(weights, 4):
        if release >= (0, 32, 0) and _is_dynamic_fp8(inputs):
            return question.ask("deepseek_v4_mxfp4", "CompressedTensorsW4A8Mxfp4MoEMethod")
        return _mxfp4(question)
    if release >= (0, 20, 0) and _is_group32(weights, 8) and weights.scale_dtype == "uint8":
        return question.ask_for_mxfp8("CompressedTensorsW8A8Mxfp8MoEMethod")
    if inputs is None and weights.strategy in ("channel", "group") and not weights.dynamic:
        return build_wna16(question, weights, layout)
    if _is_nvfp4(weights):
        return _nvfp4(question, inputs)
    if inputs is None:
        text = "'NoneType' object has no attribute 'num_bits'"
        raise refused_by_method("AttributeError", text, "the inputs' format is not declared")
    if _is_fp8(weights, inputs):
        return _fp8(question, weights, inputs)
    by_token = inputs.strategy == "token" and inputs.dynamic and not weights.dynamic
    symmetric = weights.symmetric and weights.strategy in ("tensor", "channel")
    if by_token and symmetric and weights.num_bits == inputs.num_bits == 8:
        return _int8(question, weights)
    if by_token and _is_w4a8_fp8(question, weights, inputs):
        return _w4a8_fp8(question, weights)
    if by_token and _is_w4a8_int8(question, weights, inputs):
        return _w4a8_int8(question, weights)
    return _unsupported(weights, inputs)


def _is_group32(side: Arguments, bits: int) -> bool:
    shape = side.strategy == "group" and side.group_size == 32 and side.num_bits == bits
    return shape and side.symmetric and side.type == "float"


def _is_dynamic_fp8(side: Arguments | None) -> bool:
    if side is None or side.type != "float" or side.num_bits != 8:
        return False
    return side.dynamic and side.symmetric and side.strategy in ("token", "group")


def _is_nvfp4(side: Arguments | None) -> bool:
    if side is None or side.strategy != "tensor_group" or side.group_size != 16:
        return False
    return side.type == "float" and side.num_bits == 4 and side.symmetric


def _is_fp8(weights: Arguments, inputs: Arguments) -> bool:
    if weights.type != "float" or inputs.type != "float" or weights.dynamic:
        return False
    if not weights.symmetric or weights.strategy not in ("tensor", "channel", "block"):
        return False
    return inputs.dynamic or (inputs.symmetric and inputs.strategy == "tensor")


def _is_w4a8_fp8(question: Question, weights: Arguments, inputs: Arguments) -> bool:
    bits = weights.num_bits == 4 and inputs.num_bits == 8
    if not bits or weights.strategy != "group" or not (weights.symmetric and inputs.symmetric):
        return False
    if question.release >= (0, 31, 0):
        return weights.type == "int" and inputs.type == "float"
    # Before 0.31.0 the types are not looked at, but the GPU is: exactly 9.0.
    return question.setting.is_family(9) and question.is_on("cuda")


def _is_w4a8_int8(question: Question, weights: Arguments, inputs: Arguments) -> bool:
    if weights.num_bits != 4 or inputs.num_bits != 8 or not weights.symmetric:
        return False
    if weights.strategy not in ("group", "channel"):
        return False
    typed = question.release >= (0, 31, 0)
    return not typed or (weights.type == "int" and inputs.type == "int")


def _mxfp4(question: Question) -> OracleCall | NoOracle:
    return ask_cutlass_or_marlin(question, "CompressedTensorsW4A4Mxfp4MoEMethod", (0, 23, 0))


def _nvfp4(question: Question, inputs: Arguments | None) -> OracleCall:
    if inputs is not None and not _is_nvfp4(inputs):
        raise refused_by_method(
            "ValueError",
            "For NVFP4 weights, input quantization must also be NVFP4 format or None for "
            "NVFP4A16, found ",
            "inputs of NVFP4 weights are NVFP4 or not quantized",
        )
    key = None if inputs is None else "kNvfp4Dynamic"
    return question.ask("nvfp4", "CompressedTensorsW4A4Nvfp4MoEMethod", "kNvfp4Static", key)


def _fp8(question: Question, weights: Arguments, inputs: Arguments) -> OracleCall:
    method = "CompressedTensorsW8A8Fp8MoEMethod"
    pair = (weights.strategy, inputs.strategy)
    if pair == ("tensor", "tensor"):
        # Dynamic inputs per tensor get the key of groups of 128, a slip that every release has.
        inputs_key = "kFp8Dynamic128Sym" if inputs.dynamic else "kFp8StaticTensorSym"
        keys = ("kFp8StaticTensorSym", inputs_key)
        return question.ask("fp8", method, *keys, allow_vllm_cutlass=True)
    if pair == ("channel", "token"):
        keys = ("kFp8StaticChannelSym", "kFp8DynamicTokenSym")
        return question.ask("fp8", method, *keys, allow_vllm_cutlass=True)
    if weights.strategy != "block" or weights.block is None:
        raise refused_by_method(
            "AssertionError",
            "",
            f"weights per {pair[0]} with inputs per {pair[1]}: expected tensor with tensor, "
            "channel with token, or blocks",
        )
    keys = ("kFp8Static128BlockSym", "kFp8Dynamic128Sym")
    late = late_block_refusal(question, weights.block)
    return question.ask("fp8", method, *keys, allow_vllm_cutlass=True, afterwards=late)


def _int8(question: Question, weights: Arguments) -> OracleCall | NoOracle:
    method = "CompressedTensorsW8A8Int8MoEMethod"
    if weights.strategy != "channel":
        raise refused_by_method(
            "ValueError",
            "For INT8 Fused MoE layers, we require channelwise, dynamic per token quantization. "
            "Found ",
            f"INT8 weights have one scale per {weights.strategy}; expected per channel",
        )
    if question.release < (0, 20, 0):
        return NoOracle(method, "it calls Triton's fused_experts itself in this release", "TRITON")
    return question.ask("int8", method, "kInt8StaticChannelSym", "kInt8DynamicTokenSym")


def _w4a8_fp8(question: Question, weights: Arguments) -> OracleCall | NoOracle:
    method = "CompressedTensorsW4A8Fp8MoEMethod"
    if weights.group_size != 128:
        text = "Only group size 128 supported for W4A8 MoE"
        reason = f"group_size is {weights.group_size}; expected 128"
        raise refused_by_method("AssertionError", text, reason)
    sizes = {
        "hidden_size": question.query.hidden_size,
        "intermediate_size_per_partition": question.query.intermediate_size_per_partition,
    }
    late = tuple(
        refused_later(
            "AssertionError", f"{name}={size} must be divisible by 256", f"{name} is {size}"
        )
        for name, size in sizes.items()
        if size % 256
    )
    if question.release < (0, 22, 0):
        if late:
            raise MethodRefused(late[0].refusal)
        why = "it calls vLLM's CUTLASS kernel itself in this release"
        return NoOracle(method, why, "CUTLASS", "CutlassExpertsW4A8Fp8")
    return question.ask("w4a8", method, "kInt4Static", "kFp8DynamicTokenSym", afterwards=late)


def _w4a8_int8(question: Question, weights: Arguments) -> OracleCall | NoOracle:
    method, release = "CompressedTensorsW4A8Int8MoEMethod", question.release
    group = weights.group_size if weights.group_size is not None else -1
    if release < (0, 23, 0):
        if not question.is_on("cpu"):
            text = "CompressedTensorsW4A8Int8MoEMethod is CPU-only."
            raise refused_by_method("ValueError", text, f"the platform is {question.platform}")
        return NoOracle(method, "it calls torch's 4-bit kernels itself in this release", "CPU")
    query = question.query
    width = query.intermediate_size_per_partition
    if release >= (0, 25, 0) and group != -1 and (query.hidden_size % group or width % group):
        raise refused_by_method(
            "ValueError",
            f"Group size ({group}) must evenly divide both hidden size ({query.hidden_size}) and "
            f"intermediate size per partition ({width}).",
            f"groups of {group} do not fit sizes {query.hidden_size} and {width}",
        )
    key = "kInt4W4A8StaticChannelSym" if group == -1 else _INT4_KEYS.get(group, _group_key(group))
    return question.ask("w4a8_int8", method, key)


def _group_key(group: int) -> str:
    return f"QuantKey(i8,scale(bf16,static,GroupShape(row=1, col={group})),symmetric)"


def _shown(side: Arguments | None) -> str:
    if side is None:
        return "plain inputs"
    when = "dynamic" if side.dynamic else "static"
    return f"{side.num_bits}-bit {side.type}, {when} per {side.strategy}"


def _unsupported(weights: Arguments, inputs: Arguments | None) -> OracleCall:
    raise refused_by_method(
        "RuntimeError",
        "Unsupported FusedMoe scheme: ",
        f"no method for experts takes {_shown(weights)} with {_shown(inputs)}",
    )
