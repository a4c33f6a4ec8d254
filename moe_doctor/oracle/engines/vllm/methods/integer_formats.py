"""Which integer checkpoints the Marlin-based configs and moe_wna16 can take.

Sources: is_gptq_marlin_compatible, is_awq_marlin_compatible, is_moe_wna16_compatible,
utils/marlin_utils.py (check_marlin_supported, check_moe_marlin_supports_layer), 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.oracle.engines.vllm.methods.declared import Declared
from moe_doctor.oracle.engines.vllm.methods.question import Question

GROUPS = (-1, 32, 64, 128)
"""Group sizes that Marlin has kernels for (MARLIN_SUPPORTED_GROUP_SIZES)."""
# Model classes that put the router's weight on the experts' input, which Marlin does not carry.
_WEIGHTED_INPUT = ("Llama4ForConditionalGeneration", "Llama4ForCausalLM")


def gptq_marlin_takes(question: Question, declared: Declared) -> bool:
    """Whether the GPTQ-Marlin config of releases before 0.22.0 converts the checkpoint."""
    if declared.method != "gptq" or not question.is_on("cuda", "cpu"):
        return False
    raw = declared.settings
    if any(raw.get(key) is None for key in ("bits", "group_size", "sym", "desc_act")):
        return False
    if raw["bits"] not in (4, 8) or raw["sym"] is not True:
        return False
    return _marlin_type(question, raw["bits"], zeros=False) and raw["group_size"] in GROUPS


def awq_marlin_takes(question: Question, declared: Declared) -> bool:
    """Whether the AWQ-Marlin config of releases before 0.24.0 converts the checkpoint."""
    platforms = ["cuda"]
    if question.release >= (0, 19, 0):
        platforms.append("rocm")
    if question.release >= (0, 23, 0):
        platforms.append("cpu")
    raw = declared.settings
    if declared.method != "awq" or not question.is_on(*platforms):
        return False
    if any(raw.get(key) is None for key in ("bits", "group_size", "zero_point")):
        return False
    # uint4 needs zero points in the kernel, uint8 has none with them.
    supported = raw["bits"] == 4 and bool(raw["zero_point"])
    return supported and _marlin_type(question, 4, zeros=True) and raw["group_size"] in GROUPS


def moe_wna16_takes(question: Question, declared: Declared) -> bool:
    """Whether `--quantization moe_wna16` is possible."""
    raw = declared.settings
    bits = raw.get("bits")
    if declared.method == "gptq":
        if bits not in (4, 8):
            return False
        if question.release >= (0, 30, 0):
            return not orders_groups(raw)
        return not raw.get("desc_act")
    if declared.method != "awq" or bits != 4:
        return False
    return marlin_capable(question)


def orders_groups(raw: Mapping[str, Any]) -> bool:
    """Whether a GPTQ checkpoint reorders columns across groups, which 0.30.0 dropped."""
    return bool(raw.get("desc_act")) and raw.get("group_size") != -1


def marlin_fits(question: Question, group_size: int, *, padding: bool = False) -> bool:
    """Whether the layer's shape suits the Marlin MoE kernel; `padding` = tiles may be padded."""
    if question.is_on("rocm"):
        return False
    width = question.query.intermediate_size_per_partition
    if padding:
        fits = group_size <= 0 or width % group_size == 0
    else:
        fits = width % max(64, group_size) == 0
    if question.release < (0, 27, 0) and question.architecture in _WEIGHTED_INPUT:
        return False
    return fits and question.query.hidden_size % 128 == 0 and group_size in GROUPS


def marlin_capable(question: Question) -> bool:
    """Whether the GPU is one that Marlin's integer kernels run on (query_marlin_supported)."""
    if question.is_on("rocm"):
        return True
    return question.setting.reaches((7, 5))


def lacks_linear_kernel(question: Question, bits: int) -> bool:
    """Whether AMD's GPUs have no kernel for linear layers of such weights (mixed_precision/)."""
    # Triton's takes 4 bits; Exllama's takes 8 as well, in float16 alone.
    eight = bits == 8 and question.query.in_dtype == "float16"
    return bits != 4 and not eight and question.is_on("rocm")


NO_LINEAR_KERNEL = "Failed to find a kernel that can implement the WNA16 linear layer. Reasons: "
"""How choose_mp_linear_kernel begins when it raises ValueError."""


def _marlin_type(question: Question, bits: int, *, zeros: bool) -> bool:
    if question.is_on("cpu"):
        return bits == 4
    return marlin_capable(question)
