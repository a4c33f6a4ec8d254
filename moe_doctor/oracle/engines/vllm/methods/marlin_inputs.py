"""VLLM_MARLIN_INPUT_DTYPE: inputs of 8 bits for Marlin, and what asking for them raises.

The variable is read while methods are built, also where another kernel is chosen in the end.
Sources: utils/marlin_utils.py (get_marlin_input_dtype), vllm/envs.py (env_with_choices) and the
get_quant_method of each config, 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    Afterwards,
    MethodRefused,
    by_linear,
    refused_by_method,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_VARIABLE = "VLLM_MARLIN_INPUT_DTYPE"
_FAMILY: Release = (0, 22, 0)
_TYPED: Release = (0, 20, 0)
_MERGED_AWQ: Release = (0, 24, 0)
_NOT_ONLINE: Release = (0, 31, 0)
# Config -> releases whose get_quant_method reads the variable for every layer that it builds.
_READERS: dict[str, tuple[Release, Release]] = {
    "gptq": ((0, 22, 0), (999, 0, 0)),
    "auto_gptq": ((0, 22, 0), (999, 0, 0)),
    "gptq_marlin": ((0, 16, 0), (999, 0, 0)),
    "awq": ((0, 24, 0), (999, 0, 0)),
    "auto_awq": ((0, 24, 0), (999, 0, 0)),
    "awq_marlin": ((0, 16, 0), (999, 0, 0)),
    # Its linear layers are those of the Marlin configs.
    "moe_wna16": ((0, 16, 0), (999, 0, 0)),
    "fp8": ((0, 16, 0), (999, 0, 0)),
    "mxfp4": ((0, 16, 0), (0, 17, 0)),
}


def check_inputs(name: str, question: Question) -> None:
    """Raise MethodRefused where the config called `name` reads a value that it cannot take."""
    if _VARIABLE not in question.environment:
        return
    first, gone = _READERS.get(name, ((999, 0, 0), (999, 0, 0)))
    if question.release >= _MERGED_AWQ and not question.details.get("zero_point", True):
        return  # AWQ without zero points has no linear layers of Marlin's
    online = name == "fp8" and question.quantization is None
    if not first <= question.release < (_NOT_ONLINE if online else gone):
        return
    refused = refuse_inputs(question)
    if refused is not None:
        raise by_linear(refused)


def refuse_inputs(question: Question) -> MethodRefused | None:
    """What reading the variable raises here, or None."""
    value = question.environment.get(_VARIABLE)
    if value is None or question.is_on("rocm"):
        return None
    if value not in ("int8", "fp8"):
        text = f"Invalid value '{value}' for {_VARIABLE}. Valid options: ['int8', 'fp8']."
        return refused_by_method("ValueError", text, f"{_VARIABLE} is int8 or fp8")
    if value == "int8" or _computes_fp8(question):
        return None
    newest = "SM12x" if question.release >= _FAMILY else "SM120"
    text = f"Marlin W4A8-FP8 only support SM89 or {newest} device (It is slower than Marlin W4A16 "
    text += "on other devices). You can consider using W4A8-INT8 instead(set "
    text += f"{_VARIABLE}=int8)."
    reason = f"Marlin takes FP8 inputs on compute capability 8.9 and 12; unset {_VARIABLE}"
    return refused_by_method("ValueError", text, reason)


def refuse_width(question: Question, bits: int) -> tuple[Afterwards, ...]:
    """What GPTQ's experts say about 8-bit inputs while they make room for their weights.

    From 0.20.0 on the test is the wrong way round: weights of 4 bits are refused.
    """
    if not question.environment.get(_VARIABLE):
        return ()
    if bits == (8 if question.release >= _TYPED else 4):
        return ()
    text = "W8A8-INT8 is not supported by marlin kernel."
    reason = f"{_VARIABLE} is set and the experts have {bits} bits; unset it"
    return (Afterwards(refused_by_method("AssertionError", text, reason).refusal),)


def _computes_fp8(question: Question) -> bool:
    capability = question.capability
    if capability is None:
        return False
    if question.release >= _FAMILY:
        return capability == (8, 9) or capability[0] == 12
    return capability in ((8, 9), (12, 0))
