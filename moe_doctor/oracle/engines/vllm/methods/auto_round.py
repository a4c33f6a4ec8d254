"""AutoRound's checkpoints (vLLM's `inc`): GPTQ or AWQ packing, and the MX formats.

Sources: quantization/inc.py, from 0.24.0 on quantization/inc/{inc,config_parser}.py and
inc/schemes/*.py; 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release
from moe_doctor.models.expert_modules import PREFIXES
from moe_doctor.models.listed_entries import LEFT_OUT, is_expression
from moe_doctor.models.quantized_layers import LayerQuantization
from moe_doctor.oracle.engines.vllm.methods.humming import build_integers
from moe_doctor.oracle.engines.vllm.methods.integer_formats import (
    GROUPS,
    NO_LINEAR_KERNEL,
    lacks_linear_kernel,
    marlin_capable,
    marlin_fits,
)
from moe_doctor.oracle.engines.vllm.methods.integers import (
    ask_for_awq,
    ask_for_gptq,
    ask_for_wna16,
)
from moe_doctor.oracle.engines.vllm.methods.modelopt import late_mxfp8_sizes
from moe_doctor.oracle.engines.vllm.methods.mxfp4 import ask_cutlass_or_marlin
from moe_doctor.oracle.engines.vllm.methods.needed_packages import refuse_import
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    NoOracle,
    OracleCall,
    by_linear,
    refused_by_method,
    refused_by_validation,
    refused_by_vllm_config,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_SCHEMES: Release = (0, 24, 0)
_MX: Release = (0, 27, 0)
_FP8: Release = (0, 29, 0)
_HUMMING: Release = (0, 30, 0)
_PACKAGE = "humming-kernels"
_BACKENDS = ("auto", "gptq", "gptq:marlin", "awq", "awq:marlin", "marlin")
_GPTQ, _AWQ = "auto_round:auto_gptq", "auto_round:auto_awq"
_MX_PACKING = "auto_round:llm_compressor"
_MXFP8_INPUTS = {
    "act_bits": 8,
    "act_data_type": "mx_fp",
    "act_group_size": 32,
    "act_sym": True,
    "act_dynamic": True,
}
_ATTENTION = ("qkv_proj", "q_proj", "q_a_proj", "o_proj")


class Settings(NamedTuple):
    """What INCConfig keeps of the declaration."""

    bits: int
    group: int
    symmetric: bool
    packing: str
    backend: str
    kind: str


class Stored(NamedTuple):
    """How one layer is stored."""

    bits: int
    group: int
    symmetric: bool


def build(question: Question) -> OracleCall | NoOracle:
    """INCConfig.get_quant_method for experts."""
    raw, release = question.details, question.release
    settings = _read(raw, release)
    _validate(settings, raw, release)
    attention = _stored(question, settings, _attention_rules(question))
    stored = _stored(question, settings, question.rules)
    by_gptq = "gptq" in settings.packing or "gptq" in settings.backend
    if settings.kind == "int" and attention.bits < 16:
        refused = refuse_linear(question, *attention, by_gptq=by_gptq)
        if refused is not None:
            raise by_linear(refused)
    if stored.bits >= 16:
        return _plain(question)
    if settings.kind == "int":
        return _integers(question, settings, stored, by_gptq=by_gptq)
    if "mx_fp" in settings.kind and stored.bits == 4:
        return ask_cutlass_or_marlin(question, "INCMxfp4MoEMethod", _FP8)
    if "mx_fp" in settings.kind and release >= _FP8:
        late = late_mxfp8_sizes(question)
        return question.ask_for_mxfp8("INCMxfp8MoEMethod", afterwards=late)
    scheme = "INCMxfp8Scheme" if "mx_fp" in settings.kind else "INCFp8Scheme"
    text = f"{scheme} does not support MoE layers. Layer config: "
    reason = f"this release runs AutoRound's {settings.kind} in linear layers alone"
    raise refused_by_method("NotImplementedError", text, reason)


def _read(raw: Mapping[str, Any], release: Release) -> Settings:
    for key in ("bits", "group_size", "sym"):
        if key not in raw and (key != "sym" or release < _FP8):
            raise refused_by_vllm_config(
                f"Cannot find any of ['{key}'] in the model's quantization config.",
                f"quantization_config lacks {key}",
            )
    kind = str(raw.get("data_type", "int"))
    if release >= _FP8 and kind == "fp8":
        kind = "fp"
    packing = raw.get("packing_format")
    if packing is None:
        packing = _MX_PACKING if release >= _FP8 and "mx_fp" in kind else _GPTQ
        if release >= _FP8 and kind == "fp" and isinstance(raw["group_size"], (list, tuple)):
            packing = "auto_round:fp8"
    backend = raw.get("backend", raw.get("vllm_backend", "auto"))
    group = raw["group_size"] if isinstance(raw["group_size"], int) else -1
    return Settings(
        int(raw["bits"]), group, bool(raw.get("sym", True)), str(packing), str(backend), kind
    )


def _validate(settings: Settings, raw: Mapping[str, Any], release: Release) -> None:
    """INCConfig.__init__; the sets in its messages have no order, so the texts end before them."""
    bits = (2, 3, 4, 5, 6, 7, 8) if release >= _HUMMING else (2, 3, 4, 8)
    kinds = ["int", *(["mx_fp"] if release >= _MX else []), *(["fp"] if release >= _FP8 else [])]
    packings = [_GPTQ, _AWQ, *([_MX_PACKING] if release >= _MX else [])]
    if release >= _FP8:
        packings.append("auto_round:fp8")
    mx = release >= _MX and "mx_fp" in settings.kind
    comma = "," if release >= _MX else ", "
    checks = (
        (settings.bits in bits, f"weight_bits: {settings.bits},"),
        (settings.kind in kinds or mx, f"data_type: {settings.kind},"),
        (settings.packing in packings, f"packing_format: {settings.packing},"),
        (settings.backend in _BACKENDS, f"backend: {settings.backend}{comma}"),
    )
    for fine, text in checks:
        if not fine:
            reason = f"this release does not take AutoRound's {text.rstrip(', ')}"
            raise refused_by_vllm_config(f"Unsupported {text} currently only support ", reason)
    if release >= _MX and settings.kind == "int" and settings.packing not in (_GPTQ, _AWQ):
        raise refused_by_validation(
            "Assertion failed, INC int quantization only supports packing_format",
            f"integers are packed as {settings.packing}",
        )
    if mx and (settings.group != 32 or not settings.symmetric or settings.packing != _MX_PACKING):
        raise refused_by_validation(
            "Assertion failed, INC MXFP", "MX formats have symmetric groups of 32"
        )
    if mx and settings.bits == 8:
        _validate_inputs(raw)
    if settings.kind == "fp" and not isinstance(raw["group_size"], (list, tuple)):
        raise refused_by_validation(
            "Assertion failed, INC block-wise FP8 ", "FP8 has 8 bits and blocks of two sides"
        )


def _validate_inputs(raw: Mapping[str, Any]) -> None:
    """MXFP8 inputs are fixed; what the declaration leaves out counts as right."""
    for key, wanted in _MXFP8_INPUTS.items():
        found = raw.get(key, wanted)
        if found != wanted:
            text = f"Assertion failed, INC MXFP8 only supports {key}={wanted!r}, but found "
            reason = f"{key} of MXFP8 is {wanted!r}"
            raise refused_by_validation(f"{text}{key}={found!r}.", reason)


def _stored(question: Question, settings: Settings, rules: tuple[str, ...]) -> Stored:
    """INCConfigParser.resolve: the layer's own entry, that of its projections, the default."""
    whole = Stored(settings.bits, settings.group, settings.symmetric)
    own, shared = rules if len(rules) == 2 else ("", "")
    entries = question.details.get("extra_config")
    entries = entries if isinstance(entries, Mapping) else {}
    if own == LEFT_OUT:
        return Stored(16, -1, True)
    # The layers are looked up by a class name that 0.24.0 renamed: entries of single projections
    # count before it alone.
    if shared and question.release < _SCHEMES and (not own or is_expression(own)):
        if shared == LEFT_OUT:
            reason = "entries of one layer's experts differ"
            raise refused_by_method("ValueError", "Fused MoE layer '", reason)
        return _entry(entries.get(shared), whole)
    return _entry(entries.get(own), whole) if own else whole


