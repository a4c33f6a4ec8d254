"""The declaration as ModelConfig sees it: the method's name and ModelOpt's algorithm.

Source: transformers_utils/model_arch_config_convertor.py (_normalize_quantization_config),
releases 0.16.0 to 0.33.0. hf_quant_config.json stands under the key `quantization` there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.eras import ByEra
from moe_doctor.core.kept import Kept
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release
from moe_doctor.core.spec import QuantSpec
from moe_doctor.oracle.engines.vllm.methods.outcome import refused_by_model_config


class Declared(NamedTuple):
    """What the checkpoint asks for, normalised."""

    method: str
    """`quant_method` in lower case; empty where nothing names one."""
    algorithm: str
    """ModelOpt's `quant_algo` in upper case; empty without one."""
    nested: bool
    """Whether the settings stand under `quantization`, as in hf_quant_config.json."""
    settings: Mapping[str, Any]
    """Where ModelOpt's settings stand."""


NOTHING = Declared("", "", False, {})
_READ: Kept[ByEra[Declared]] = Kept(4096)
_FP8 = ("FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO")
# models/config.py KimiK3ForConditionalGenerationConfig: experts stored that way get MXFP4's own
# method, which has the whole list of back ends and knows no layer left out.
_REWRITTEN_SINCE: Release = (0, 27, 0)
_REWRITTEN_CLASSES = ("KimiK3ForConditionalGeneration", "KimiK3MTPModel")
_REWRITTEN_FORMAT = "mxfp4-pack-quantized"


def read_declared(quantization: QuantSpec | None, release: Release) -> Declared:
    """Normalise a declaration; raises MethodRefused for a ModelOpt algorithm without a method."""
    if quantization is None:
        return NOTHING
    known = _READ.find(quantization, None) or _READ.keep(quantization, None, ByEra())
    return known.ask(release, _read, quantization)


def for_class(declared: Declared, architecture: str, release: Release) -> Declared:
    """The declaration after the model class's own ModelConfig hook has rewritten it."""
    if architecture not in _REWRITTEN_CLASSES or release < _REWRITTEN_SINCE:
        return declared
    packed = declared.settings.get("format") == _REWRITTEN_FORMAT
    if declared.method != "compressed-tensors" or not packed:
        return declared
    return declared._replace(method="mxfp4")


def _read(quantization: QuantSpec, release: Release) -> Declared:
    details = quantization.details
    if quantization.source == "hf_quant_config.json":
        return _normalised("", True, details, details.get("producer"), release)
    nested = details.get("quantization")
    inside = nested if isinstance(nested, Mapping) else None
    method = details.get("quant_method")
    method = method.lower() if isinstance(method, str) else ""
    method = method.replace("compressed_tensors", "compressed-tensors")
    settings = details if inside is None else inside
    return _normalised(method, inside is not None, settings, details.get("producer"), release)


def _normalised(
    method: str, nested: bool, settings: Mapping[str, Any], producer: object, release: Release
) -> Declared:
    algorithm = settings.get("quant_algo")
    algorithm = str(algorithm).upper() if algorithm is not None else ""
    name = producer.get("name") if isinstance(producer, Mapping) else None
    legacy = "modelopt_quant_config" in settings and release >= (0, 26, 0)
    if nested and algorithm and (name == "modelopt" or legacy):
        if algorithm in _FP8:
            method = "modelopt"
        elif algorithm == "NVFP4":
            method = "modelopt_fp4"
        elif algorithm == "MIXED_PRECISION" and release >= (0, 33, 0):
            method = "modelopt_mixed"
        else:
            raise refused_by_model_config(
                f"Unknown ModelOpt quant algo: {settings['quant_algo']}",
                "this release does not expect that algorithm in ModelOpt's own file",
            )
    return Declared(method, algorithm, nested, settings)
