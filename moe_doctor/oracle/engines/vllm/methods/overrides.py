"""Each config's override_quantization_method, in the order in which ModelConfig asks them.

The order is that of the `overrides` list of config/model.py; methods outside the list override
nothing in any release. `--quantization humming` is asked first.
"""

from __future__ import annotations

from collections.abc import Callable

from moe_doctor.core.release import Release, span
from moe_doctor.oracle.engines.vllm.methods.declared import Declared
from moe_doctor.oracle.engines.vllm.methods.integer_formats import (
    awq_marlin_takes,
    gptq_marlin_takes,
    moe_wna16_takes,
)
from moe_doctor.oracle.engines.vllm.methods.outcome import refused_by_model_config
from moe_doctor.oracle.engines.vllm.methods.question import Question

# 0.24.0 registers ModelOpt's MXFP8 class under another name and forgets the list of overrides.
_FORGETS_MXFP8 = span("0.24.0", "0.24.99")
_DEEPSEEK_V4 = ("deepseek_v4", "deepseek_v4_text", "deepseek_v41", "deepseek_v41_text")


def overriding(
    question: Question, declared: Declared, knows: Callable[[str, Release], bool]
) -> str | None:
    """Name that a config claims the checkpoint under; None where none does.

    `knows`: whether a release registers a name.
    """
    release = question.release
    _mxfp8(question, declared)
    if question.deployment.quantization == "humming" and knows("humming", release):
        return _humming(question, declared)
    for name, claims in _OVERRIDES.items():
        if claims(question, declared) and knows(name, release):
            return name
    return None


def _auto_gptq(question: Question, declared: Declared) -> bool:
    users = (None, "gptq", "gptq_marlin", "auto_gptq", "marlin")
    return declared.method == "gptq" and question.deployment.quantization in users


def _gptq_marlin(question: Question, declared: Declared) -> bool:
    asked = question.deployment.quantization
    if declared.method != "gptq" or asked not in (None, "marlin", "gptq_marlin"):
        return False
    if question.release >= (0, 22, 0):  # the same class as auto_gptq, which was asked before
        return False
    return gptq_marlin_takes(question, declared)


def _auto_awq(question: Question, declared: Declared) -> bool:
    users = (None, "awq", "awq_marlin", "auto_awq", "marlin")
    asked = question.deployment.quantization
    return declared.method == "awq" and asked in users and not question.is_on("cpu")


def _awq_marlin(question: Question, declared: Declared) -> bool:
    asked = question.deployment.quantization
    if declared.method != "awq" or asked not in (None, "marlin", "awq_marlin"):
        return False
    if question.release >= (0, 24, 0):
        return False
    if question.batch_invariant and question.release >= (0, 20, 0):
        return False
    return awq_marlin_takes(question, declared)


def _inc(question: Question, declared: Declared) -> bool:
    return declared.method == "auto-round"


def _moe_wna16(question: Question, declared: Declared) -> bool:
    asked = question.deployment.quantization
    return asked == "moe_wna16" and moe_wna16_takes(question, declared)


def _is_modelopt(question: Question, declared: Declared) -> bool:
    if declared.method == "modelopt":
        return True
    return declared.method.startswith("modelopt") and question.release >= (0, 22, 0)


def _modelopt(question: Question, declared: Declared) -> bool:
    return declared.algorithm == "FP8" and _is_modelopt(question, declared)


def _modelopt_fp4(question: Question, declared: Declared) -> bool:
    return "FP4" in declared.algorithm and _is_modelopt(question, declared)


def _modelopt_mxfp8(question: Question, declared: Declared) -> bool:
    return "MXFP8" in declared.algorithm and _is_modelopt(question, declared)


def _mxfp8(question: Question, declared: Declared) -> bool:
    if not (_modelopt_mxfp8(question, declared) and _FORGETS_MXFP8.holds(question.release)):
        return False
    raise refused_by_model_config(
        "Quantization method mxfp8 is an override but is has not been added to the `overrides` "
        "list above. This is necessary to ensure that the overrides are checked in order of "
        "preference.",
        "a defect of 0.24.0 that stops every MXFP8 checkpoint of ModelOpt; 0.25.0 mends it",
    )


def _modelopt_mixed(question: Question, declared: Declared) -> bool:
    return declared.algorithm == "MIXED_PRECISION" and _is_modelopt(question, declared)


def _petit(question: Question, declared: Declared) -> bool:
    # petit.py takes what ModelOpt's own class left, on AMD alone, until 0.19.
    algorithm = (declared.algorithm or declared.method).upper()
    return algorithm in ("NVFP4", "MODELOPT_FP4", "MODELOPT") and question.is_on("rocm")


def _gpt_oss(question: Question, declared: Declared) -> bool:
    named = declared.method in ("mxfp4", "gpt_oss_mxfp4")
    return named and question.model_type == "gpt_oss"


def _deepseek_v4(question: Question, declared: Declared) -> bool:
    if declared.method not in ("fp8", "deepseek_v4_fp8"):
        return False
    asked = question.deployment.quantization
    if asked == "deepseek_v4_fp8" or question.model_type == "deepseek_v4":
        return True
    # 0.30.0 registers DeepSeek-V4.1's config, which knows three more types, on CUDA and ROCm.
    newer = question.model_type in _DEEPSEEK_V4 and question.release >= (0, 30, 0)
    return newer and question.is_on("cuda", "rocm")


def _gguf(question: Question, declared: Declared) -> bool:
    return question.deployment.quantization == "gguf" and question.release >= (0, 20, 0)


def _cpu_awq(question: Question, declared: Declared) -> bool:
    # quantization/cpu_wna16.py, until 0.22: AWQ on processors, experts stay plain.
    return declared.method == "awq" and question.is_on("cpu")


def _humming(question: Question, declared: Declared) -> str:
    oss = question.model_type == "gpt_oss" and declared.method == "mxfp4"
    if oss and question.release >= (0, 21, 0):
        raise refused_by_model_config(
            "For gpt-oss model, use '--moe-backend humming' instead of '--quantization humming'.",
            "gpt-oss keeps its own quantization method",
        )
    return "humming"


_Claims = Callable[[Question, Declared], bool]
_OVERRIDES: dict[str, _Claims] = {
    "auto_gptq": _auto_gptq,
    "gptq_marlin": _gptq_marlin,
    "auto_awq": _auto_awq,
    "awq_marlin": _awq_marlin,
    "inc": _inc,
    "moe_wna16": _moe_wna16,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt_fp4,
    "modelopt_mxfp8": _modelopt_mxfp8,
    "modelopt_mixed": _modelopt_mixed,
    "petit_nvfp4": _petit,
    "gpt_oss_mxfp4": _gpt_oss,
    "deepseek_v4_fp8": _deepseek_v4,
    "gguf": _gguf,
    "cpu_awq": _cpu_awq,
}