def _entry(entry: object, whole: Stored) -> Stored:
    if not isinstance(entry, Mapping):
        return whole
    return Stored(
        entry.get("bits", whole.bits),
        entry.get("group_size", whole.group),
        entry.get("sym", whole.symmetric),
    )


def _attention_rules(question: Question) -> tuple[str, ...]:
    spec = question.quantization
    if spec is None:
        return ()
    names = tuple(f"{start}layers.0.self_attn.{end}" for start in PREFIXES for end in _ATTENTION)
    reader = LayerQuantization("auto-round", spec.details, spec.ignore, [], everywhere=True)
    found = reader.rules(names) or ()
    # The blocks are spelled as the checkpoint's class or as another: they hold both or neither.
    return question.rules if not found and question.rules[:1] == (LEFT_OUT,) else found


def refuse_linear(
    question: Question, bits: int, group: int, symmetric: bool, *, by_gptq: bool
) -> MethodRefused | None:
    """What a linear layer of integers raises, whatever its shape."""
    if goes_to_humming(question, bits):
        return _refuse_without_humming(question)
    if by_gptq:
        return _refuse_linear_gptq(question, Stored(bits, group, symmetric))
    return _refuse_linear_awq(question, bits)


def _refuse_without_humming(question: Question) -> MethodRefused | None:
    if not question.setting.lacks(_PACKAGE):
        return None
    return refuse_import("humming", _PACKAGE)


