"""The front door: which quantization method a release builds for one layer's experts."""

from __future__ import annotations

from collections.abc import Mapping

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.release import Release, format_release
from moe_doctor.core.spec import MoESpec, QuantSpec
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.methods import (
    auto_round,
    compressed,
    fp8,
    integers,
    modelopt,
    mxfp4,
    online,
    quark,
)
from moe_doctor.oracle.engines.vllm.methods.declared import Declared, read_declared
from moe_doctor.oracle.engines.vllm.methods.demands import check_demands
from moe_doctor.oracle.engines.vllm.methods.names import registered_name
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    NoOracle,
    OracleCall,
    refused_by_vllm_config,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

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
)
_ONLY_LINEAR = ("ptpc_fp8", "fbgemm_fp8")


def method_of(
    quantization: QuantSpec | None,
    deployment: Deployment,
    *,
    release: Release,
    platform: str,
    capability: tuple[int, int] | None,
    lora: bool,
    spec: MoESpec,
    query: MoEQuery,
    environment: Mapping[str, str] | None = None,
    model_type: str = "",
    architecture: str = "",
) -> OracleCall | NoOracle | EngineRefusal:
    """What `release` builds for experts declared as `quantization`, and what that asks.

    Pure. `query` is the layer's question without quantization; `capability` the CUDA one. A
    declaration that the tables do not know comes back as NoOracle with what was seen.
    """
    question = Question(
        quantization,
        deployment,
        release,
        platform,
        capability,
        lora,
        spec,
        query,
        environment or {},
        model_type,
        architecture,
    )
    if quantization is None and deployment.quantization is None:
        return question.unquantized()
    try:
        return _method_of(question)
    except MethodRefused as refused:
        return refused.refusal
    except (TypeError, ValueError, KeyError) as error:
        # A declaration of the wrong shape: a checkpoint's own words, so not a defect of the rules.
        seen = f"{type(error).__name__}: {error}"
        return NoOracle("", f"the quantization declaration cannot be read ({seen})")


def _method_of(question: Question) -> OracleCall | NoOracle:
    declared = read_declared(question.quantization, question.release)
    name = registered_name(question, declared)
    if name is None:
        return question.unquantized()
    try:
        built = _build(question, declared, name)
    except MethodRefused as refused:
        # The config is read before the GPU is looked at, the method is built afterwards.
        if refused.refusal.stage == "model":
            check_demands(name, question)
        raise
    check_demands(name, question)
    return built


def _build(question: Question, declared: Declared, name: str) -> OracleCall | NoOracle:
    if question.quantization is None and name in _NEEDS_FILE:
        raise refused_by_vllm_config(
            f"Cannot find the config file for {name}",
            f"--quantization {name} needs a checkpoint that is stored that way",
        )
    match name:
        case "fp8":
            return fp8.build(question, declared)
        case "deepseek_v4_fp8" if question.quantization is not None:
            return mxfp4.build_deepseek_v4(question, declared)
        case "mxfp4" | "gpt_oss_mxfp4" if not _loads_as_mxfp4(question, name):
            return mxfp4.build(question, name)
        case "modelopt" | "modelopt_fp4" | "modelopt_mxfp8" | "modelopt_mixed":
            return modelopt.build(question, declared, name)
        case "compressed-tensors" if question.quantization is not None:
            return compressed.build(question)
        case "gptq" | "gptq_marlin" | "auto_gptq":
            return integers.build_gptq(question, declared, name)
        case "awq" | "awq_marlin" | "auto_awq":
            return integers.build_awq(question, declared, name)
        case "moe_wna16":
            return integers.build_moe_wna16(question, declared)
        case "quark" if question.quantization is not None:
            return quark.build(question)
        case "inc" if question.quantization is not None:
            return auto_round.build(question)
        case "experts_int8":
            return online.build_experts_int8(question)
        case "bitsandbytes":
            why = "it unpacks the experts and calls Triton's fused_experts itself"
            return NoOracle("BitsAndBytesMoEMethod", why, "TRITON")
        case _ if name in online.SHORTHANDS and question.quantization is None:
            return online.build(question, name)
        case _ if name in _ONLY_LINEAR:
            # These configs answer None for experts, and FusedMoE then keeps them as they are.
            return question.unquantized()
        case _:
            release = format_release(question.release)
            return NoOracle("", f"the tables do not know what vLLM {release} builds for {name}")


def _loads_as_mxfp4(question: Question, name: str) -> bool:
    """Whether `--quantization mxfp4` quantizes an unquantized checkpoint while it loads."""
    return name == "mxfp4" and question.quantization is None and question.release >= (0, 28, 0)
