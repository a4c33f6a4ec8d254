"""The front door: which quantization method a release builds for one layer's experts.

A method's file is loaded when its first checkpoint is met: one model needs one of them, and all of
them together are a quarter of what `select` imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.release import Release, format_release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import MoESpec, QuantSpec
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.methods.declared import Declared, for_class, read_declared
from moe_doctor.oracle.engines.vllm.methods.demands import check_demands
from moe_doctor.oracle.engines.vllm.methods.marlin_inputs import check_inputs
from moe_doctor.oracle.engines.vllm.methods.names import registered_name
from moe_doctor.oracle.engines.vllm.methods.needed_packages import NEEDS_PACKAGE, refuse_missing
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    NoOracle,
    OracleCall,
    refused_by_constructor,
    refused_by_method,
    refused_by_validation,
    refused_by_vllm_config,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question
from moe_doctor.oracle.engines.vllm.setting import Setting

_NEEDS_FILE = (
    "awq",
    "auto_awq",
    "awq_marlin",
    "gptq",
    "auto_gptq",
    "gptq_marlin",
    "moe_wna16",
    "modelopt",
    "modelopt_fp4",
    "modelopt_mxfp8",
    "modelopt_mixed",
    "inc",
    "cpu_awq",
)
# Configs whose constructors need what only a checkpoint's declaration has.
_NEEDS_DECLARATION = {
    "compressed-tensors": "CompressedTensorsConfig.__init__() missing ",
    "quark": "QuarkConfig.__init__() missing 1 required positional argument: 'quant_config'",
    "torchao": "TorchAOConfig.__init__() missing 1 required positional argument: 'torchao_config'",
    "online": "OnlineQuantizationConfig.__init__() missing 1 required positional argument: 'args'",
}
# Declared and built where no layer is ever left out: what falls back to MoeWNA16Method is quantized
# whatever `dynamic` says, and Mxfp4Config reads no list.
_WHOLE = (("gptq", "MoeWNA16Method"), ("compressed-tensors", "Mxfp4MoEMethod"))
_ONLY_LINEAR = ("ptpc_fp8", "fbgemm_fp8")


def method_of(
    quantization: QuantSpec | None,
    deployment: Deployment,
    *,
    release: Release,
    setting: Setting,
    spec: MoESpec,
    query: MoEQuery,
    model_type: str = "",
    architecture: str = "",
) -> OracleCall | NoOracle | EngineRefusal:
    """What `release` builds for experts declared as `quantization`, and what that asks.

    Pure. `query` is the layer's question without quantization. A declaration that the tables do not
    know comes back as NoOracle with what was seen.
    """
    if quantization is None and deployment.quantization is None:
        return OracleCall("unquantized", None, query, "UnquantizedFusedMoEMethod")
    question = Question(
        quantization, deployment, release, setting, spec, query, model_type, architecture
    )
    try:
        return _method_of(question)
    except MethodRefused as refused:
        return refused.refusal
    except (TypeError, ValueError, KeyError) as error:
        # A declaration of the wrong shape: a checkpoint's own words, so not a defect of the rules.
        seen = f"{type(error).__name__}: {error}"
        return NoOracle("", f"the quantization declaration cannot be read ({seen})")


def left_out_of(
    declared: QuantSpec | None, deployment: Deployment, **known: Any
) -> OracleCall | NoOracle | EngineRefusal:
    """The same for experts that the declaration leaves out: only its config still has a say."""
    call = method_of(declared, deployment, **known)
    if isinstance(call, EngineRefusal) and (call.stage == "config" or call.by_linear):
        return call
    method = "" if declared is None else declared.method
    if declared is not None and is_unread(declared, known["release"]):
        return call
    if not isinstance(call, EngineRefusal) and (method, call.method) in _WHOLE:
        return call
    if method == "quark" and known["release"] < (0, 26, 0):
        # QuarkConfig hands out the method of linear layers for them, which FusedMoE refuses.
        reason = "before 0.26.0 experts on Quark's exclude list cannot be built"
        return EngineRefusal("model", EngineError("AssertionError", ""), reason)
    if deployment.quantization is not None and known["release"] >= (0, 32, 0):
        from moe_doctor.oracle.engines.vllm.methods.online import is_shorthand

        if is_shorthand(deployment.quantization, known["release"]):
            return method_of(None, deployment, **known)  # quantized while it loads
    return OracleCall("unquantized", None, known["query"], "UnquantizedFusedMoEMethod")


def is_unread(declared: QuantSpec, release: Release) -> bool:
    """Whether the list stands under ModelOpt's older key, which config.json has from 0.33.0 on."""
    details = declared.details
    flat = declared.source != "hf_quant_config.json" and "quantization" not in details
    older = "exclude_modules" in details and "ignore" not in details
    return flat and older and declared.method.startswith("modelopt") and release < (0, 33, 0)


