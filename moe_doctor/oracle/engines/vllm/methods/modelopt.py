"""NVIDIA ModelOpt's checkpoints: FP8, NVFP4 with and without quantized inputs, MXFP8, mixed.

Source: quantization/modelopt.py, 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.release import Release, format_release
from moe_doctor.oracle.engines.vllm.methods.declared import Declared
from moe_doctor.oracle.engines.vllm.methods.fp8 import ask_for_blocks
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    Afterwards,
    NoOracle,
    OracleCall,
    refused_by_method,
    refused_by_vllm_config,
    refused_later,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_ALGORITHMS: dict[str, Release] = {
    "FP8": (0, 16, 0),
    "FP8_PER_CHANNEL_PER_TOKEN": (0, 16, 0),
    "FP8_PB_WO": (0, 16, 0),
    "NVFP4": (0, 16, 0),
    "W4A16_NVFP4": (0, 21, 0),
    "MXFP8": (0, 16, 0),
    "MIXED_PRECISION": (0, 17, 0),
}
_FP8 = ("FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO")
# Algorithms of single layers that MIXED_PRECISION runs on experts; the rest stay unquantized.
_MIXED: dict[str, Release] = {
    "FP8": (0, 17, 0),
    "NVFP4": (0, 17, 0),
    "W4A16_NVFP4": (0, 22, 0),
    "MXFP8": (0, 25, 0),
    "FP8_PB_WO": (0, 30, 0),
    "FP8_BLOCK_SCALES": (0, 30, 0),
}
_BLOCKS = ("FP8_PB_WO", "FP8_BLOCK_SCALES")
_MXFP8_BLOCK = 32


def build(question: Question, declared: Declared, name: str) -> OracleCall | NoOracle:
    """ModelOptQuantConfigBase.from_config and get_quant_method of the config called `name`."""
    _check_algorithm(declared, question.release)
    match name:
        case "modelopt":
            return _build_fp8(question, declared.algorithm)
        case "modelopt_fp4":
            return _build_nvfp4(question, declared)
        case "modelopt_mxfp8":
            return _build_mxfp8(question, declared)
        case _:
            return _build_mixed(question, declared)


def ask_for_nvfp4(question: Question, *, inputs: bool = True) -> OracleCall:
    """ModelOptNvFp4FusedMoE; `inputs` says whether they are quantized too."""
    key = "kNvfp4Dynamic" if inputs else None
    return question.ask("nvfp4", "ModelOptNvFp4FusedMoE", "kNvfp4Static", key)


def build_named_mxfp8(question: Question) -> OracleCall:
    """A checkpoint whose quant_method is `mxfp8` itself: ModelOpt's config from 0.24.0 on."""
    if question.release < (0, 24, 0):
        raise refused_by_method(
            "NotImplementedError",
            "OnlineQuantizationConfig does not support loading from a checkpoint config.",
            "before 0.24.0 mxfp8 means weights that are quantized while they load",
        )
    late = _mxfp8_late(question)
    return question.ask_for_mxfp8("ModelOptMxFp8FusedMoE", afterwards=late)


def _check_algorithm(declared: Declared, release: Release) -> None:
    if not declared.algorithm:
        raise refused_by_vllm_config(
            "Missing 'quant_algo' in quantization config", "a ModelOpt checkpoint names quant_algo"
        )
    _check_list(declared, release)
    first = _ALGORITHMS.get(declared.algorithm)
    if first is not None and release >= first:
        return
    known = [name for name, since in _ALGORITHMS.items() if release >= since]
    reason = f"vLLM {format_release(release)} does not know {declared.algorithm}"
    if first is not None:
        reason += f"; {format_release(first)} is the first that does"
    raise refused_by_vllm_config(
        f"ModelOpt currently only supports: {known} quantizations in vLLM. Please check the "
        "`hf_quant_config.json` file for your model's quant configuration.",
        reason,
    )


def _check_list(declared: Declared, release: Release) -> None:
    """The list of excluded modules has to be one, also where it is empty."""
    raw = declared.settings
    if declared.nested:
        excluded = raw.get("exclude_modules", [])
    elif release >= (0, 33, 0):
        excluded = raw.get("ignore", raw.get("exclude_modules", []))
    else:
        excluded = raw.get("ignore", [])
    if not isinstance(excluded, list):
        raise refused_by_vllm_config(
            f"exclude_modules must be a list, got {type(excluded)}",
            "a ModelOpt checkpoint lists the modules that it leaves out",
        )


def _build_fp8(question: Question, algorithm: str) -> OracleCall:
    if algorithm not in _FP8:
        text = f"Unsupported ModelOpt FP8 quant_algo for vLLM: {algorithm}. Supported: "
        text += " / ".join(_FP8) + "."
        raise refused_by_vllm_config(text, f"{algorithm} is not one of ModelOpt's FP8 algorithms")
    # Experts are read as one scale per tensor whatever the algorithm says about linear layers.
    keys = ("kFp8StaticTensorSym", "kFp8StaticTensorSym")
    return question.ask("fp8", "ModelOptFp8MoEMethod", *keys)


