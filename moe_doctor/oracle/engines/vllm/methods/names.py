"""Which registered quantization method takes a checkpoint: overrides, priorities, refusals.

Sources: config/model.py (ModelConfig._verify_quantization), quantization/__init__.py
(QuantizationMethods) and each config's override_quantization_method, 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from functools import partial

from moe_doctor.core.eras import AlikeByEra, by_era
from moe_doctor.core.kept import Kept
from moe_doctor.core.release import Release, format_release
from moe_doctor.oracle.engines.vllm.methods import overrides
from moe_doctor.oracle.engines.vllm.methods.declared import Declared
from moe_doctor.oracle.engines.vllm.methods.outcome import refused_by_model_config
from moe_doctor.oracle.engines.vllm.methods.question import Question
from moe_doctor.oracle.engines.vllm.setting import Setting

_START: Release = (0, 16, 0)
_SETTLED: Kept[AlikeByEra[Setting, str | None]] = Kept(8192)
# Name -> first release and the one that lost it, in the order in which vLLM lists them.
_METHODS: tuple[tuple[str, Release, Release | None], ...] = (
    ("awq", _START, None),
    ("auto_awq", (0, 24, 0), None),
    ("fp8", _START, None),
    ("ptpc_fp8", _START, (0, 19, 0)),
    ("fbgemm_fp8", _START, None),
    ("fp_quant", _START, None),
    ("modelopt", _START, None),
    ("modelopt_fp4", _START, None),
    ("modelopt_mxfp8", _START, None),
    ("modelopt_mixed", (0, 17, 0), None),
    ("gguf", _START, (0, 24, 0)),
    ("auto_gptq", (0, 22, 0), None),
    ("gptq", (0, 22, 0), None),
    ("gptq_marlin", _START, None),
    ("awq_marlin", _START, None),
    ("gptq", _START, (0, 22, 0)),
    ("humming", (0, 20, 0), None),
    ("compressed-tensors", _START, None),
    ("bitsandbytes", _START, (0, 28, 0)),
    ("experts_int8", _START, None),
    ("quark", _START, None),
    ("moe_wna16", _START, None),
    ("torchao", _START, None),
    ("inc", _START, None),
    ("mxfp4", _START, None),
    ("mxfp8", (0, 19, 0), (0, 20, 0)),
    ("petit_nvfp4", _START, (0, 20, 0)),
    ("gpt_oss_mxfp4", (0, 20, 0), None),
    ("deepseek_v4_fp8", (0, 20, 0), None),
    ("cpu_awq", _START, (0, 23, 0)),
    ("online", (0, 20, 0), None),
    ("fp8_per_tensor", (0, 20, 0), None),
    ("fp8_per_block", (0, 20, 0), None),
    ("fp8_per_channel", (0, 24, 0), None),
    ("int8_per_channel_weight_only", (0, 20, 0), None),
    ("nvfp4_per_token", (0, 26, 0), None),
    ("mxfp8", (0, 20, 0), None),
)
_DEPRECATED: dict[str, tuple[Release, Release | None]] = {
    "ptpc_fp8": (_START, (0, 19, 0)),
    "fbgemm_fp8": (_START, None),
    "fp_quant": (_START, None),
    "experts_int8": (_START, (0, 20, 0)),
    "petit_nvfp4": (_START, (0, 20, 0)),
}
# platforms/{rocm,xpu}.py supported_quantization; CUDA and CPU name none and take all.
_ON_PLATFORM: dict[str, dict[str, tuple[Release, Release | None]]] = {
    "rocm": {
        "awq": (_START, None),
        "auto_awq": ((0, 24, 0), None),
        "awq_marlin": (_START, None),
        "gptq": (_START, None),
        "gptq_marlin": (_START, (0, 25, 0)),
        "auto_gptq": ((0, 22, 0), None),
        "fp8": (_START, None),
        "deepseek_v4_fp8": ((0, 21, 0), None),
        "compressed-tensors": (_START, None),
        "fbgemm_fp8": (_START, None),
        "gguf": (_START, (0, 24, 0)),
        "inc": ((0, 28, 0), None),
        "quark": (_START, None),
        "ptpc_fp8": (_START, (0, 19, 0)),
        "mxfp4": (_START, None),
        "mxfp8": ((0, 21, 0), None),
        "petit_nvfp4": (_START, (0, 20, 0)),
        "torchao": (_START, None),
        "bitsandbytes": ((0, 17, 0), (0, 28, 0)),
        "modelopt": ((0, 21, 0), None),
        "modelopt_fp4": ((0, 20, 0), None),
        "modelopt_mxfp8": ((0, 21, 0), None),
        "modelopt_mixed": ((0, 21, 0), None),
        "fp8_per_tensor": ((0, 21, 0), None),
        "fp8_per_block": ((0, 21, 0), None),
        "fp8_per_channel": ((0, 24, 0), None),
        "online": ((0, 21, 0), None),
        "gpt_oss_mxfp4": ((0, 20, 0), None),
    },
    "xpu": {
        "awq": ((0, 27, 0), None),
        "gptq": ((0, 27, 0), None),
        "moe_wna16": ((0, 30, 0), None),
        "auto_awq": ((0, 27, 0), None),
        "auto_gptq": ((0, 27, 0), None),
        "inc": ((0, 27, 0), None),
        "fp8": ((0, 27, 0), None),
        "deepseek_v4_fp8": ((0, 27, 0), None),
        "mxfp4": ((0, 27, 0), None),
        "mxfp8": ((0, 27, 0), None),
        "fp8_per_tensor": ((0, 27, 0), None),
        "fp8_per_block": ((0, 27, 0), None),
        "fp8_per_channel": ((0, 32, 0), None),
        "online": ((0, 27, 0), None),
        "gpt_oss_mxfp4": ((0, 27, 0), None),
        "modelopt": ((0, 27, 0), None),
        "compressed-tensors": ((0, 27, 0), None),
    },
}


def known_methods(release: Release) -> tuple[str, ...]:
    """Values of `--quantization`, in vLLM's order."""
    return tuple(name for name, since, gone in _METHODS if _held(since, gone, release))