def _method_of(question: Question) -> OracleCall | NoOracle:
    release = question.release
    declared = for_class(
        read_declared(question.quantization, release), question.architecture, release
    )
    name = registered_name(question, declared)
    if name is None:
        return question.unquantized()
    try:
        built = _build(question, declared, name)
    except MethodRefused as refused:
        # The config is read before the GPU is looked at, the method is built afterwards.
        if refused.refusal.stage == "model":
            check_demands(name, question)
            check_inputs(name, question)
        raise
    check_demands(name, question)
    check_inputs(name, question)
    if question.quantization is None or question.deployment.quantization in (None, name):
        return built
    from moe_doctor.oracle.engines.vllm.methods.online import build_over

    return build_over(question, name, built)


def _build(question: Question, declared: Declared, name: str) -> OracleCall | NoOracle:
    if question.quantization is None and name in _NEEDS_FILE:
        raise refused_by_vllm_config(
            f"Cannot find the config file for {name}",
            f"--quantization {name} needs a checkpoint that is stored that way",
        )
    if question.quantization is None and name in _NEEDS_DECLARATION:
        reason = f"--quantization {name} needs a checkpoint that is stored that way"
        raise refused_by_constructor(_NEEDS_DECLARATION[name], reason)
    if name in NEEDS_PACKAGE and question.setting.lacks(name):
        raise refuse_missing(name, question.platform, question.release)
    match name:
        case "fp8":
            from moe_doctor.oracle.engines.vllm.methods.fp8 import build as build_fp8

            return build_fp8(question, declared)
        case "deepseek_v4_fp8" if question.quantization is not None:
            from moe_doctor.oracle.engines.vllm.methods.mxfp4 import build_deepseek_v4

            return build_deepseek_v4(question, declared)
        case "deepseek_v4_fp8":
            from moe_doctor.oracle.engines.vllm.methods.mxfp4 import ask_for_mxfp4

            return ask_for_mxfp4(question)
        case "mxfp8" if question.quantization is not None:
            from moe_doctor.oracle.engines.vllm.methods.modelopt import build_named_mxfp8

            return build_named_mxfp8(question)
        case "humming":
            from moe_doctor.oracle.engines.vllm.methods.humming import build as build_humming

            return build_humming(question, declared)
        case "gguf":
            return NoOracle("GGUFMoEMethod", "it calls the GGML kernels itself", "GGML")
        case "mxfp4" | "gpt_oss_mxfp4" if not _loads_as_mxfp4(question, name):
            from moe_doctor.oracle.engines.vllm.methods.mxfp4 import build as build_mxfp4

            return build_mxfp4(question, name)
        case "modelopt" | "modelopt_fp4" | "modelopt_mxfp8" | "modelopt_mixed":
            from moe_doctor.oracle.engines.vllm.methods.modelopt import build as build_modelopt

            return build_modelopt(question, declared, name)
        case "compressed-tensors" if question.quantization is not None:
            from moe_doctor.oracle.engines.vllm.methods.compressed import build as build_compressed

            return build_compressed(question)
        case "gptq" | "gptq_marlin" | "auto_gptq":
            from moe_doctor.oracle.engines.vllm.methods.integers import build_gptq

            return build_gptq(question, declared, name)
        case "awq" | "awq_marlin" | "auto_awq":
            from moe_doctor.oracle.engines.vllm.methods.integers import build_awq

            return build_awq(question, declared, name)
        case "moe_wna16":
            from moe_doctor.oracle.engines.vllm.methods.integers import build_moe_wna16

            return build_moe_wna16(question, declared)
        case "quark" if question.quantization is not None:
            from moe_doctor.oracle.engines.vllm.methods.quark import build as build_quark

            return build_quark(question)
        case "inc" if question.quantization is not None:
            from moe_doctor.oracle.engines.vllm.methods.auto_round import build as build_auto_round

            return build_auto_round(question)
        case "experts_int8":
            from moe_doctor.oracle.engines.vllm.methods.online import build_experts_int8

            return build_experts_int8(question)
        case "bitsandbytes":
            _check_bitsandbytes(question)
            why = "it unpacks the experts and calls Triton's fused_experts itself"
            return NoOracle("BitsAndBytesMoEMethod", why, "TRITON")
        case _ if question.quantization is None and _is_shorthand(name):
            from moe_doctor.oracle.engines.vllm.methods.online import build as build_online

            return build_online(question, name)
        case (
            "online"
            | "fp8_per_tensor"
            | "fp8_per_block"
            | "fp8_per_channel"
            | ("int8_per_channel_weight_only" | "nvfp4_per_token")
        ):
            text = "OnlineQuantizationConfig does not support loading from a checkpoint config. "
            reason = f"{name} quantizes plain checkpoints while they load"
            raise refused_by_constructor(text, reason, kind="NotImplementedError")
        case "cpu_awq":
            from moe_doctor.oracle.engines.vllm.methods.integers import check_awq_keys

            check_awq_keys(declared)
            return question.unquantized()
        case "torchao":
            _check_torchao(question)
            return question.unquantized()
        case _ if name in _ONLY_LINEAR:
            # These configs answer None for experts, and FusedMoE then keeps them as they are.
            return question.unquantized()
        case _:
            release = format_release(question.release)
            return NoOracle("", f"the tables do not know what vLLM {release} builds for {name}")


