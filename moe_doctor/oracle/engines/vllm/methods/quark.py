"""AMD Quark's checkpoints: FP8, INT8, packed INT4, NVFP4 and the OCP MX formats.

Source: quantization/quark/quark_moe.py, 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.query import QuantQuery
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.methods.integers import refuse_halving
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    NoOracle,
    OracleCall,
    by_linear,
    refused_by_method,
)
from moe_doctor.oracle.engines.vllm.methods.quark_sides import (
    Settings,
    Side,
    attention_settings,
    check_config,
    experts_settings,
    is_fp8,
    is_int4,
    is_int4_in_fp8,
    is_int8,
    is_mx,
    is_mxfp8,
    is_nvfp4,
    name_inputs,
    named,
    refuse_linear,
    refuse_others,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_EMULATION = "OCP_MXQuantizationEmulationTritonExperts"
_NO_EXPERTS = "Unsupported FusedMoe scheme"
# QuarkConfig._is_w_ocp_mx_a_x matches quantization keys from then on.
_MATCHED: Release = (0, 30, 0)
_BY_ITSELF = "it calls Triton's fused_experts itself in this release"


def build(question: Question) -> OracleCall | NoOracle:
    """QuarkMoEMethod.get_moe_method, after what attention's linear layers raise."""
    check_config(question)
    attention = attention_settings(question)
    if attention is not None:
        refused = refuse_linear(question, attention)
        if refused is not None:
            raise by_linear(refused)
    settings = experts_settings(question)
    if settings.others:
        raise refuse_others()
    if settings.in_steps:
        return _in_steps(question, settings)
    weights, inputs = settings.weights, settings.inputs
    if is_fp8(question, weights, inputs):
        return _fp8(question, weights, inputs)
    if is_int4(question, weights, inputs):
        return _int4(question, weights)
    if is_mxfp8(question, weights):
        return _mxfp8(question, settings)
    if is_mx(question, weights, inputs):
        return _mx(question, weights, inputs)
    if is_int8(question, weights, inputs) and question.release >= (0, 20, 0):
        return _int8(question, weights, inputs)
    raise _unsupported(settings)


def _unsupported(settings: Settings) -> Exception:
    return refused_by_method(
        "RuntimeError",
        _NO_EXPERTS,
        f"no method for experts takes {named(settings.weights)} weights with "
        f"{named(settings.inputs)} inputs",
    )


def _in_steps(question: Question, settings: Settings) -> OracleCall | NoOracle:
    if is_nvfp4(question, settings):
        return question.ask("nvfp4", "QuarkNvfp4MoEMethod", "kNvfp4Static", "kNvfp4Dynamic")
    if not is_int4_in_fp8(settings):
        both = isinstance(settings.weights, list) and settings.inputs is not None
        if both and question.release < _MATCHED:
            text = "'list' object has no attribute 'get'"
            reason = "this release asks two steps of weights what one step would say"
            raise refused_by_method("AttributeError", text, reason)
        raise _unsupported(settings)
    if not question.is_on("rocm"):
        raise refused_by_method(
            "AssertionError",
            "W4A8 FP8 MoE requires ROCm AITER fused MoE support.",
            f"the platform is {question.platform}",
        )
    return NoOracle("QuarkW4A8Fp8MoEMethod", "it takes AITER's fused MoE or nothing", "AITER")


def _fp8(question: Question, weights: Side, inputs: Side) -> OracleCall | NoOracle:
    method, release = "QuarkW8A8Fp8MoEMethod", question.release
    pair = (weights.get("qscheme"), inputs.get("qscheme"))
    static = not inputs.get("is_dynamic")
    blocks = release >= (0, 30, 0)
    if blocks and pair[0] != "per_block":
        # vLLM 0.30 reads the format back from the key, which knows these two words alone.
        by_row = inputs.get("is_dynamic") and pair[1] == "per_channel"
        channels = pair[0] == "per_channel"
        pair = (_named(channels), _named(bool(by_row)))
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
    if release < (0, 24, 0):
        return _fp8_by_itself(question, method)
    return question.ask("fp8", method, *keys[pair])


def _named(by_channel: bool) -> str:
    return "per_channel" if by_channel else "per_tensor"


def _fp8_by_itself(question: Question, method: str) -> NoOracle:
    if question.is_on("rocm"):
        return NoOracle(method, "it takes AITER where VLLM_ROCM_USE_AITER allows it, else Triton")
    forced = question.environment.get("VLLM_TEST_FORCE_FP8_MARLIN", "0").strip().lower()
    if question.setting.is_below((8, 9)) or forced in ("1", "true"):
        return NoOracle(method, "it takes Marlin by itself on this GPU", "MARLIN")
    return NoOracle(method, _BY_ITSELF, "TRITON")


