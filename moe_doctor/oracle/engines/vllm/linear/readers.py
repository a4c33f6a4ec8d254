"""Which linear layers a declaration quantizes, and how: one reader per format.

Sources: get_quant_method of fp8.py, modelopt.py, awq*.py, gptq*.py, auto_*.py,
compressed_tensors.py, quark.py, mxfp4.py, and is_layer_skipped, is_layer_gptq_quantized and
should_ignore_layer, releases 0.16.0 to 0.33.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from moe_doctor.core.spec import QuantSpec
from moe_doctor.models.listed_entries import read_pieces
from moe_doctor.models.patterns import compile_regex
from moe_doctor.models.quantized_layers import LayerQuantization, searches
from moe_doctor.oracle.engines.vllm.linear.layer import Linear
from moe_doctor.oracle.engines.vllm.linear.stored import (
    ANY,
    NAMES_FUSED,
    Place,
    Spellings,
    Stored,
    agree,
    agree_on_scheme,
)
from moe_doctor.oracle.engines.vllm.methods.compressed_groups import WITH_INPUTS, Group, read_groups
from moe_doctor.oracle.engines.vllm.methods.compressed_linear import is_w4a8
from moe_doctor.oracle.engines.vllm.methods.declared import Declared
from moe_doctor.oracle.engines.vllm.methods.integer_formats import GROUPS, marlin_capable
from moe_doctor.oracle.engines.vllm.methods.outcome import by_linear, refused_by_method
from moe_doctor.oracle.engines.vllm.methods.question import Question

Reader = Callable[[Linear, Place], Stored | None]
"""(layer, its place) -> how it is stored, None for plain; raises MethodRefused."""
_EMPTY_MEANS_ALL = (0, 32, 0)
# QuarkConfig._find_matched_config calls itself for each part, until 0.19.0 for itself too.
_STOPS_AT_ITSELF = (0, 19, 0)
# utils/config_utils.py, find_matching_patterns: an entry that matches the fused layer itself.
_MATCHES_FUSED = (0, 30, 0)


def reader_of(question: Question, declared: Declared, name: str) -> Reader | None:
    """The reader of the method `name`; None for one that refuses no linear layer here."""
    spec = question.quantization
    if spec is None:
        return None
    match name:
        case "fp8" | "deepseek_v4_fp8":
            return _fp8(question, spec)
        case "gptq" | "gptq_marlin" | "auto_gptq":
            return _gptq(question, declared, name)
        case "awq" | "awq_marlin" | "auto_awq":
            return _awq(question, spec, declared, name)
        case "modelopt" | "modelopt_fp4" | "modelopt_mxfp8" | "modelopt_mixed":
            return _modelopt(question, spec, name, declared.algorithm)
        case "compressed-tensors":
            return _compressed(question, spec)
        case "quark":
            return _quark(question, spec)
        case "mxfp4" | "gpt_oss_mxfp4" if spec.ignore:
            exact = frozenset(spec.ignore)
            return lambda linear, place: _nothing(
                agree(linear, place, _among(exact), question.release)
            )
        case "inc":
            from moe_doctor.oracle.engines.vllm.linear.auto_round import AutoRoundLinears

            return AutoRoundLinears(question, spec).read
        case _:
            return None


def _nothing(skipped: bool) -> Stored | None:
    """MXFP4's linear layers stay plain, whatever the list says."""
    del skipped
    return None


def _among(exact: frozenset[str]) -> Callable[[Spellings], bool]:
    return lambda names: not exact.isdisjoint(names)


def _fp8(question: Question, spec: QuantSpec) -> Reader:
    release = question.release
    block = spec.details.get("weight_block_size")
    stored = ANY
    if isinstance(block, (list, tuple)) and len(block) == 2:
        stored = Stored("fp8", block=(int(block[0]), int(block[1])), lenient=True)
    exact = frozenset(spec.ignore)
    matches = _among(exact)

    def read(linear: Linear, place: Place) -> Stored | None:
        return None if agree(linear, place, matches, release) else stored

    return read


def _gptq(question: Question, declared: Declared, name: str) -> Reader:
    settings, release = declared.settings, question.release
    modules = tuple(_flat(settings.get("modules_in_block_to_quantize")))
    rules = settings.get("dynamic")
    rules = rules if isinstance(rules, Mapping) else {}
    plain = name == "gptq" and release < (0, 22, 0)

    def quantized(names: Spellings) -> bool:
        return any(module in one for module in modules for one in names)

    def read(linear: Linear, place: Place) -> Stored | None:
        if modules:
            if not agree(linear, place, quantized, release, names_fused=False):
                return None
        elif release < _EMPTY_MEANS_ALL:
            # What is quantized stands in the weights' own headers, which are not read here.
            return None
        rule = _rule(rules, place(linear.path))
        if rule is None:
            return None
        bits = _number(rule.get("bits", settings.get("bits")), 4)
        group = _number(rule.get("group_size", settings.get("group_size")), -1)
        ordered = bool(rule.get("desc_act", settings.get("desc_act"))) and group != -1
        return Stored("gptq", bits, group, ordered=ordered, fallback=plain)

    return read


