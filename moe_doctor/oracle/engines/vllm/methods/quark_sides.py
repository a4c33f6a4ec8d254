"""Quark's declarations: which settings a layer follows, and which formats they are.

Sources: QuarkConfig (from_config, _find_matched_config and the _is_* tests of quark.py) and
quark/schemes/*.py, 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from moe_doctor.core.named import NamedTuple
from moe_doctor.models.expert_modules import PREFIXES
from moe_doctor.models.quantized_layers import LayerQuantization
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    refused_by_method,
    refused_by_vllm_config,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

Side = Mapping[str, Any]
_MX = ("fp4", "fp6_e3m2", "fp6_e2m3")
_INT4_IN_FP8 = ["fp8_e4m3", "int4"]
_ATTENTION = ("q_proj", "q_a_proj")
_NO_SCHEME = "No quark compatible scheme was found. Weight config: "


class Settings(NamedTuple):
    """`weight` and `input_tensors` of a layer, as declared: one step, several, or none."""

    weights: Any
    inputs: Any
    others: bool = False
    """Whether outputs or biases are quantized too."""

    @property
    def in_steps(self) -> bool:
        """Whether a side is quantized in several steps (a list)."""
        return isinstance(self.weights, list) or isinstance(self.inputs, list)


def check_config(question: Question) -> None:
    """What QuarkConfig.from_config and the exclude list raise."""
    details = question.details
    if details.get("export") is None:
        raise refused_by_vllm_config(
            "The export key should be included in the configurations of Quark quantized model",
            "quantization_config has no export",
        )
    _check_kv_cache(details)
    whole = details.get("global_quant_config")
    weights = whole.get("weight") if isinstance(whole, Mapping) else None
    if (0, 17, 0) <= question.release < (0, 20, 0) and isinstance(weights, list):
        text = "list indices must be integers or slices, not str"
        raise refused_by_method("TypeError", text, "this release reads one step of weights alone")
    if details.get("exclude") is None:
        text = "'NoneType' object is not iterable"
        raise refused_by_method("TypeError", text, "quantization_config has no exclude list")


def _check_kv_cache(details: Mapping[str, Any]) -> None:
    export, layers = details.get("export"), details.get("layer_quant_config")
    groups = export.get("kv_cache_group") if isinstance(export, Mapping) else None
    names = list(layers) if isinstance(layers, Mapping) else []
    if not groups or set(groups) <= set(names):
        return
    if not any(fnmatchcase(name, pattern) for name in names for pattern in groups):
        raise refused_by_vllm_config(
            "The Quark quantized model has the kv_cache_group parameter setting, but no kv_cache "
            "quantization settings were found in the quantization configuration.",
            "layer_quant_config does not say how the KV cache is stored",
        )


def experts_settings(question: Question) -> Settings:
    """Settings of the experts: those of their pattern, else the global ones."""
    return _settings(question.rule("layer_quant_config") or _whole(question))


def attention_settings(question: Question) -> Settings | None:
    """Settings of the first layer's attention; None where it is excluded."""
    spec = question.quantization
    if spec is None:
        return None
    names = tuple(f"{start}layers.0.self_attn.{end}" for start in PREFIXES for end in _ATTENTION)
    reader = LayerQuantization("quark", spec.details, spec.ignore, [], everywhere=True)
    rules = reader.rules(names)
    if rules is None:
        return None
    entries = spec.details.get("layer_quant_config")
    found = entries.get(rules[0]) if rules and isinstance(entries, Mapping) else None
    settings = _settings(found or _whole(question))
    export = question.details.get("export")
    if found and isinstance(export, Mapping) and export.get("kv_cache_group"):
        # The outputs of these projections are the KV cache's and are taken out (from_config).
        return settings._replace(others=False)
    return settings


def refuse_linear(question: Question, settings: Settings) -> MethodRefused | None:
    """What attention's linear layers raise; they are built before the experts."""
    release = question.release
    weights, inputs = settings.weights, settings.inputs
    if settings.others:
        return refuse_others()
    if settings.in_steps:
        return None if is_nvfp4(question, settings) else _refuse_steps(question)
    if is_fp8(question, weights, inputs):
        return _refuse_capability(question, weights, inputs)
    if is_int8(question, weights, inputs) or is_int4(question, weights, inputs):
        return None
    if not is_mx(question, weights, inputs):
        return _no_scheme(weights, inputs)
    if inputs is None and (0, 17, 0) <= release < (0, 19, 0):
        text = "'NoneType' object is not subscriptable"
        return refused_by_method("TypeError", text, "this release reads inputs that are not there")
    if inputs is None or inputs.get("is_dynamic"):
        fp8 = inputs is not None and inputs.get("dtype") == "fp8_e4m3"
        if fp8 and release >= (0, 31, 0) and _has_groups_of_32(inputs):
            return None
        if fp8 and release >= (0, 30, 0):
            text = "Unsupported activation quant key: "
            text += "QuantKey(f8e4m3fn,scale(f32,dynamic,per_tensor),symmetric)"
            return refused_by_method("ValueError", text, "FP8 inputs of MX weights are static")
        if fp8 and release >= (0, 27, 0):
            text = "Unsupported input_dtype=mxfp8_e4m3 for QuarkOCP_MX. "
            return refused_by_method("ValueError", text, "FP8 inputs of MX weights are static")
        return None
    fp8 = inputs.get("dtype") == "fp8_e4m3"
    plain = inputs.get("qscheme") == "per_tensor" and inputs.get("symmetric") is True
    if fp8 and plain and release >= (0, 18, 0) and _is_stored_mxfp4(weights):
        return None
    if release >= (0, 30, 0):
        return _no_scheme(weights, inputs)
    if fp8 and release >= (0, 27, 0):
        text = "Unsupported input_dtype=mxfp8_e4m3 for QuarkOCP_MX. "
        reason = "static FP8 inputs go with MXFP4 weights, symmetric and per tensor"
        return refused_by_method("ValueError", text, reason)
    text = "QuarkOCP_MX with static input scales is currently not implemented. Please open an "
    return refused_by_method("NotImplementedError", f"{text}issue.", "MX inputs are dynamic")