def _check_bitsandbytes(question: Question) -> None:
    """BitsAndBytesConfig.__init__ and its method for experts, which has no 8-bit form."""
    storage = question.details.get("bnb_4bit_quant_storage") or "uint8"
    if storage != "uint8":
        text = f"Unsupported bnb_4bit_quant_storage: {storage}"
        raise refused_by_vllm_config(text, "4-bit weights are stored in uint8")
    if question.details.get("load_in_8bit"):
        reason = "bitsandbytes' experts have 4 bits in vLLM"
        raise refused_by_method("NotImplementedError", "", reason)


def _check_torchao(question: Question) -> None:
    """TorchAOConfig.from_config; its config quantizes linear layers alone."""
    declared = question.details.get("quant_type")
    if declared is None:
        text = "Assertion failed, quant_type must be specified"
        raise refused_by_validation(text, "quantization_config has no quant_type")
    if not isinstance(declared, Mapping) or set(declared) != {"default"}:
        text = "Assertion failed, Expected only one key 'default' in quant_type dictionary"
        raise refused_by_validation(text, "quant_type has other keys than default")


def _is_shorthand(name: str) -> bool:
    """Whether a name quantizes a plain checkpoint while it loads."""
    from moe_doctor.oracle.engines.vllm.methods import online

    return name in online.SHORTHANDS


def _loads_as_mxfp4(question: Question, name: str) -> bool:
    """Whether `--quantization mxfp4` quantizes an unquantized checkpoint while it loads."""
    return name == "mxfp4" and question.quantization is None and question.release >= (0, 28, 0)
