"""Which kernel takes a linear layer of packed integers (choose_mp_linear_kernel).

Sources: kernels/linear/__init__.py and kernels/linear/mixed_precision/*.py, utils/marlin_utils.py,
releases 0.16.0 to 0.33.0. Known for CUDA alone.
"""

from __future__ import annotations

from collections.abc import Callable

from moe_doctor.oracle.engines.vllm.linear.layer import Linear
from moe_doctor.oracle.engines.vllm.linear.stored import Stored
from moe_doctor.oracle.engines.vllm.methods.integer_formats import GROUPS
from moe_doctor.oracle.engines.vllm.methods.question import Question

_PADS = (0, 24, 0)
_HUMMING = (0, 23, 0)
_WANTS_GROUPS = (0, 19, 0)
_ALL_SPARK_LAST = (0, 31, 0)


def has_kernel(linear: Linear, stored: Stored, question: Question) -> bool:
    """choose_mp_linear_kernel: whether a kernel takes it that VLLM_DISABLED_KERNELS leaves."""
    kernels = _SIGNED if stored.kind == "w4a8" else _KERNELS
    disabled = question.environment.get("VLLM_DISABLED_KERNELS", "").split(",")
    return any(
        takes(linear, stored, question) for name, takes in kernels.items() if name not in disabled
    )


def _is_divided(linear: Linear) -> bool:
    return linear.inputs != linear.inputs_here


def _machete_takes(linear: Linear, stored: Stored, question: Question) -> bool:
    if stored.bits not in (4, 8) or stored.group not in (-1, 64, 128):
        return False
    if question.capability != (9, 0) or linear.inputs_here % 64 or linear.rows % 128:
        return False
    return not (stored.ordered and _is_divided(linear))


def _all_spark_takes(linear: Linear, stored: Stored, question: Question) -> bool:
    if stored.group != -1 or stored.bits != 8 or question.release >= _ALL_SPARK_LAST:
        return False
    if stored.zeros or stored.ordered or not question.setting.is_family(8):
        return False
    return linear.inputs_here % 16 == 0 and linear.rows % 16 == 0


def marlin_takes(linear: Linear, stored: Stored, question: Question) -> bool:
    """check_marlin_supports_shape and what comes before it."""
    if stored.group not in GROUPS or not question.setting.reaches((7, 5)):
        return False
    if stored.bits not in ((4,) if stored.zeros else (4, 8)):
        return False
    group = stored.group
    if question.release >= _PADS and not stored.ordered:
        return group == -1 or group >= linear.inputs or linear.inputs_here % group == 0
    if linear.rows % 64 or linear.inputs_here % 128:
        return False
    return group == -1 or group >= linear.inputs or linear.inputs_here % group == 0


def _exllama_takes(linear: Linear, stored: Stored, question: Question) -> bool:
    # Until 0.19.0 any width divides by -1, which is how a whole column is written.
    grouped = stored.group > 0 or (stored.group == -1 and question.release < _WANTS_GROUPS)
    if question.query.in_dtype != "float16" or not grouped or stored.zeros:
        return False
    if stored.bits not in (4, 8) or (stored.ordered and _is_divided(linear)):
        return False
    return linear.rows % (32 // stored.bits) == 0 and linear.inputs % stored.group == 0


def _triton_takes(linear: Linear, stored: Stored, question: Question) -> bool:
    if question.release < _HUMMING or stored.ordered or stored.bits != 4 or linear.rows % 8:
        return False
    if stored.group not in (-1, 32, 64, 128, 256) and stored.group != linear.inputs:
        return False
    return stored.group == -1 or linear.inputs_here % stored.group == 0


def _humming_takes(linear: Linear, stored: Stored, question: Question) -> bool:
    del linear
    # Before 0.25.0 it takes no zero points.
    if question.release < ((0, 25, 0) if stored.zeros else _HUMMING) or stored.ordered:
        return False
    return question.setting.has("humming-kernels") and question.setting.reaches((7, 5))


def _cutlass_takes(linear: Linear, stored: Stored, question: Question) -> bool:
    if not stored.by_fp8 or question.capability != (9, 0) or stored.group != 128:
        return False
    if linear.inputs_here % 128 or linear.rows % 128:
        return False
    return question.query.in_dtype == "bfloat16"


_KERNELS: dict[str, Callable[[Linear, Stored, Question], bool]] = {
    "MacheteLinearKernel": _machete_takes,
    "AllSparkLinearKernel": _all_spark_takes,
    "MarlinLinearKernel": marlin_takes,
    "ExllamaLinearKernel": _exllama_takes,
    "TritonW4A16LinearKernel": _triton_takes,
    "HummingLinearKernel": _humming_takes,
}
# Signed integers, which weights with 8-bit inputs are.
_SIGNED: dict[str, Callable[[Linear, Stored, Question], bool]] = {
    "CutlassW4A8LinearKernel": _cutlass_takes,
    "HummingLinearKernel": _humming_takes,
}
