"""What a checkpoint's layout rules out before any class is asked, and layouts that vLLM refuses.

Source: oracle/int_wna16.py, _backend_incompatibility_reason, and the configurations of
quantization/auto_gptq.py, auto_awq.py, moe_wna16.py and of compressed-tensors, all from 0.27.0 on.
"""

from __future__ import annotations

from moe_doctor.backends.situation import Situation
from moe_doctor.core.query import QuantQuery
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.features.environ import is_nonzero
from moe_doctor.oracle.engines.vllm.int_wna16 import tables
from moe_doctor.oracle.walk import Refused, Walk

_NO_MARLIN = "Marlin not supported for this layer"
_NO_DESC_ACT = (
    "GPTQ group activation ordering (desc_act=True) is no longer supported. Use a checkpoint with "
    "static activation ordering or desc_act=False."
)
_MARLIN_GROUPS = (-1, 32, 64, 128)


def may_have_zero_points(quant: QuantQuery) -> bool:
    """What the method tells the oracle: asymmetric weights carry zero points."""
    return not quant.symmetric


def may_have_bias(quant: QuantQuery) -> bool:
    """What the method tells the oracle: GPTQ and AWQ checkpoints may carry an expert bias."""
    return quant.kind in ("gptq", "awq")


def is_reordered(quant: QuantQuery) -> bool:
    """Whether columns are reordered; with one group per column that changes nothing in GPTQ."""
    return quant.desc_act and not (quant.kind == "gptq" and quant.group_size == -1)


def refuse_layout(quant: QuantQuery, release: Release) -> None:
    """Raise `Refused` where building the checkpoint's configuration raises."""
    if quant.kind == "gptq":
        if release >= (0, 30, 0) and is_reordered(quant):
            raise Refused("ValueError", _NO_DESC_ACT)
        if not quant.symmetric or quant.bits not in (4, 8):
            raise Refused(
                "ValueError",
                f"Unsupported quantization config: bits={quant.bits}, sym={quant.symmetric}",
            )
    if quant.kind == "ct" and quant.desc_act and quant.group_size == -1:
        raise Refused(
            "ValidationError",
            "1 validation error for QuantizationArgs\n"
            "  Value error, Must use group or tensor_group quantization strategy in order to apply "
            "group activation ordering [type=value_error, "
            f"input_value={{'num_bits': {quant.bits}, 'type': '...l', 'actorder': 'group'}}, "
            "input_type=dict]\n"
            "    For further information visit https://errors.pydantic.dev/2.14/v/value_error",
        )


def incompatible(walk: Walk, member: str) -> str | None:
    """Why a backend cannot take the layout, in the engine's words, or None."""
    quant = walk.situation.query.quant or QuantQuery()
    if member == tables.TRTLLM:
        lacking = may_have_zero_points(quant) or may_have_bias(quant)
        return "zero points and bias are not supported" if lacking else None
    if member == "RDNA3":
        return _rdna3(quant)
    if member == "ZEN_CPU":
        return _zen(walk, quant)
    if member == "TRITON":
        return _triton(quant)
    if quant.kind == "moe_wna16" and (member in tables.MARLIN or member == "EMULATION"):
        return "the MoeWNA16 checkpoint layout is not supported"
    if quant.kind == "quark" and member in tables.MARLIN:
        return _NO_MARLIN
    if member in tables.MARLIN and not _marlin_fits(walk.situation, quant, walk.release):
        return _NO_MARLIN
    return None


def _rdna3(quant: QuantQuery) -> str | None:
    if quant.kind != "ct":
        return "only compressed-tensors checkpoints are supported"
    if may_have_zero_points(quant):
        return "asymmetric checkpoints are not supported"
    if quant.desc_act:
        return "group activation ordering is not supported"
    return None if quant.group_size != -1 else "only group-wise scales are supported"


def _triton(quant: QuantQuery) -> str | None:
    # Both kinds that may carry a bias stop here; the engine's later lines about them are dead.
    if may_have_bias(quant):
        return "expert bias is not supported"
    if quant.kind == "ct" and quant.desc_act:
        return "group activation ordering is not supported"
    return None


def _zen(walk: Walk, quant: QuantQuery) -> str | None:
    if not is_nonzero(walk.environment, "VLLM_CPU_INT4_W4A8", default=True):
        return "VLLM_CPU_INT4_W4A8=0 disables the DA8W4 path"
    if may_have_zero_points(quant):
        return "zero points are not supported"
    if quant.kind == "moe_wna16":
        return "the MoeWNA16 weight layout is not supported"
    if quant.kind == "gptq" and is_reordered(quant):
        return "GPTQ activation ordering is not supported"
    if quant.kind == "ct" and quant.desc_act:
        return "group activation ordering is not supported"
    if quant.group_size <= 0 or quant.kind == "quark":  # Quark's config has no such attribute
        return "DA8W4 requires group-quantized weights"
    if quant.group_size % 4 != 0:
        return f"group size {quant.group_size} is not a multiple of 4"
    return None


def _marlin_fits(situation: Situation, quant: QuantQuery, release: Release) -> bool:
    """check_moe_marlin_supports_config() with tile padding allowed (utils/marlin_utils.py)."""
    query = situation.query
    group, shard = quant.group_size, query.intermediate_size_per_partition
    if situation.facts.platform == "rocm" or query.hidden_size % 128 != 0:
        return False
    if release < (0, 30, 0) and quant.kind == "ct" and group == -1:
        # compressed-tensors says None for a whole column; 0.30.0 learned to read that
        raise Refused("TypeError", "'<=' not supported between instances of 'NoneType' and 'int'")
    return group in _MARLIN_GROUPS and (group <= 0 or shard % group == 0)