def refuse_others() -> MethodRefused:
    """Quantized outputs or biases, which neither linear layers nor experts take."""
    return refused_by_method(
        "NotImplementedError",
        "Currently, Quark models with output_tensors and bias quantized are not supported",
        "outputs or biases are quantized",
    )


def is_nvfp4(question: Question, settings: Settings) -> bool:
    """NVFP4 in two steps on both sides, from 0.22.0 on."""
    sides = (settings.weights, settings.inputs)
    if question.release < (0, 22, 0):
        return False
    if not all(isinstance(side, list) and len(side) == 2 for side in sides):
        return False
    for number, side in enumerate(sides):
        values, scale = side
        dynamic = bool(values.get("is_dynamic"))
        if values.get("dtype") != "fp4" or values.get("group_size") != 16:
            return False
        if values.get("qscheme") != "per_group" or dynamic is not (number == 1):
            return False
        if scale.get("dtype") != "fp8_e4m3" or scale.get("qscheme") != "per_tensor":
            return False
        if scale.get("is_dynamic"):
            return False
    return True


def is_int4_in_fp8(settings: Settings) -> bool:
    """INT4 weights per channel inside FP8 ones per tensor, with FP8 inputs."""
    steps, inputs = settings.weights, settings.inputs
    if not isinstance(steps, list) or [step.get("dtype") for step in steps] != _INT4_IN_FP8:
        return False
    if not isinstance(inputs, Mapping) or inputs.get("dtype") != "fp8_e4m3":
        return False
    outer, inner = steps
    if outer.get("qscheme") != "per_tensor" or inner.get("qscheme") != "per_channel":
        return False
    if any(step.get("is_dynamic") for step in steps) or inner.get("symmetric") is not True:
        return False
    by_row = inner.get("ch_axis") == 0
    return by_row and (bool(inputs.get("is_dynamic")) or inputs.get("qscheme") == "per_tensor")


def is_fp8(question: Question, weights: Side | None, inputs: Side | None) -> bool:
    """FP8 on both sides; blocks from 0.28.0 on."""
    if weights is None or inputs is None or weights.get("is_dynamic"):
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


def is_int8(question: Question, weights: Side | None, inputs: Side | None) -> bool:
    """INT8 on both sides: static per tensor, and from 0.20.0 on dynamic per token."""
    if weights is None or inputs is None or weights.get("symmetric") is not True:
        return False
    if weights.get("dtype") != "int8" or inputs.get("dtype") != "int8":
        return False
    if weights.get("qscheme") not in ("per_tensor", "per_channel"):
        return False
    if inputs.get("qscheme") == "per_tensor":
        return not weights.get("is_dynamic") and not inputs.get("is_dynamic")
    by_token = inputs.get("qscheme") == "per_channel" and inputs.get("is_dynamic") is True
    return by_token and question.release >= (0, 20, 0)


def is_int4(question: Question, weights: Side | None, inputs: Side | None) -> bool:
    """Packed INT4 weights with plain inputs, from 0.31.0 on."""
    export = question.details.get("export")
    packed = export.get("pack_method") if isinstance(export, Mapping) else None
    if question.release < (0, 31, 0) or weights is None or inputs is not None:
        return False
    return weights.get("dtype") in ("int4", "uint4") and packed in ("order", "reorder")


def is_mxfp8(question: Question, weights: Side | None) -> bool:
    """FP8 weights with power-of-two scales per 32, from 0.31.0 on; per row or per block of rows."""
    if question.release < (0, 31, 0) or weights is None or weights.get("dtype") != "fp8_e4m3":
        return False
    if weights.get("qscheme") == "per_group":
        return weights.get("group_size") == 32 and weights.get("scale_format") == "e8m0"
    block = list(weights.get("block_size") or [])
    square = weights.get("qscheme") == "per_block" and len(block) == 2 and block[1] == 32
    plain = weights.get("symmetric") is True and not weights.get("is_dynamic")
    return square and plain and weights.get("scale_type") == "float8_e8m0fnu"


