"""What Humming makes of a declaration: keys of weights and inputs, or what it raises.

Linear layers read the same declaration and are built first, so what they raise stands here too.
Sources: humming/schema/*.py of humming-kernels 0.1.2 to 0.1.19 (the pins of 0.22.0 to 0.33.0),
weight_schema_to_quant_key and check_and_fallback_input_schema of vLLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.backends.schemes import REFINED_PREFIX
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.methods.fp8 import block_key
from moe_doctor.oracle.engines.vllm.methods.outcome import MethodRefused, refused_by_method
from moe_doctor.oracle.engines.vllm.methods.question import Question

_OWN_KEYS: Release = (0, 31, 0)
_QUARK: Release = (0, 32, 0)
_NVFP4_INPUTS: Release = (0, 32, 0)
_STRICT_INPUTS: Release = (0, 28, 0)
_TOKEN, _INT8_TOKEN = "kFp8DynamicTokenSym", "kInt8DynamicTokenSym"
_FP4_TOKEN = "QuantKey(u8,scale(f32,dynamic,per_token),symmetric)"
_LAYOUTS = (
    "int-quantized",
    "float-quantized",
    "naive-quantized",
    "pack-quantized",
    "nvfp4-pack-quantized",
    "mxfp4-pack-quantized",
)


class Format(NamedTuple):
    """The pair that select_humming_moe_experts is asked with."""

    weights: str
    inputs: str | None = None


class Unstated(NamedTuple):
    """A declaration that Humming may read, and the tables do not."""

    why: str


def read_format(
    question: Question, method: str, layer: Mapping[str, Any] | None = None
) -> Format | Unstated | None:
    """The experts' format as `method` declares it; None where Humming leaves them as they are."""
    raw = dict(question.details if layer is None else layer)
    if method in ("compressed-tensors", "modelopt"):
        return _grouped(question, raw, method)
    raw |= question.rule("dynamic") if method == "gptq" and layer is None else {}
    match method:
        case "gptq" | "awq":
            return _integers(question, raw, awq=method == "awq")
        case "auto-round" if question.release >= (0, 25, 0):
            return _auto_round(question, raw)
        case "fp8":
            return _fp8(question, raw)
        case "mxfp4":
            return Format("kMxfp4Static")
        case "quark" if question.release >= _QUARK:
            raise refused_by_method(
                "TypeError",
                "QuarkWeightSchema.__init__() missing 1 required keyword-only argument: 'dtype'",
                "Humming expects one scheme for the whole model, and Quark declares several",
            )
        case "humming" if "b_dtype" not in raw:
            text = "HummingWeightSchema.__init__() missing 1 required keyword-only argument: "
            raise refused_by_method("TypeError", f"{text}'b_dtype'", "b_dtype is missing")
        case "humming" | "bitnet":
            return Unstated(f"a checkpoint of its own kind ({method})")
        case _:
            text = f"unsupported weight quant_method: {method}"
            raise refused_by_method("ValueError", text, f"Humming does not read {method or 'it'}")


def _grouped(question: Question, raw: Mapping[str, Any], method: str) -> Format | Unstated | None:
    groups = raw.get("config_groups")
    if not isinstance(groups, Mapping):
        raise refused_by_method("KeyError", "'config_groups'", "the declaration has no groups")
    found = next((one for one in groups.values() if "Linear" in (one.get("targets") or ())), None)
    if found is None or not isinstance(found.get("weights"), Mapping):
        return None
    weights, inputs = found["weights"], found.get("input_activations")
    if method == "modelopt":
        return _modelopt(question, str(raw.get("quant_algo", "")).lower(), plain=inputs is None)
    return _compressed(question, weights, inputs, str(raw.get("format")))


def _modelopt(question: Question, algorithm: str, *, plain: bool) -> Format:
    if algorithm == "mxfp8" and plain:
        return Format("kMxfp8Static")
    if algorithm != "nvfp4":
        text = f"unsupported modelopt algo: {algorithm}"
        raise refused_by_method("ValueError", text, f"Humming does not read {algorithm}")
    if plain:
        return Format("kNvfp4Static")
    if question.release < _OWN_KEYS:
        return Format("kNvfp4Static", _TOKEN)
    return _nvfp4(question)


