"""AMD Quark's checkpoints: FP8, INT8 and the OCP MX formats.

Sources: quantization/quark/quark.py and quark_moe.py, 0.16.0 to 0.33.0. Per-layer settings
(`layer_quant_config`) are not followed; the tables say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.oracle.engines.vllm.methods.outcome import (
    NoOracle,
    OracleCall,
    refused_by_method,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_MX_WEIGHTS = ("fp4", "fp6_e3m2", "fp6_e2m3")
_EMULATION = "OCP_MXQuantizationEmulationTritonExperts"
_UNKNOWN = "the tables do not know Quark experts with weights {} and inputs {}"
_Side = Mapping[str, Any]


def build(question: Question) -> OracleCall | NoOracle:
    """QuarkMoEMethod.get_moe_method for the global settings."""
    details = question.details
    settings = question.rule("layer_quant_config") or details.get("global_quant_config")
    settings = settings if isinstance(settings, Mapping) else {}
    if settings.get("output_tensors") or settings.get("bias"):
        raise refused_by_method(
            "NotImplementedError",
            "Currently, Quark models with output_tensors and bias quantized are not supported",
            "outputs or biases are quantized",
        )
    weights, inputs = settings.get("weight"), settings.get("input_tensors")
    if isinstance(weights, Mapping) and (inputs is None or isinstance(inputs, Mapping)):
        if _is_fp8(question, weights, inputs):
            return _fp8(question, weights, inputs or {})
        if _is_mx(weights) and question.release >= (0, 17, 0):
            return _mx(question, weights, inputs)
        if _is_int8(weights, inputs) and question.release >= (0, 20, 0):
            return _int8(question, weights)
    return NoOracle("", _UNKNOWN.format(_named(weights), _named(inputs)))


def _is_fp8(question: Question, weights: _Side, inputs: _Side | None) -> bool:
    if inputs is None or weights.get("is_dynamic"):
        return False
    if weights.get("dtype") != "fp8_e4m3" or inputs.get("dtype") != "fp8_e4m3":
        return False
    if weights.get("qscheme") == "per_block" and question.release >= (0, 28, 0):
        square = list(weights.get("block_size") or []) == [128, 128]
        grouped = inputs.get("qscheme") == "per_group" and inputs.get("group_size") == 128
        symmetric = weights.get("symmetric") is True and inputs.get("symmetric") is True
        return bool(square and grouped and symmetric and inputs.get("is_dynamic"))
    if weights.get("qscheme") not in ("per_tensor", "per_channel"):
        return False
    return bool(inputs.get("is_dynamic")) or inputs.get("qscheme") == "per_tensor"


def _fp8(question: Question, weights: _Side, inputs: _Side) -> OracleCall | NoOracle:
    method, release = "QuarkW8A8Fp8MoEMethod", question.release
    pair = (weights.get("qscheme"), inputs.get("qscheme"))
    static = not inputs.get("is_dynamic")
    blocks = release >= (0, 30, 0)
    keys = {
        ("per_channel", "per_channel"): ("kFp8StaticChannelSym", "kFp8DynamicTokenSym"),
        ("per_tensor", "per_tensor"): (
            "kFp8StaticTensorSym",
            "kFp8StaticTensorSym" if static else "kFp8DynamicTensorSym",
        ),
    }
    if blocks:
        scales = "E8M0" if weights.get("scale_type") == "float8_e8m0fnu" else ""
        keys["per_block", "per_group"] = (f"kFp8Static128Block{scales}Sym", "kFp8Dynamic128Sym")
    if pair not in keys:
        kinds = "per-tensor, per-channel and per-block" if blocks else "per-tensor and per-channel"
        raise refused_by_method(
            "ValueError",
            f"For FP8 Fused MoE layers, only {kinds} scales for weights and activations are "
            f"supported. Found {pair[0]}, {pair[1]}",
            f"weights are {pair[0]} and inputs {pair[1]}",
        )
    capability = question.capability
    if question.platform == "cuda" and capability is not None and capability < (8, 9):
        # The linear layers are stored alike and are built first.
        found = capability[0] * 10 + capability[1]
        reason = f"Quark's FP8 needs compute capability 8.9; this GPU has {found / 10}"
        if release < (0, 30, 0):
            text = "No quark compatible scheme was found"
            raise refused_by_method("NotImplementedError", text, reason)
        text = "Quantization scheme is not supported for the current GPU. Min capability: 89. "
        raise refused_by_method("RuntimeError", f"{text}Current capability: {found}.", reason)
    if release < (0, 24, 0):
        return NoOracle(method, "it chooses between AITER, Marlin and Triton by itself")
    return question.ask("fp8", method, *keys[pair])


def _is_mx(weights: _Side) -> bool:
    grouped = weights.get("qscheme") == "per_group" and weights.get("group_size") == 32
    return grouped and weights.get("scale_format") == "e8m0" and weights.get("dtype") in _MX_WEIGHTS


def _mx(question: Question, weights: _Side, inputs: _Side | None) -> OracleCall | NoOracle:
    method, release = "QuarkOCP_MX_MoEMethod", question.release
    if inputs is not None and inputs.get("dtype") == "fp8_e4m3" and inputs.get("is_dynamic"):
        return NoOracle("", _UNKNOWN.format(_named(weights), _named(inputs)))
    if question.platform == "rocm" and release < (0, 22, 0):
        why = "on ROCm it chooses between AITER, Triton and emulation by itself in this release"
        return NoOracle(method, why)
    if weights.get("dtype") == "fp4":
        if inputs is None and release >= (0, 21, 0):
            return question.ask("mxfp4", method)
        if inputs is not None and inputs.get("dtype") == "fp8_e4m3" and release >= (0, 21, 0):
            return question.ask("mxfp4", method, None, "kFp8StaticTensorSym")
        if inputs is not None and inputs.get("dtype") == "fp4" and release >= (0, 22, 0):
            return question.ask("mxfp4", method, None, "kMxfp4Dynamic")
    why = "it emulates the format with Triton: weights are expanded before each product"
    return NoOracle(method, why, "EMULATION", _EMULATION if release >= (0, 20, 0) else None)


def _is_int8(weights: _Side, inputs: _Side | None) -> bool:
    if inputs is None or weights.get("dtype") != "int8" or inputs.get("dtype") != "int8":
        return False
    scheme = weights.get("qscheme") in ("per_tensor", "per_channel")
    dynamic = inputs.get("qscheme") == "per_channel" and inputs.get("is_dynamic") is True
    return scheme and dynamic and weights.get("symmetric") is True


def _int8(question: Question, weights: _Side) -> OracleCall | NoOracle:
    method = "QuarkW8A8Int8MoEMethod"
    if question.release < (0, 27, 0):
        return NoOracle(method, "it calls Triton's fused_experts itself in this release", "TRITON")
    if weights.get("qscheme") == "per_channel":
        return question.ask("int8", method, "kInt8StaticChannelSym", "kInt8DynamicTokenSym")
    if question.release < (0, 30, 0):
        return question.ask("int8", method, "kInt8StaticTensorSym", "kInt8DynamicTensorSym")
    return question.ask("int8", method, "kInt8StaticTensorSym", "kInt8DynamicTokenSym")


def _named(side: object) -> str:
    if isinstance(side, Mapping):
        return f"{side.get('dtype')} {side.get('qscheme')}"
    return "not quantized" if side is None else "in several steps"
