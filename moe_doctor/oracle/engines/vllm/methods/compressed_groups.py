"""compressed-tensors: which group of the declaration a layer follows, and what the config refuses.

Groups are matched by path, then by class; the experts count as their first expert's projections.
Sources: CompressedTensorsConfig (from_config, _quantization_scheme_map_from_config,
_add_fused_moe_to_target_scheme_map) and compressed_tensors/utils.py (find_matched_target), 0.16.0
to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release
from moe_doctor.models.expert_modules import PREFIXES
from moe_doctor.models.listed_entries import LEFT_OUT
from moe_doctor.models.quantized_layers import LayerQuantization
from moe_doctor.oracle.engines.vllm.methods.arguments import Arguments, read_arguments
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    refused_by_constructor,
    refused_by_method,
    refused_by_validation,
    refused_by_vllm_config,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_ATTENTION = ("qkv_proj", "q_proj", "q_a_proj", "q_b_proj", "o_proj")
# Models whose experts are a subclass with a name of its own (dbrx.py DbrxExperts): groups of all
# linear layers are copied to FusedMoE and RoutedExperts by name.
_OWN_CLASSES = {"DbrxForCausalLM": "dbrxexperts"}
_NOT_SPARSE: Release = (0, 22, 0)
# Until 0.31 every model's experts are asked for as gate_proj, up_proj and down_proj, then under the
# names that its class gives (`ckpt_names`): w1, w3 and w2 in these.
_OWN_NAMES: Release = (0, 32, 0)
_NUMBERED = (
    "Lfm2MoeForCausalLM",
    "MiniMaxM2ForCausalLM",
    "MixtralForCausalLM",
    "PhiMoEForCausalLM",
)
_NUMBERED_ON_CUDA = ("DeepseekV4ForCausalLM",)
_UNGATED = frozenset(
    {
        "NemotronHForCausalLM",
        "NemotronHPuzzleForCausalLM",
        "NemotronH_Nano_Omni_Reasoning_V3",
        "NemotronH_Nano_VL_V2",
        "NemotronH_Omni_Reasoning_V3",
        "NemotronH_Super_Omni_Reasoning_V3",
    }
)
# quant_args.py, pytorch_dtype: zero points of other floats have no dtype, and 4 bits are exempt.
_FLOAT_BITS = (4, 8)
_NEVER_LOCAL = ("group", "tensor", "token")
# LayerQuantization.compressed: more rules where the ways to name projections differ.
_PROJECTIONS = 3
WITH_INPUTS = ("naive-quantized", "int-quantized", "float-quantized", "nvfp4-pack-quantized")
"""Formats whose inputs are quantized too, unless the weights are floats."""


class Group(NamedTuple):
    """One entry of `config_groups`."""

    name: str
    """Its key."""
    targets: tuple[str, ...]
    """Paths, `re:` expressions or class names."""
    weights: Arguments
    """How weights are stored."""
    inputs: Arguments | None
    """How inputs are quantized; None for plain ones."""
    layout: str
    """Its own format, else the declaration's."""


def read_groups(question: Question) -> dict[str, Group]:
    """Every group but attention's own; raises MethodRefused as the config does."""
    raw = question.details.get("config_groups") or {}
    if not isinstance(raw, Mapping):
        raise TypeError(f"config_groups is a {type(raw).__name__}")
    found: dict[str, Group] = {}
    for name, entry in raw.items():
        targets = tuple(str(target) for target in entry["targets"])
        if len(targets) == 1 and targets[0].endswith("Attention"):
            continue
        found[str(name)] = _read_group(question, str(name), targets, entry)
    sparse = question.details.get("sparsity_config")
    if question.release >= _NOT_SPARSE and isinstance(sparse, Mapping) and sparse.get("targets"):
        raise refused_by_constructor(
            "Sparsity support has been removed from compressed-tensors. Please use a model without "
            "sparsity configuration.",
            "its weights are stored sparsely, which releases before 0.22.0 read",
            kind="DeprecationWarning",
        )
    return found


def experts_group(question: Question, groups: Mapping[str, Group]) -> Group | None:
    """Group of the experts; None where they stay unquantized."""
    rules = question.rules or ("",)
    if len(rules) > _PROJECTIONS:
        start = _PROJECTIONS * _naming(question)
        rules = rules[start : start + _PROJECTIONS]
    followed = [
        None if rule == LEFT_OUT else groups.get(rule) or _class_group(question, groups)
        for rule in rules
    ]
    missed = any(
        rule != LEFT_OUT and one is None for rule, one in zip(rules, followed, strict=True)
    )
    if missed and groups and question.release < (0, 21, 0):
        text = "Unable to find matching target for "
        reason = "before 0.21.0 experts need a group that names gate_proj, up_proj and down_proj"
        raise refused_by_method("ValueError", text, reason)
    if any(_scheme(one) != _scheme(followed[0]) for one in followed):
        raise refused_by_method(
            "ValueError",
            "All MoE projections need to have same quantization scheme but found multiple",
            "the projections of one expert are stored in different formats",
        )
    return followed[0]