def _integers(question: Question, raw: Mapping[str, Any], *, awq: bool) -> Format:
    bits, group = raw.get("bits"), raw.get("group_size")
    if not isinstance(bits, int) or not isinstance(group, int):
        raise TypeError("bits and group_size are no numbers")
    if group == -1:
        text = f"Trying to create tensor with negative dimension -{question.query.hidden_size}: ["
        raise refused_by_method("RuntimeError", text, "Humming divides by group_size -1")
    symmetric = not raw.get("zero_point", True) if awq else bool(raw.get("sym", True))
    if question.release < _OWN_KEYS:
        if group == 32 and symmetric:
            return Format("kInt4Static32")
        return Format(_integer_key("uint4b8", "f16", group, symmetric))
    if not awq and raw.get("desc_act"):
        raise refused_by_method("AssertionError", "", "Humming does not reorder columns")
    return Format(_integer_key(_dtype(bits), _half(question), group, symmetric))


def _auto_round(question: Question, raw: Mapping[str, Any]) -> Format:
    if "fp" in str(raw.get("data_type", "int")):
        text = "autoround fp quantization is not supported by humming"
        raise refused_by_method("AssertionError", text, "Humming reads AutoRound's integers alone")
    if question.release < _OWN_KEYS:
        text = "Unsupported weight schema type: <class 'humming.schema.autoround."
        text += "AutoRoundWeightSchema'>"
        raise refused_by_method("TypeError", text, "0.31.0 is the first that knows AutoRound here")
    zeros = not raw.get("sym", True)
    return _integers(question, {**raw, "zero_point": zeros}, awq=True)


def _fp8(question: Question, raw: Mapping[str, Any]) -> Format:
    block = raw.get("weight_block_size")
    old = question.release < _OWN_KEYS
    if block is not None:
        if len(block) != 2:
            text = f"not enough values to unpack (expected 2, got {len(block)})"
            raise refused_by_method("ValueError", text, f"weight_block_size is {list(block)}")
        key = block_key((int(block[0]), int(block[1])))
        return Format(key, _TOKEN if old else None)
    if old:
        return Format("kFp8StaticChannelSym", _TOKEN)
    if not _computes_fp8(question):
        return Format("kFp8StaticTensorSym")
    static = raw.get("activation_scheme") == "static"
    return Format("kFp8StaticTensorSym", "kFp8StaticTensorSym" if static else _TOKEN)


def _compressed(
    question: Question, weights: Mapping[str, Any], inputs: object, layout: str
) -> Format | Unstated:
    if layout not in _LAYOUTS:
        raise refused_by_method("AssertionError", "", f"Humming does not read {layout}")
    if weights.get("actorder") not in (None, "weight", "static"):
        text = "actorder is not supported by humming"
        raise refused_by_method("AssertionError", text, "columns are reordered across groups")
    old = question.release < _OWN_KEYS
    if isinstance(inputs, Mapping):
        _check_inputs(question, inputs, layout)
    strategy, bits = str(weights.get("strategy")), int(weights.get("num_bits") or 0)
    plain = "pack" not in layout
    if plain and bits != 8:
        raise refused_by_method("AssertionError", "", f"{layout} weights have {bits} bits")
    if layout == "pack-quantized" and strategy == "channel":
        text = "RowvLLMParameter.__init__() missing 1 required positional argument: 'input_dim'"
        raise refused_by_method("TypeError", text, "packed weights with a scale per channel")
    key = _compressed_key(question, weights, layout, old=old)
    if key is None:
        return Unstated(f"{layout} weights per {strategy}")
    if not isinstance(inputs, Mapping):
        return Format(key)
    if old:
        return Format(key, _TOKEN if inputs.get("type", "int") == "float" else _INT8_TOKEN)
    return _runtime_inputs(question, key)