def _rule(rules: Mapping[str, Any], names: Spellings) -> Mapping[str, Any] | None:
    """GPTQModel's `dynamic`: the first entry that matches; None where it leaves the layer out."""
    for key, entry in rules.items():
        negative = str(key).startswith("-:")
        matcher = compile_regex(str(key).removeprefix("-:").removeprefix("+:"), [])
        if matcher is None or not searches(matcher, names):
            continue
        return None if negative else (entry if isinstance(entry, Mapping) else {})
    return {}


def _flat(found: object) -> list[str]:
    if isinstance(found, str):
        return [found]
    if not isinstance(found, (list, tuple)):
        return []
    return [name for item in found for name in _flat(item)]


def _awq(question: Question, spec: QuantSpec, declared: Declared, name: str) -> Reader:
    entries, release, settings = spec.ignore, question.release, declared.settings
    group = _number(settings.get("group_size", settings.get("q_group_size")), -1)
    zeros = bool(settings.get("zero_point", True))
    merged = release >= NAMES_FUSED
    plain = name == "awq" and not merged
    if merged:
        fits = group in GROUPS and zeros and marlin_capable(question)
        plain = not fits or question.batch_invariant or not question.is_on("cuda")
    stored = Stored("awq", 4, group, zeros=zeros, fallback=plain)

    def matches(names: Spellings) -> bool:
        return any(_is_piece(entry, one, names[0]) for entry in entries for one in names)

    def read(linear: Linear, place: Place) -> Stored | None:
        return None if agree(linear, place, matches, release) else stored

    return read


def _is_piece(entry: str, name: str, own: str) -> bool:
    """Whether an entry is part of a module's path, as the engine or the checkpoint spells it.

    WeightsMapper renames whole prefixes, the dot included: `model.visual` stays as it is and finds
    nothing in `visual.blocks.0`, `model.visual.blocks` finds it.
    """
    renamed = entry.count(".") > 1 or not name.startswith("model.")
    return entry in own or (renamed and entry in name)


def _modelopt(question: Question, spec: QuantSpec, name: str, algorithm: str) -> Reader:
    from moe_doctor.oracle.engines.vllm.methods.select import is_unread

    entries = () if is_unread(spec, question.release) else spec.ignore
    exact = frozenset(entry.removesuffix("*") for entry in entries)
    release, pieces = question.release, read_pieces(entries)
    stored = {"modelopt_fp4": Stored("nvfp4"), "modelopt_mxfp8": Stored("mxfp8")}.get(name, ANY)
    if name == "modelopt" and algorithm == "FP8_PB_WO":
        stored = Stored("pb_wo", block=(128, 128))
    matches = _among(exact)

    def read(linear: Linear, place: Place) -> Stored | None:
        if linear.path.startswith("vision_tower"):
            return None  # get_quant_method leaves towers of that name alone
        if not entries:
            return stored
        own = place(linear.path)
        if agree(linear, place, matches, release) or pieces.take_out(own):
            return None
        return stored

    return read


def _compressed(question: Question, spec: QuantSpec) -> Reader:
    groups, release = read_groups(question), question.release
    reader = LayerQuantization("compressed-tensors", spec.details, spec.ignore, [], everywhere=True)
    whole = next((one for one in reversed(list(groups.values())) if "Linear" in one.targets), None)

    def matches(names: Spellings) -> bool:
        return reader.group_of(*names) is None

    stands = _among(frozenset(spec.ignore))

    def names_fused(names: Spellings) -> bool:
        # Before 0.30.0 a fused layer has to stand in the list, no expression finds it.
        found = matches(names)
        return found if found == stands(names) or release >= _MATCHES_FUSED else not found

    def read(linear: Linear, place: Place) -> Stored | None:
        if agree_on_scheme(linear, place, matches, release, names_fused=names_fused):
            return None
        own = groups.get(reader.group_of(*place(linear.path)) or "")
        parts = [groups.get(reader.group_of(*place(shard)) or "") for shard in linear.shards]
        among = parts[0] if linear.is_fused and None not in parts else None
        named = None if linear.has_odd_class else whole
        # The fused layer's parts are looked for before its class from 0.27.0 on.
        group = own or (among or named if release >= (0, 27, 0) else named or among)
        if group is None:
            if groups and release < (0, 21, 0):
                text = "Unable to find matching target for "
                reason = (
                    f"{place(linear.path)[0]}: no group has it, and the list does not ignore it"
                )
                raise by_linear(refused_by_method("ValueError", text, reason))
            return None
        return _compressed_kind(question, group)

    return read