def attention_group(question: Question, groups: Mapping[str, Group]) -> Group | None:
    """Group of the first layer's attention; None where it stays as it is."""
    spec = question.quantization
    if spec is None or any("attn" in pattern or "attention" in pattern for pattern in spec.ignore):
        return None
    if len(groups) == 1:
        only = next(iter(groups.values()))
        if all(target == "Linear" for target in only.targets):
            return only
    paths = [f"{prefix}layers.0.self_attn.{name}" for prefix in PREFIXES for name in _ATTENTION]
    reader = LayerQuantization("compressed-tensors", spec.details, spec.ignore, [], everywhere=True)
    name = reader.group_of(*paths)
    if name is None:
        return None
    found = groups.get(name) or _last_with(groups, "Linear")
    if found is None and groups and question.release < (0, 21, 0):
        raise refused_by_method(
            "ValueError",
            "Unable to find matching target for ",
            "before 0.21.0 every linear layer that is not ignored needs a group",
        )
    return found


def _read_group(
    question: Question, name: str, targets: tuple[str, ...], entry: Mapping[str, Any]
) -> Group:
    if not isinstance(entry.get("weights"), Mapping):
        raise refused_by_validation(
            "Input should be a valid dictionary or instance of QuantizationArgs",
            f"{name} does not say how its weights are stored",
        )
    weights = read_arguments(entry["weights"])
    inputs = read_arguments(entry.get("input_activations"))
    layout = str(entry.get("format") or question.details.get("format"))
    if weights is None:
        raise ValueError(f"{name} has no weights")
    _check_arguments(question, name, weights, entry["weights"])
    if question.release >= (0, 30, 0) and weights.reorders_groups:
        raise refused_by_vllm_config(
            "Compressed-tensors group/dynamic activation ordering "
            f"(actorder={weights.actorder!r}) is no longer supported. Use a checkpoint with "
            "static/weight activation ordering or without activation ordering.",
            "columns reordered across groups have no kernel from 0.30.0 on",
        )
    if inputs is not None:
        _check_arguments(question, name, inputs, entry["input_activations"])
    if inputs is None and layout in WITH_INPUTS and weights.type != "float":
        reason = f"format {layout} quantizes inputs, and {name} does not say how"
        raise refused_by_validation("Assertion failed, ", reason)
    return Group(name, targets, weights, inputs, layout)


def _check_arguments(
    question: Question, name: str, side: Arguments, raw: Mapping[str, Any]
) -> None:
    """What QuantizationArgs says of one side, in the order of the package's validator."""
    if side.strategy == "token" and not side.dynamic:
        raise refused_by_vllm_config(
            "Cannot perform static token quantization, please use `dynamic=True`",
            f"{name} has static scales per token",
        )
    if side.actorder in ("group", "dynamic") and side.strategy not in ("group", "tensor_group"):
        newer = question.release >= (0, 17, 0)
        named = "group or tensor_group" if newer else "group"
        raise refused_by_vllm_config(
            f"Must use {named} quantization strategy in order to apply",
            f"{name} reorders columns across groups and has none",
        )
    if raw.get("dynamic") == "local" and side.strategy in _NEVER_LOCAL:
        raise refused_by_vllm_config(
            "local is only supported for strategy tensor_group",
            f"{name} has local scales per {side.strategy}",
        )
    if side.type == "float" and side.num_bits not in _FLOAT_BITS:
        raise refused_by_constructor(
            "Only num_bits in (8) are supported",
            f"{name} has floats of {side.num_bits} bits, which the package knows no type for",
            kind="NotImplementedError",
        )


def _naming(question: Question) -> int:
    """Which names the experts' projections are asked for under, in LayerQuantization's order."""
    architecture = question.architecture
    if question.release < _OWN_NAMES:
        return 0
    if architecture in _UNGATED:
        return 2  # gate, up and down are up_proj, None and down_proj
    if architecture in _NUMBERED_ON_CUDA and not question.is_on("cuda"):
        return 0
    return int(architecture in _NUMBERED or architecture in _NUMBERED_ON_CUDA)


def _class_group(question: Question, groups: Mapping[str, Group]) -> Group | None:
    """The group whose target is part of the module's class name, else that of linear layers."""
    module = "routedexperts" if question.release >= (0, 24, 0) else "fusedmoe"
    module = _OWN_CLASSES.get(question.architecture, module)
    for group in groups.values():
        for target in group.targets:
            if not target.startswith("re:") and target.lower() in module:
                return _last_with(groups, target)
    if question.architecture not in _OWN_CLASSES:
        return _last_with(groups, "Linear")
    if question.release < (0, 21, 0):
        text = "Unable to find matching target for "
        reason = "this model's experts have a class of their own, which no group names"
        raise refused_by_method("ValueError", text, reason)
    return None


def _last_with(groups: Mapping[str, Group], target: str) -> Group | None:
    """A target that stands in several groups means the last of them."""
    named = [group for group in groups.values() if target in group.targets]
    return named[-1] if named else None


def _scheme(group: Group | None) -> tuple[Arguments, Arguments | None, str] | None:
    return None if group is None else (group.weights, group.inputs, group.layout)