def _check_inputs(question: Question, inputs: Mapping[str, Any], layout: str) -> None:
    """CompressedTensorsInputSchema and the first use of its group size."""
    if question.release < _STRICT_INPUTS and layout == "pack-quantized":
        raise refused_by_method("AssertionError", "", "packed weights come with plain inputs here")
    unset = "group_size" in inputs and inputs["group_size"] is None
    if question.release >= _OWN_KEYS and unset:
        text = "'>' not supported between instances of 'NoneType' and 'int'"
        reason = "group_size of the inputs is null, which Humming compares with 0"
        raise refused_by_method("TypeError", text, reason)


def _compressed_key(
    question: Question, weights: Mapping[str, Any], layout: str, *, old: bool
) -> str | None:
    if "nvfp4" in layout:
        return "kNvfp4Static"
    if "mxfp4" in layout:
        return "kMxfp4Static"
    strategy, symmetric = weights.get("strategy"), bool(weights.get("symmetric", True))
    if layout == "pack-quantized":
        group = weights.get("group_size")
        if strategy != "group" or not isinstance(group, int) or group <= 0:
            return None
        scale = "f32" if old else _half(question)
        return _integer_key(_dtype(int(weights["num_bits"])), scale, group, symmetric)
    block = weights.get("block_structure")
    if strategy == "block" and isinstance(block, (list, tuple)) and len(block) == 2:
        return block_key((int(block[0]), int(block[1])))
    if not old or strategy not in ("tensor", "channel"):
        return None
    if weights.get("type") == "float":
        return "kFp8StaticChannelSym"
    sign = "symmetric" if symmetric else "asymmetric"
    return f"QuantKey(uint8b128,scale(f32,static,per_channel),{sign})"


def _runtime_inputs(question: Question, key: str) -> Format | Unstated:
    """check_and_fallback_input_schema for the pairs that it was asked about."""
    version = _version(question)
    if key == "kNvfp4Static":
        return _nvfp4(question)
    if key == "kFp8Static128BlockSym":
        return Format(key)
    if key == "kMxfp4Static" and version in (80, 86, 87):
        return Format(key, _INT8_TOKEN)
    if key == "kMxfp4Static" and version in (89, 90):
        return Format(key, _TOKEN)
    if key.startswith(REFINED_PREFIX):
        return Format(key)  # no class takes such blocks, whatever the inputs are
    return Unstated(f"{key} with quantized inputs on compute capability {version / 10}")


def _nvfp4(question: Question) -> Format:
    """NVFP4 on both sides, as it runs: FP4 inputs need one of Blackwell's desktops."""
    if _version(question) < 120:
        return Format("kNvfp4Static")
    # humming-kernels 0.1.16 finds its own NVFP4 inputs incompatible and falls back to FP4 by token.
    early = question.release < _NVFP4_INPUTS
    return Format("kNvfp4Static", _FP4_TOKEN if early else "kNvfp4Dynamic")


def _version(question: Question) -> int:
    if question.capability is None:
        raise MethodRefused(
            refused_by_method("AssertionError", "", "Humming needs an NVIDIA GPU").refusal
        )
    return question.capability[0] * 10 + question.capability[1]


def _computes_fp8(question: Question) -> bool:
    """Whether Humming multiplies FP8 by FP8 here; it thinks Blackwell's servers too slow for it."""
    return _version(question) in (89, 90) or _version(question) >= 120


def _dtype(bits: int) -> str:
    """_HUMMING_TO_QUANT_DTYPE: only 4 and 8 bits have a type of their own."""
    return {4: "uint4b8", 8: "uint8b128"}.get(bits, "u8")


def _half(question: Question) -> str:
    return "f16" if question.query.in_dtype == "float16" else "bf16"


def _integer_key(dtype: str, scale: str, group: int, symmetric: bool) -> str:
    sign = "symmetric" if symmetric else "asymmetric"
    shape = f"GroupShape(row=1, col={group})"
    return f"QuantKey({dtype},scale({scale},static,{shape}),{sign})"
