"""`--quantization humming`, and AutoRound's narrow integers: the formats that Humming reads.

Sources: quantization/humming.py and utils/humming_utils.py (utils/humming/schema.py from 0.31.0 on)
of 0.22.0 to 0.33.0, and humming/schema/*.py of the humming-kernels that each release pins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.methods.declared import Declared
from moe_doctor.oracle.engines.vllm.methods.humming_formats import (
    Format,
    Unstated,
    read_format,
)
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    NoOracle,
    OracleCall,
    refused_by_method,
    refused_by_validation,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_METHOD = "HummingMoEMethod"
_FIRST: Release = (0, 22, 0)
_CHOOSES: Release = (0, 25, 0)
_ONLINE = "VLLM_HUMMING_ONLINE_QUANT_CONFIG"
_INPUTS = "VLLM_HUMMING_INPUT_QUANT_CONFIG"


def build(question: Question, declared: Declared) -> OracleCall | NoOracle:
    """HummingConfig.get_quant_method for experts."""
    if question.release < _FIRST:
        raise refused_by_validation(
            "Assertion failed, humming is not available, please run",
            "this release does not bring the package humming",
        )
    for name in (_ONLINE, _INPUTS):
        if question.environment.get(name):
            return NoOracle("", f"{_METHOD}: {name} is set; the tables do not state what it asks")
    if question.quantization is None:
        raise refused_by_method(
            "TypeError",
            "HummingWeightSchema.__init__() missing 1 required keyword-only argument: 'b_dtype'",
            "Humming reads its formats from a checkpoint's declaration",
        )
    return _ask(question, read_format(question, declared.method))


def build_integers(
    question: Question, method: str, layer: Mapping[str, Any]
) -> OracleCall | NoOracle:
    """Experts of an AutoRound checkpoint that no other kernel takes, as GPTQ or AWQ."""
    return _ask(question, read_format(question, method, layer))


def _ask(question: Question, found: Format | Unstated | None) -> OracleCall | NoOracle:
    if found is None:
        return question.unquantized()
    if isinstance(found, Unstated):
        return NoOracle("", f"{_METHOD}: {found.why}; the tables do not state it")
    if question.release < _CHOOSES:
        return NoOracle(_METHOD, "it runs Humming's kernel", "HUMMING")
    return question.ask("humming", _METHOD, found.weights, found.inputs)