def knows_method(name: str, release: Release) -> bool:
    """Whether `name` is one of them."""
    return any(_held(since, gone, release) for known, since, gone in _METHODS if known == name)


def first_release_of(name: str) -> Release | None:
    """First release that registers a method; None for one that none of the tables knows."""
    return min((since for known, since, _ in _METHODS if known == name), default=None)


def registered_name(question: Question, declared: Declared) -> str | None:
    """Name of the method that ModelConfig settles on; None for an unquantized model.

    Raises MethodRefused as ModelConfig does.
    """
    # All that the configs look at before a layer is built, and where.
    asked = question.deployment.quantization
    rest = (asked, question.model_type, declared.method)
    known = _SETTLED.find(question.quantization, rest)
    if known is None:
        known = _SETTLED.keep(question.quantization, rest, AlikeByEra())
    return known.ask(question.setting, question.release, partial(_settle, question, declared))


def _settle(
    question: Question, declared: Declared, setting: Setting, release: Release
) -> str | None:
    question = question._replace(setting=setting, release=release)
    asked, declaration = question.deployment.quantization, question.quantization
    name = asked
    if declaration is not None:
        taken = overrides.overriding(question, declared, knows_method)
        name = taken if taken is not None else _agreed(declared.method or None, asked)
    if name is not None:
        _verify(name, question)
    return name


def _agreed(declared: str | None, asked: str | None) -> str | None:
    if asked is None or asked == declared:
        return declared
    raise refused_by_model_config(
        f"Quantization method specified in the model config ({declared}) does not match the "
        f"quantization method specified in the `quantization` argument ({asked}).",
        f"the checkpoint is stored as {declared or 'unquantized'}; leave --quantization away",
    )


def _verify(name: str, question: Question) -> None:
    release = question.release
    if not knows_method(name, release):
        known, first = known_methods(release), first_release_of(name)
        text = f"Unknown quantization method: {name}. Must be one of {list(known)}."
        reason = f"vLLM {format_release(release)} has no quantization method {name}"
        if first is not None and first > release:
            reason += f"; {format_release(first)} is the first that does"
        raise refused_by_model_config(text, reason)
    if question.is_on(*_refusing(name, release)):
        raise refused_by_model_config(
            f"{name} quantization is currently not supported in {question.platform}.",
            f"vLLM {format_release(release)} does not run {name} on {question.platform}",
        )
    if name in _DEPRECATED and _held(*_DEPRECATED[name], release):
        # The text is a tuple in the source, a formatting slip that every release has.
        text = "The quantization method %s is deprecated and will be removed in future versions "
        text += "of vLLM. To bypass, set `--allow-deprecated-quantization`."
        reason = f"vLLM {format_release(release)} deprecates {name}"
        raise refused_by_model_config(str((text, name)), reason)


@by_era
def _refusing(name: str, release: Release) -> tuple[str, ...]:
    """Platforms whose list leaves a method out; one that lists nothing takes all."""
    return tuple(platform for platform in _ON_PLATFORM if _leaves_out(platform, name, release))


def _leaves_out(platform: str, name: str, release: Release) -> bool:
    listed = _ON_PLATFORM[platform]
    if name in listed:
        since, gone = listed[name]
        if gone is None and since == min(each[0] for each in listed.values()):
            return False  # as long as the list itself
        if _held(since, gone, release):
            return False
    return any(_held(*each, release) for each in listed.values())


def _held(since: Release, gone: Release | None, release: Release) -> bool:
    return since <= release and (gone is None or release < gone)