def is_mx(question: Question, weights: Side | None, inputs: Side | None) -> bool:
    """Weights in an OCP MX format; 0.16.0 wants the inputs in one too."""
    if is_mxfp8(question, weights):
        return True
    if not _is_mx_side(weights):
        return False
    return question.release >= (0, 17, 0) or _is_mx_side(inputs)


def is_mx_linear(question: Question, found: object) -> bool:
    """Whether a linear layer is QuarkOCP_MX; `found` are its own settings, or None."""
    settings = _settings(found or _whole(question))
    weights, inputs = settings.weights, settings.inputs
    if settings.in_steps or not is_mx(question, weights, inputs):
        return False
    return inputs is None or bool(inputs.get("is_dynamic"))


def quark_settings(question: Question, entry: str) -> Settings:
    """Settings of a linear layer that follows an entry of `layer_quant_config`, or the global."""
    entries = question.details.get("layer_quant_config")
    found = entries.get(entry) if isinstance(entries, Mapping) else None
    return _settings(found or _whole(question))


def name_inputs(inputs: Side | None) -> str | None:
    """Inputs of OCP MX weights by vLLM's name from 0.31.0 on; empty where no scheme takes them."""
    if inputs is None:
        return None
    given = str(inputs.get("dtype"))
    if not inputs.get("is_dynamic"):
        plain = inputs.get("qscheme") == "per_tensor" and inputs.get("symmetric") is True
        return "fp8" if given == "fp8_e4m3" and plain else ""
    if given == "fp8_e4m3":
        return "mxfp8_e4m3" if _has_groups_of_32(inputs) else "fp8"
    if given in _MX:
        return f"mx{given}"
    text = f"Unsupported input_dtype={given.replace('fp', 'mxfp')} in Quark's vLLM integration. "
    raise refused_by_method("ValueError", text, f"inputs of MX weights are no {given}")


def _has_groups_of_32(side: Side | None) -> bool:
    return side is not None and (side.get("qscheme"), side.get("group_size")) == ("per_group", 32)


def _is_mx_side(side: Side | None) -> bool:
    if side is None or side.get("qscheme") != "per_group" or side.get("group_size") != 32:
        return False
    return side.get("scale_format") == "e8m0" and side.get("dtype") in _MX


def _is_stored_mxfp4(weights: Side) -> bool:
    return weights.get("dtype") == "fp4" and not weights.get("is_dynamic")


def _settings(found: object) -> Settings:
    raw = found if isinstance(found, Mapping) else {}
    weights, inputs = raw.get("weight"), raw.get("input_tensors")
    for side in (weights, inputs):
        if side is not None and not isinstance(side, (Mapping, list)):
            raise TypeError(f"a side of Quark's settings is a {type(side).__name__}")
    return Settings(weights, inputs, bool(raw.get("output_tensors") or raw.get("bias")))


def _whole(question: Question) -> Mapping[str, Any]:
    found = question.details.get("global_quant_config")
    if not isinstance(found, Mapping):
        raise TypeError("global_quant_config is no object")
    return found


def _refuse_steps(question: Question) -> MethodRefused:
    release = question.release
    reason = "linear layers take weights of one step"
    if release >= (0, 30, 0):
        text = "Multi-entry weight or activation quantization configs are only supported for NVFP4."
        return refused_by_method("NotImplementedError", text, reason)
    if release >= (0, 22, 0):
        text = "'list' object has no attribute 'get'"
        return refused_by_method("AttributeError", text, reason)
    return refused_by_method("TypeError", "unhashable type: 'dict'", reason)


def _refuse_capability(question: Question, weights: Side, inputs: Side) -> MethodRefused | None:
    if question.release < (0, 30, 0) and question.is_on("cpu", "xpu"):
        reason = f"Quark's FP8 wants a compute capability, and {question.platform} has none"
        return refused_by_method("NotImplementedError", _NO_SCHEME, reason)
    if not question.setting.is_below((8, 9)) or not question.is_on("cuda"):
        return None
    capability = question.capability or (0, 0)
    found = capability[0] * 10 + capability[1]
    reason = f"Quark's FP8 needs compute capability 8.9; this GPU has {found / 10}"
    if question.release < (0, 30, 0):
        return refused_by_method("NotImplementedError", _NO_SCHEME, reason)
    text = "Quantization scheme is not supported for the current GPU. Min capability: 89. "
    return refused_by_method("RuntimeError", f"{text}Current capability: {found}.", reason)


def _no_scheme(weights: Side | None, inputs: Side | None) -> MethodRefused:
    reason = f"no linear method takes {named(weights)} weights with {named(inputs)} inputs"
    return refused_by_method("NotImplementedError", _NO_SCHEME, reason)


def named(side: object) -> str:
    """A side for a reader."""
    if isinstance(side, Mapping):
        return f"{side.get('dtype')} {side.get('qscheme')}"
    return "plain" if side is None else "several-step"
