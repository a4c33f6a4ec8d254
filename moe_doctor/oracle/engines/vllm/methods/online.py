"""Weights that are quantized while they load: `--quantization` on an unquantized checkpoint.

Sources: quantization/online/*.py, quantization/fp8.py, mxfp8.py, experts_int8.py,
config/quantization.py (_ONLINE_SHORTHANDS), 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.methods.outcome import (
    Afterwards,
    NoOracle,
    OracleCall,
    refused_by_method,
    refused_later,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_TENSOR = ("kFp8StaticTensorSym", "kFp8DynamicTensorSym")
_INT8 = ("kInt8StaticChannelSym", "kInt8DynamicTokenSym")
# Backends that would drop the scales per output channel or fold them into one.
_NO_CHANNEL_SCALES = ("MARLIN", "CPU", "CPU_W8A8", "FLASHINFER_CUTLASS", "FLASHINFER_TRTLLM")
SHORTHANDS = (
    "fp8_per_tensor",
    "fp8_per_block",
    "fp8_per_channel",
    "int8_per_channel_weight_only",
    "mxfp8",
    "mxfp4",
    "nvfp4_per_token",
)


def build(question: Question, name: str) -> OracleCall | NoOracle:
    """OnlineQuantizationConfig.get_quant_method for one of its shorthands."""
    match name:
        case "fp8_per_tensor":
            return _per_tensor(question, "Fp8PerTensorOnlineMoEMethod")
        case "fp8_per_block":
            keys = ("kFp8Static128BlockSym", "kFp8Dynamic128Sym")
            return question.ask("fp8", "Fp8PerBlockOnlineMoEMethod", *keys)
        case "fp8_per_channel":
            return _per_channel(question)
        case "int8_per_channel_weight_only":
            return question.ask("int8", "Int8OnlineMoEMethod", *_INT8)
        case "mxfp8":
            return _mxfp8(question)
        case "mxfp4":
            return question.ask("mxfp4", "Mxfp4OnlineMoEMethod", None, "kMxfp4Dynamic")
        case "nvfp4_per_token":
            return _nvfp4(question)
        case _:
            return NoOracle("", f"the tables do not know what --quantization {name} builds")


def build_fp8(question: Question) -> OracleCall:
    """`--quantization fp8` on an unquantized checkpoint: one scale per weight."""
    newer = question.release >= (0, 25, 0)
    return _per_tensor(question, "Fp8PerTensorOnlineMoEMethod" if newer else "Fp8OnlineMoEMethod")


def build_experts_int8(question: Question) -> OracleCall | NoOracle:
    """`--quantization experts_int8`."""
    if question.release >= (0, 20, 0):
        return question.ask("int8", "Int8OnlineMoEMethod", *_INT8)
    return NoOracle(
        "ExpertsInt8MoEMethod", "it calls Triton's fused_experts itself in this release", "TRITON"
    )


def _per_tensor(question: Question, method: str) -> OracleCall:
    weights, inputs = _TENSOR
    if question.batch_invariant and question.release >= (0, 33, 0):
        inputs = "kFp8DynamicTokenSym"
    return question.ask("fp8", method, weights, inputs)


def _per_channel(question: Question) -> OracleCall:
    keys = ("kFp8StaticChannelSym", "kFp8DynamicTokenSym")
    capability = question.capability
    if question.platform == "cuda" and capability is not None and capability < (8, 9):
        # The linear layers are quantized alike and are built first.
        text = "FP8 PTPC online quant requires a kernel that honors per-token activation "
        text += "quantization; MarlinFP8 is W8A16 weight-only. Requires SM89+ for Cutlass FP8 or "
        text += "ROCm MI3xx for rowwise scaled_mm."
        reason = f"it needs compute capability 8.9; this GPU has {capability[0]}.{capability[1]}"
        raise refused_by_method("ValueError", text, reason)
    late = tuple(
        refused_later(
            "ValueError",
            f"FP8 PTPC online MoE quant is not supported with the {backend} backend, which does "
            "not implement per-output-channel weight scales.",
            f"{backend} has no scale per output channel",
            only=(backend,),
        )
        for backend in _NO_CHANNEL_SCALES
        if backend != "CPU_W8A8" or question.release >= (0, 31, 0)
    )
    return question.ask(
        "fp8", "Fp8PtpcOnlineMoEMethod", *keys, allow_vllm_cutlass=True, afterwards=late
    )


def _mxfp8(question: Question) -> OracleCall:
    query = question.query
    late: tuple[Afterwards, ...] = ()
    if query.hidden_size % 32 or query.intermediate_size_per_partition % 32:
        sizes = f"{query.hidden_size} and {query.intermediate_size_per_partition}"
        text = "Online MXFP8 MoE requires hidden/intermediate sizes divisible by 32."
        late = (refused_later("ValueError", text, f"the sizes on a rank are {sizes}"),)
    return question.ask_for_mxfp8("Mxfp8OnlineMoEMethod", afterwards=late)


def _nvfp4(question: Question) -> OracleCall:
    blackwell = question.capability is not None and question.capability[0] == 10
    if question.platform != "cuda" or not blackwell:
        raise refused_by_method(
            "ValueError",
            "nvfp4_per_token online quantization requires a Blackwell (SM100) GPU.",
            "it needs compute capability 10.x",
        )
    inputs = "kNvfp4DynamicToken" if question.release >= (0, 31, 0) else "kNvfp4Dynamic"
    return question.ask("nvfp4", "Nvfp4OnlineMoEMethod", "kNvfp4Static", inputs)
