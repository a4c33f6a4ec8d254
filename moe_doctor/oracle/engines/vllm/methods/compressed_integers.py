"""compressed-tensors with integer weights and plain inputs (wNa16).

Sources: compressed_tensors_moe_wna16.py and _wna16_marlin.py, schemes/compressed_tensors_wNa16.py,
0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.query import QuantQuery
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.methods.arguments import Arguments
from moe_doctor.oracle.engines.vllm.methods.integer_formats import marlin_fits
from moe_doctor.oracle.engines.vllm.methods.marlin_inputs import refuse_inputs
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    Afterwards,
    MethodRefused,
    NoOracle,
    OracleCall,
    refused_by_method,
    refused_later,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_MARLIN = ("MARLIN", "BATCHED_MARLIN")
_ORACLE: Release = (0, 23, 0)
_MERGED: Release = (0, 27, 0)


def build_wna16(question: Question, weights: Arguments, layout: str) -> OracleCall | NoOracle:
    """The branch of get_moe_method for weights of N bits and 16-bit inputs."""
    release = question.release
    bits = (2, 3, 4, 5, 6, 7, 8) if release >= (0, 25, 0) else (4, 8)
    if layout != "pack-quantized" or weights.num_bits not in bits:
        reason = f"the experts are {weights.num_bits}-bit integers in format {layout}"
        raise refused_by_method("ValueError", _unsupported(release, bits, weights), reason)
    if release >= _ORACLE and question.is_on("rocm"):
        own = _rocm(question, weights)
        if own is not None:
            return own
    if release >= _MERGED:
        return _ask(question, weights, "CompressedTensorsWNA16MoEMethod")
    group = weights.group_size or -1
    padding = release >= (0, 25, 0) and not weights.reorders_groups
    if marlin_fits(question, group, padding=padding):
        return _marlin(question, weights)
    return _triton(question, weights)


def _rocm(question: Question, weights: Arguments) -> OracleCall | NoOracle | None:
    """Kernels of one architecture, which get_moe_method looks for first; None without one."""
    release, backend = question.release, question.deployment.moe_backend
    if question.setting.arch == "gfx1100" and weights.num_bits == 4 and release < (0, 30, 0):
        return _rdna3(question, weights)
    small = weights.strategy == "group" and weights.group_size == 32 and weights.num_bits == 4
    flydsl = backend == "flydsl" and question.setting.arch == "gfx950" and not question.setting.lora
    if small and flydsl and weights.type == "int" and release >= (0, 24, 0):
        return NoOracle(
            "CompressedTensorsW4A16FlydslMoEMethod", "it runs FlyDSL's kernel", "FLYDSL"
        )
    if backend == "emulation" and (0, 26, 0) <= release < _MERGED:
        return _ask(question, weights, "CompressedTensorsWNA16MarlinMoEMethod")
    return None


def _rdna3(question: Question, weights: Arguments) -> OracleCall | NoOracle:
    """A child of the Triton method, and from 0.27.0 to 0.29.0 one that cannot be built."""
    method = "CompressedTensorsWNA16RDNA3MoEMethod"
    if question.release >= _MERGED:
        reason = "a defect of this release; 0.30.0 lists the kernel in the oracle instead"
        unbuilt = refused_later("KeyError", "'intermediate_size_full'", reason)
        late = (*_late_constructor(question, weights), unbuilt)
        return _ask(question, weights, method)._replace(afterwards=late)
    _triton(question, weights)
    return NoOracle(method, "it runs the native RDNA3 kernel", "RDNA3")


def _unsupported(release: Release, bits: tuple[int, ...], weights: Arguments) -> str:
    found = f"pack-quantized {{}} and bits: {weights.num_bits}"
    if release >= (0, 29, 0):
        text = f"For Fused MoE layers, only format: pack-quantized and bits: {list(bits)} is "
        return f"{text}supported but got format: {found.replace('{} ', '')}"
    # A tuple in the source: the pieces are printed one by one.
    pieces = ("For Fused MoE layers, only format: ", "pack-quantized ")
    rest = (f" and bits: {list(bits)} is supported ", f"but got format: {found.replace('{}', '')}")
    return str(pieces + rest)


def _marlin(question: Question, weights: Arguments) -> OracleCall | NoOracle:
    method = "CompressedTensorsWNA16MarlinMoEMethod"
    if question.release < _ORACLE and not weights.symmetric:
        text = "Only symmetric quantization is supported for MoE"
        raise refused_by_method("AssertionError", text, "the weights have zero points")
    refused = refuse_inputs(question)
    if refused is not None:
        raise refused
    if question.release >= _ORACLE:
        return _ask(question, weights, method)
    if _wants_mxint4(question, weights):
        why = "VLLM_USE_FLASHINFER_MOE_INT4 asks for FlashInfer's kernel where it is installed"
        return NoOracle(method, why)
    return NoOracle(method, "it fixes Marlin by itself in this release", "Marlin")


def _wants_mxint4(question: Question, weights: Arguments) -> bool:
    small = weights.group_size == 32 and weights.num_bits == 4
    if not small or not question.setting.is_family(10) or not question.is_on("cuda"):
        return False
    value = question.environment.get("VLLM_USE_FLASHINFER_MOE_INT4", "0")
    return value.strip().isdigit() and int(value) != 0


def _triton(question: Question, weights: Arguments) -> NoOracle:
    if weights.reorders_groups:
        text = "WNA16MoE is not supported with actorder=group/dynamic."
        raise refused_by_method("ValueError", text, "the shape does not suit Marlin")
    if weights.strategy != "group":
        raise refused_by_method(
            "AssertionError", "", "the shape does not suit Marlin and scales are not per group"
        )
    if not weights.symmetric:
        text = "Only symmetric quantization is supported for MoE"
        if question.release >= (0, 26, 0):
            text += ". Try --moe-backend emulation."
        raise refused_by_method("AssertionError", text, "the weights have zero points")
    method = "CompressedTensorsWNA16MoEMethod"
    late = _late(question, weights, method)
    if late:
        raise MethodRefused(late[0].refusal)
    return NoOracle(method, "the shape does not suit Marlin: it calls Triton itself", "TRITON")


def _ask(question: Question, weights: Arguments, method: str) -> OracleCall:
    group = weights.group_size
    quant = QuantQuery(
        weight_key=_key(question.release, weights, method),
        model_type=question.model_type or None,
        kind="ct",
        bits=weights.num_bits,
        group_size=-1 if group is None else group,
        symmetric=weights.symmetric,
        desc_act=weights.reorders_groups,
    )
    late = _late(question, weights, method)
    return question.ask_with("int_wna16", method, quant, afterwards=late)


def _key(release: Release, weights: Arguments, method: str) -> str:
    bits, group = weights.num_bits, weights.group_size
    if not weights.symmetric and bits not in (4, 8):
        raise refused_by_method("KeyError", str(bits), f"{bits}-bit weights with zero points")
    if bits == 4:
        named = "kInt4Static32" if group == 32 else "kInt4Static"
        return named if weights.symmetric else f"{named}Asym"
    if bits == 8:
        whole_only = release < (0, 25, 0) or _MERGED <= release < (0, 29, 0)
        if whole_only and group != -1:
            reason = f"group_size of 8-bit weights is {group}; this release asserts -1"
            raise refused_by_method("AssertionError", "", reason)
        return (
            "kInt8Static" if weights.symmetric else _printed("uint8", "f16,static,per_token", "a")
        )
    if release < (0, 29, 0):
        text = f"{method} only supports int4 and int8 now."
        raise refused_by_method("ValueError", text, f"the weights have {bits} bits")
    shape = "per_channel" if group in (None, -1) else f"GroupShape(row=1, col={group})"
    return _printed(f"uint{bits}b{2 ** (bits - 1)}", f"f16,static,{shape}", "")


def _printed(dtype: str, scale: str, prefix: str) -> str:
    return f"QuantKey({dtype},scale({scale}),{prefix}symmetric)"


def _late(question: Question, weights: Arguments, method: str) -> tuple[Afterwards, ...]:
    """What the constructor and create_weights raise once the oracle has chosen."""
    release, late = question.release, []
    group = weights.group_size
    if release >= _MERGED:
        late += _late_constructor(question, weights)
    name = "WNA16 Marlin MoE" if "Marlin" in method else "WNA16 MoE"
    width, hidden = question.query.intermediate_size_per_partition, question.query.hidden_size
    if weights.strategy == "channel" or group is None or release < (0, 24, 0):
        return tuple(late)
    if hidden % group:
        text = f"CompressedTensors {name} requires hidden_size ({hidden}) to be divisible by "
        reason = f"hidden_size {hidden} is no multiple of {group}"
        late.append(refused_later("ValueError", f"{text}group_size ({group}).", reason))
    whole_w2 = release < (0, 30, 0) and weights.actorder == "group" and group != -1
    if width % group and not whole_w2:
        text = (
            f"CompressedTensors {name} with static group scales requires the MoE intermediate size "
            f"per tensor-parallel partition ({width}) to be divisible by group_size ({group}). "
            "Scale groups would otherwise cross TP shard boundaries; use a compatible TP size or "
            "enable expert parallelism."
        )
        reason = f"an expert's shard is {width} wide and groups are {group} wide"
        late.append(refused_later("ValueError", text, reason))
    return tuple(late)


def _late_constructor(question: Question, weights: Arguments) -> list[Afterwards]:
    late = []
    group, release = weights.group_size, question.release
    if group is None and release < (0, 30, 0):
        text = "'<=' not supported between instances of 'NoneType' and 'int'"
        reason = "this release compares the missing group_size of per-channel weights"
        late.append(refused_later("TypeError", text, reason, only=_MARLIN))
    elif not marlin_fits(
        question,
        -1 if group is None else group,
        padding=release >= (0, 30, 0) or not weights.reorders_groups,
    ):
        reason = "the shape does not suit the Marlin kernel"
        late.append(refused_later("AssertionError", "", reason, only=_MARLIN))
    refused = refuse_inputs(question)
    if refused is not None:
        late.append(Afterwards(refused.refusal, only=_MARLIN))
    if weights.strategy != "group":
        reason = f"scales are per {weights.strategy}; only Marlin takes them"
        late.append(refused_later("AssertionError", "", reason, unless=_MARLIN))
    elif release < (0, 30, 0) and weights.actorder == "group":
        reason = "columns are reordered across groups; only Marlin takes that"
        late.append(refused_later("AssertionError", "", reason, unless=_MARLIN))
    elif release < (0, 29, 0) and not weights.symmetric:
        text = "Only symmetric quantization is supported for MoE"
        late.append(refused_later("AssertionError", text, "zero points", unless=_MARLIN))
    return late