def _refuse_linear_gptq(question: Question, stored: Stored) -> MethodRefused | None:
    """From 0.22.0 on linear layers have no kernel but Marlin's."""
    if question.release < (0, 22, 0):
        return None
    if _takes_gptq(question, stored):
        if question.release >= _SCHEMES and lacks_linear_kernel(question, stored.bits):
            reason = f"no kernel for AMD's GPUs takes {stored.bits}-bit integers here"
            return refused_by_method("ValueError", NO_LINEAR_KERNEL, reason)
        return None
    return refused_by_method(
        "NotImplementedError",
        f"INC quantization with bits={stored.bits}, sym={stored.symmetric} is not supported. Only "
        "4-bit and 8-bit symmetric quantization is supported with Marlin kernels.",
        "the linear layers are stored alike and are built first",
    )


def _refuse_linear_awq(question: Question, bits: int) -> MethodRefused | None:
    """The linear layers' AWQ config takes 4 bits; Marlin's would take 8, with zero points 4 alone
    (query_marlin_supported_quant_types)."""
    if bits == 4:
        return None
    text = f"Currently, only 4-bit weight quantization is supported for AWQ, but got {bits} bits."
    if question.release >= _SCHEMES:
        text = f"Unsupported num_bits = {bits}. Supported: 4. For 8-bit AWQ, use Marlin backend by "
        text += "setting backend='awq:marlin' or backend='marlin'."
    reason = f"the linear layers have {bits} bits, and AWQ's have 4 in vLLM"
    return refused_by_method("ValueError", text, reason)


def goes_to_humming(question: Question, bits: int) -> bool:
    """Whether the release hands a layer of such bits to Humming."""
    newer = question.release >= _HUMMING and question.is_on("cuda")
    return newer and bits not in (4, 8)


def _plain(question: Question) -> OracleCall:
    own = question.rules[0] if question.rules else ""
    exact = own not in ("", LEFT_OUT) and not is_expression(own)
    if exact and question.release < _SCHEMES:
        reason = "before 0.24.0 an entry for the whole layer gets the method of linear layers"
        raise refused_by_method("AssertionError", "", reason)
    return question.unquantized()


def _takes_gptq(question: Question, stored: Stored) -> bool:
    typed = (stored.bits, stored.symmetric) in ((4, True), (8, True))
    return typed and marlin_capable(question) and stored.group in GROUPS


def _integers(
    question: Question, settings: Settings, stored: Stored, *, by_gptq: bool
) -> OracleCall | NoOracle:
    release = question.release
    if question.is_on("cpu", "xpu"):
        return NoOracle("", f"AutoRound on {question.platform}: the tables do not state it")
    if goes_to_humming(question, stored.bits):
        missing = _refuse_without_humming(question)
        if missing is not None:
            raise missing
        # _humming_weight_config: as a GPTQ or AWQ checkpoint would declare the layer.
        layer = {"bits": stored.bits, "group_size": stored.group, "sym": stored.symmetric}
        layer["zero_point"] = not stored.symmetric
        return build_integers(question, "gptq" if by_gptq else "awq", layer)
    named = settings.backend == "auto" or "marlin" in settings.backend or release >= _SCHEMES
    fits = named and marlin_fits(question, stored.group)
    zeros = not stored.symmetric
    if by_gptq:
        if fits and _takes_gptq(question, stored):
            return ask_for_gptq(question, stored.bits, stored.group)
        return ask_for_wna16(question, "gptq", stored.bits, stored.group, zeros=zeros)
    # Before 0.27.0 Marlin is asked for its AWQ type, which has zero points and 4 bits.
    takes = stored.bits in (4, 8) if release >= _MX else stored.bits == 4 and zeros
    if fits and takes and marlin_capable(question):
        return ask_for_awq(question, stored.group, zeros=zeros)
    return ask_for_wna16(question, "awq", stored.bits, stored.group, zeros=zeros)