def _compressed_kind(question: Question, group: Group) -> Stored:
    weights = group.weights
    if weights.strategy == "block" and weights.block is not None:
        return Stored("fp8", block=weights.block, scheme=group)
    packed = group.layout == "pack-quantized" and group.inputs is None
    if weights.type == "int" and packed and weights.strategy in ("group", "channel"):
        return Stored(
            "int",
            weights.num_bits,
            -1 if weights.group_size is None else weights.group_size,
            zeros=not weights.symmetric,
            ordered=weights.actorder == "group",
            scheme=group,
        )
    if group.inputs is not None and weights.num_bits == 4 and group.inputs.num_bits == 8:
        by_fp8 = is_w4a8(question, weights, group.inputs)
        if by_fp8 or (weights.type == "int" and group.layout in WITH_INPUTS):
            size = -1 if weights.group_size is None else weights.group_size
            return Stored("w4a8", 4, size, by_fp8=by_fp8, scheme=group)
    kind = "scheme"
    if (weights.type, weights.num_bits, weights.strategy) == ("float", 4, "tensor_group"):
        kind = "nvfp4a16" if group.inputs is None else "ct_nvfp4"
    elif (weights.type, weights.strategy, weights.group_size) == ("float", "group", 32):
        kind = {4: "ct_mxfp4", 8: "ct_mxfp8"}.get(weights.num_bits, kind)
    return Stored(kind, scheme=group)


def _quark(question: Question, spec: QuantSpec) -> Reader:
    from moe_doctor.oracle.engines.vllm.methods.quark_sides import is_mx_linear

    release = question.release
    reader = LayerQuantization("compressed-tensors", {}, spec.ignore, [], everywhere=True)
    settings = spec.details.get("layer_quant_config")
    settings = settings if isinstance(settings, Mapping) else {}

    def matches(names: Spellings) -> bool:
        return reader.group_of(*names) is None

    def names_fused(names: Spellings) -> bool:
        return matches(names) and release >= _MATCHES_FUSED

    def entry_of(path: Spellings) -> str:
        for key in settings:
            if any(fnmatchcase(one, key) if "*" in key else one in key for one in path):
                return str(key)
        return ""

    def read(linear: Linear, place: Place) -> Stored | None:
        if agree_on_scheme(linear, place, matches, release, names_fused=names_fused):
            return None
        if linear.is_own_shard and release < _STOPS_AT_ITSELF:
            reason = f"{place(linear.path)[0]}: vLLM looks for its parts, and it is its own part"
            text = "maximum recursion depth exceeded"
            raise by_linear(refused_by_method("RecursionError", text, reason))
        if linear.is_fused and settings:
            configs = [settings.get(entry_of(place(shard))) for shard in linear.shards]
            if any(one != configs[0] for one in configs):
                names = [shard.rpartition(".")[2] for shard in linear.shards]
                text = f"Found a different quantization configuration for {names} in "
                reason = f"{place(linear.path)[0]}: its parts are stored in different formats"
                raise by_linear(refused_by_method("ValueError", text, reason))
        entry = entry_of(place(linear.shards[0] if linear.is_fused else linear.path))
        is_mx = is_mx_linear(question, settings.get(entry))
        return Stored("ocp_mx" if is_mx else "quark", entry=entry)

    return read


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


_DIGITS = re.compile(r"layers\.(\d+)(?:\.|$)")


def named_layers(spec: QuantSpec, most: int) -> frozenset[int]:
    """Numbers of the decoder layers that a declaration's lists speak of."""
    texts = [*spec.ignore]
    for key in ("extra_config", "dynamic", "layer_quant_config"):
        found = spec.details.get(key)
        texts += [str(one) for one in found] if isinstance(found, Mapping) else []
    texts += _flat(spec.details.get("modules_in_block_to_quantize"))
    for group in (
        (spec.details.get("config_groups") or {}).values()
        if isinstance(spec.details.get("config_groups"), Mapping)
        else ()
    ):
        targets = group.get("targets") if isinstance(group, Mapping) else None
        texts += _flat(targets)
    numbers = (int(number) for text in texts for number in _DIGITS.findall(text.replace("\\", "")))
    return frozenset(number for number in numbers if number < most)
