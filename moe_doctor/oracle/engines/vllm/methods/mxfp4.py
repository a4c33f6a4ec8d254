"""MXFP4 experts: gpt-oss, other MXFP4 checkpoints, and DeepSeek-V4's fp8 config around them.

Sources: quantization/mxfp4.py, models/deepseek_v4*.py and its quant_config.py, 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.methods import fp8
from moe_doctor.oracle.engines.vllm.methods.declared import Declared
from moe_doctor.oracle.engines.vllm.methods.modelopt import ask_for_nvfp4
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    Afterwards,
    NoOracle,
    OracleCall,
    refused_by_method,
    refused_later,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_SPLIT: Release = (0, 20, 0)
_RENAMED: Release = (0, 21, 0)
_OWN_METHOD: Release = (0, 27, 0)
_EXPERT_DTYPES = ("fp4", "fp8")


def build(question: Question, name: str) -> OracleCall | NoOracle:
    """Mxfp4Config (`mxfp4`) and GptOssMxfp4Config (`gpt_oss_mxfp4`)."""
    release = question.release
    if release < (0, 19, 0):
        # The method asks get_mxfp4_backend() of its own module, without candidates.
        method = "XpuMxfp4MoEMethod" if question.is_on("xpu") else "Mxfp4MoEMethod"
        asked = question.ask("legacy_mxfp4", method)
        return asked._replace(afterwards=(*asked.afterwards, _none_fits(question.setting.lora)))
    if release < _SPLIT:
        return question.ask("mxfp4", "Mxfp4MoEMethod")
    if name == "mxfp4" and release >= _OWN_METHOD:
        return ask_for_mxfp4(question)
    oracle = "gpt_oss_mxfp4" if release < _RENAMED else "mxfp4"
    return question.ask(oracle, "GptOssMxfp4MoEMethod")


def _none_fits(lora: bool) -> Afterwards:
    """Mxfp4MoEMethod.__init__ asserts that it got a backend; the text has no blank there."""
    return refused_later(
        "AssertionError",
        f"get_mxfp4_backend(with_lora_support={lora}) foundno compatible MXFP4 MoE backend "
        "(FlashInfer/Marlin/Triton).Please check your environment and try again.",
        "no backend fits, and the method asserts that it got one",
        only=("NONE",),
    )


def ask_for_mxfp4(question: Question) -> OracleCall:
    """Mxfp4MoEMethod as DeepSeek-V4 uses it, from 0.20.0 on."""
    oracle = "mxfp4" if question.release < _RENAMED else "deepseek_v4_mxfp4"
    return question.ask(oracle, "Mxfp4MoEMethod")


def ask_cutlass_or_marlin(question: Question, method: str, xpu: Release) -> OracleCall | NoOracle:
    """Methods that look at the GPU themselves; from `xpu` on they ask the oracle on XPU."""
    release = question.release
    backend = question.deployment.moe_backend.lower().replace("-", "_")
    if release >= (0, 29, 0) and backend == "b12x":
        return question.ask("mxfp4", method)
    if release >= (0, 32, 0) and backend.startswith("flashinfer_moe_ep"):
        if method.startswith("INC"):
            text = f"moe_backend={backend!r} is not supported for AutoRound (INC) MXFP4 MoE "
            raise refused_by_method("ValueError", f"{text}checkpoints", "that backend is not taken")
        return question.ask("mxfp4", method)
    # Until 0.23 the class asks for family 10; then mxfp4_experts_quant_supported() of the compiled
    # extension, from 10.0 to below 12.0 (the machine code of the wheels of 0.24.0 to 0.33.0).
    families = (10,) if release < (0, 24, 0) else (10, 11)
    if release >= (0, 20, 0) and question.setting.is_family(*families) and question.is_on("cuda"):
        # The method's own attribute still says MARLIN then; the class is what it runs.
        why = "it takes CutlassExpertsMxfp4 on this GPU by itself"
        return NoOracle(method, why, "CUTLASS_MXFP4_MXFP4", "CutlassExpertsMxfp4")
    if release >= xpu and question.is_on("xpu"):
        return NoOracle(method, "it fixes XPU's kernel by itself", "XPU", "XPUExpertsMxFp4")
    return NoOracle(method, "it fixes Marlin by itself", "MARLIN", "MarlinExperts")


def build_deepseek_v4(question: Question, declared: Declared) -> OracleCall | NoOracle:
    """DeepseekV4FP8Config: the experts' format stands beside the fp8 declaration."""
    fp8.check_config(declared)
    release = question.release
    experts = question.details.get("expert_dtype", "fp4")
    if release > _SPLIT:
        if experts not in _EXPERT_DTYPES:
            raise refused_by_method(
                "ValueError",
                f"Unsupported DeepSeek V4 expert_dtype={experts!r}; expected one of "
                f"{_EXPERT_DTYPES}.",
                f"expert_dtype is {experts!r}",
            )
        if experts == "fp8":
            return fp8.build(question, declared)
    algorithm = question.details.get("moe_quant_algo")
    nvfp4 = isinstance(algorithm, str) and algorithm.upper() == "NVFP4"
    if nvfp4 and release >= (0, 22, 0):
        return ask_for_nvfp4(question)
    return ask_for_mxfp4(question)
