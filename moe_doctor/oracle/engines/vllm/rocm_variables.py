"""VLLM_ROCM_USE_AITER and VLLM_ROCM_USE_AITER_MOE as the oracles read them, on any platform."""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.features.environ import is_true
from moe_doctor.oracle.walk import Walk

_NAMES = ("VLLM_ROCM_USE_AITER", "VLLM_ROCM_USE_AITER_MOE")


def aiter_is_wanted(walk: Walk) -> bool | None:
    """What the variables say; None where neither is set."""
    environment = walk.environment
    if not any(name in environment for name in _NAMES):
        return None
    wanted = is_true(environment, _NAMES[0], default=False)
    wanted = wanted and is_true(environment, _NAMES[1], default=True)
    # 0.28.0 keeps AITER's MoE off RDNA
    rdna = walk.release >= (0, 28, 0) and "rdna_aiter" in walk.situation.facts.features
    return wanted and not rdna