def _mx(question: Question, weights: Side, inputs: Side | None) -> OracleCall | NoOracle:
    method, release = "QuarkOCP_MX_MoEMethod", question.release
    _refuse_pair(question, weights, inputs)
    if release < (0, 22, 0) and question.is_on("rocm"):
        why = "on ROCm it chooses between AITER, Triton and emulation by itself in this release"
        return NoOracle(method, why)
    if weights.get("dtype") == "fp4":
        if inputs is None and release >= (0, 19, 0):
            named_so = (0, 20, 0) <= release < (0, 21, 0)
            return question.ask("gpt_oss_mxfp4" if named_so else "mxfp4", method)
        if inputs is None and release >= (0, 17, 0):
            # get_moe_method asks for the inputs' dtype; 0.19.0 looks whether there are any.
            text = "'NoneType' object has no attribute 'get'"
            reason = "this release reads inputs that are not there"
            raise refused_by_method("AttributeError", text, reason)
        if inputs is not None and inputs.get("dtype") == "fp8_e4m3" and release >= (0, 21, 0):
            return question.ask("mxfp4", method, None, "kFp8StaticTensorSym")
        if inputs is not None and inputs.get("dtype") == "fp4" and release >= (0, 22, 0):
            return question.ask("mxfp4", method, None, "kMxfp4Dynamic")
    why = "it emulates the format with Triton: weights are expanded before each product"
    return NoOracle(method, why, "EMULATION", _EMULATION if release >= (0, 20, 0) else None)


def _refuse_pair(question: Question, weights: Side, inputs: Side | None) -> None:
    """OCP_MX_Scheme: which inputs go with which weights; FP8 inputs are static, MX ones dynamic."""
    if inputs is None or question.release < (0, 17, 0):
        return
    stored, given = str(weights.get("dtype")), str(inputs.get("dtype"))
    if given == "fp8_e4m3":
        if inputs.get("is_dynamic"):
            scheme = f"w_mx{stored}_a_fp8"
            text = "QuarkOCP_MX_MoEMethod with dynamic input scales is currently not implemented "
            text += f"for OCP MX scheme OCP_MX_Scheme.{scheme}. Please open an issue."
            raise refused_by_method("NotImplementedError", text, "FP8 inputs are static")
        plain = inputs.get("qscheme") == "per_tensor" and inputs.get("symmetric") is True
        if question.release >= _MATCHED and not plain:
            reason = "static FP8 inputs are symmetric and per tensor from 0.30.0 on"
            raise refused_by_method("RuntimeError", _NO_EXPERTS, reason)
        return
    if stored not in ("fp4", given):
        raise refused_by_method(
            "ValueError",
            f"Unsupported OCP MX dtype combination for MoE: input_dtype=mx{given}, "
            f"weight_dtype=mx{stored}.",
            f"{stored} weights go with inputs of the same format",
        )


def _int4(question: Question, weights: Side) -> OracleCall:
    for key in ("group_size", "symmetric"):
        if key not in weights:
            text = f"Quark W4A16 INT4/UINT4 configs must specify weight.{key}"
            raise refused_by_method("ValueError", text, f"the weights' {key} is missing")
    group, symmetric = weights["group_size"], weights["symmetric"]
    if not isinstance(group, int) or group <= 0:
        text = f"Quark W4A16 weight.group_size must be a positive int, got {group!r}"
        raise refused_by_method("ValueError", text, f"group_size is {group!r}")
    key = "kInt4Static32" if group == 32 else "kInt4Static"
    quant = QuantQuery(
        weight_key=key if symmetric else f"{key}Asym",
        model_type=question.model_type or None,
        kind="quark",
        group_size=group,
        symmetric=bool(symmetric),
    )
    late = refuse_halving(question, group)
    return question.ask_with("int_wna16", "QuarkW4A16Int4MoEMethod", quant, afterwards=late)


def _mxfp8(question: Question, settings: Settings) -> OracleCall:
    weights, given = settings.weights, name_inputs(settings.inputs)
    if given == "":
        raise _unsupported(settings)
    if question.release < (0, 33, 0):
        text = f"Unsupported OCP MX dtype combination for MoE: input_dtype={given}, "
        text += "weight_dtype=mxfp8_e4m3. "
        reason = "0.33.0 is the first that runs MXFP8 experts of Quark"
        raise refused_by_method("ValueError", text, reason)
    if weights.get("qscheme") == "per_block" and weights["block_size"][0] != 1:
        text = "Quark MXFP8 MoE experts support only the 1-D per_group "
        reason = f"a scale stands for {weights['block_size'][0]} rows; experts take one a row"
        raise refused_by_method("NotImplementedError", text, reason)
    if given != "mxfp8_e4m3":
        text = "Unsupported activation quant key: " + ("None" if given is None else "QuantKey(")
        raise refused_by_method("ValueError", text, "inputs of MXFP8 weights are MXFP8 too")
    return question.ask_for_mxfp8("QuarkW8A8Mxfp8MoEMethod")


def _int8(question: Question, weights: Side, inputs: Side) -> OracleCall | NoOracle:
    method = "QuarkW8A8Int8MoEMethod"
    if question.release < (0, 27, 0) or not inputs.get("is_dynamic"):
        return NoOracle(method, _BY_ITSELF, "TRITON")
    if weights.get("qscheme") == "per_channel":
        return question.ask("int8", method, "kInt8StaticChannelSym", "kInt8DynamicTokenSym")
    return question.ask("int8", method, "kInt8StaticTensorSym", "kInt8DynamicTensorSym")