def _build_nvfp4(question: Question, declared: Declared) -> OracleCall:
    algorithm = declared.algorithm
    if "NVFP4" in algorithm and declared.nested:
        _require(declared, ("group_size", "kv_cache_quant_algo", "exclude_modules"), "NVFP4")
    if algorithm == "NVFP4" and _only_weights(declared) and question.release >= (0, 29, 0):
        algorithm = "W4A16_NVFP4"
    if algorithm not in ("NVFP4", "W4A16_NVFP4") and question.release >= (0, 21, 0):
        raise refused_by_vllm_config(
            f"Unsupported ModelOpt NVFP4 quant_algo: {algorithm}. Supported: NVFP4 / W4A16_NVFP4.",
            f"{algorithm} is not one of ModelOpt's NVFP4 algorithms",
        )
    # 0.21.0 reads W4A16_NVFP4 and still quantizes the experts' inputs.
    plain = algorithm == "W4A16_NVFP4" and question.release >= (0, 22, 0)
    return ask_for_nvfp4(question, inputs=not plain)


def _build_mxfp8(question: Question, declared: Declared) -> OracleCall | NoOracle:
    if declared.nested:
        _require(declared, ("kv_cache_quant_algo", "exclude_modules"), "MXFP8")
    if "MXFP8" not in declared.algorithm:
        raise refused_by_vllm_config(
            "MXFP8 quantization requires a serialized checkpoint. Dynamic quantization is not "
            "supported.",
            f"the checkpoint is {declared.algorithm}",
        )
    return _ask_for_mxfp8(question)


def _ask_for_mxfp8(question: Question) -> OracleCall | NoOracle:
    if question.release < (0, 18, 0):
        why = "this release has no MXFP8 method for experts and fails while it builds the layer"
        return NoOracle("", why)
    return question.ask_for_mxfp8("ModelOptMxFp8FusedMoE", afterwards=_mxfp8_late(question))


def _mxfp8_late(question: Question) -> tuple[Afterwards, ...]:
    if (0, 19, 0) <= question.release < (0, 22, 0):
        # create_weights assigns to a read-only property (FusedMoE) in these releases.
        text = "property 'intermediate_size_per_partition' of 'FusedMoE' object has no setter"
        return (refused_later("AttributeError", text, "a defect of this release; 0.22.0 mends it"),)
    return late_mxfp8_sizes(question)


def late_mxfp8_sizes(question: Question) -> tuple[Afterwards, ...]:
    """What create_weights of a stored MXFP8 layer says about sizes that are no whole blocks."""
    query = question.query
    sizes = {
        "hidden_size": query.hidden_size,
        "intermediate_size_per_partition": query.intermediate_size_per_partition,
    }
    for name, size in sizes.items():
        if size % _MXFP8_BLOCK:
            text = f"MXFP8 MoE requires {name} divisible by {_MXFP8_BLOCK}, got {size}."
            return (refused_later("ValueError", text, f"{name} is {size}"),)
    return ()


def _build_mixed(question: Question, declared: Declared) -> OracleCall | NoOracle:
    layers = declared.settings.get("quantized_layers")
    if not layers:
        raise refused_by_vllm_config(
            "MIXED_PRECISION quant_algo requires a non-empty 'quantized_layers' mapping in the "
            "quantization config.",
            "quantized_layers is missing or empty",
        )
    spec = question.quantization
    algorithm = (spec.algorithm if spec is not None else None) or ""
    since = _MIXED.get(algorithm)
    if since is None or question.release < since:
        if algorithm.startswith(("GGML", "Q", "IQ")) and question.release >= (0, 32, 0):
            return NoOracle("", f"the tables do not know the block codec {algorithm}")
        return question.unquantized()
    if algorithm == "FP8":
        return _build_fp8(question, "FP8")
    if algorithm == "MXFP8":
        return _ask_for_mxfp8(question)
    if algorithm in _BLOCKS:
        size = _block_size(layers)
        return ask_for_blocks(question, (size, size))
    return ask_for_nvfp4(question, inputs=algorithm == "NVFP4")


def _block_size(layers: Mapping[str, Any]) -> int:
    sizes = {
        int(entry.get("group_size", 128))
        for entry in layers.values()
        if isinstance(entry, Mapping) and str(entry.get("quant_algo", "")).upper() in _BLOCKS
    }
    if len(sizes) > 1:
        raise refused_by_vllm_config(
            "MIXED_PRECISION currently requires all block-FP8 MoE layers to use one group_size, "
            f"got {sorted(sizes)}.",
            "the layers are stored with different block sizes",
        )
    return next(iter(sizes), 128)


def _only_weights(declared: Declared) -> bool:
    # From 0.29.0 groups without input_activations turn NVFP4 into weights-only.
    groups = declared.settings.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        return False
    return all(
        isinstance(group, Mapping) and group.get("input_activations") is None
        for group in groups.values()
    )


def _require(declared: Declared, fields: tuple[str, ...], algorithm: str) -> None:
    missing = [field for field in fields if field not in declared.settings]
    if missing:
        raise refused_by_vllm_config(
            f"{algorithm} quantization requires the following fields in hf_quant_config.json: "
            f"{missing}",
            f"hf_quant_config.json lacks {', '.join(missing)}",
        )
