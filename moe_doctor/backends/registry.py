"""Every kernel that the tables know, by its engine's class name."""

from __future__ import annotations

from functools import lru_cache

from moe_doctor.backends.aiter import AITER_EXPERTS, AITER_UNQUANTIZED_EXPERTS
from moe_doctor.backends.cpu import CPU_KERNELS
from moe_doctor.backends.flashinfer_cutlass import FLASHINFER_EXPERTS
from moe_doctor.backends.flashinfer_trtllm import (
    TRTLLM_BF16_EXPERTS,
    TRTLLM_BF16_FUNCTION,
    TRTLLM_BF16_LORA,
    TRTLLM_BF16_MODULAR,
    TRTLLM_BF16_MONOLITHIC,
)
from moe_doctor.backends.kernel import ResolvedKernel, index, resolve
from moe_doctor.backends.moonep import MOONEP_EXPERTS
from moe_doctor.backends.triton import BATCHED_TRITON_EXPERTS, TRITON_EXPERTS
from moe_doctor.backends.xpu import XPU_EXPERTS
from moe_doctor.core.release import Release

KERNELS = index(
    (
        TRITON_EXPERTS,
        BATCHED_TRITON_EXPERTS,
        FLASHINFER_EXPERTS,
        TRTLLM_BF16_FUNCTION,
        TRTLLM_BF16_EXPERTS,
        TRTLLM_BF16_MONOLITHIC,
        TRTLLM_BF16_MODULAR,
        TRTLLM_BF16_LORA,
        AITER_EXPERTS,
        AITER_UNQUANTIZED_EXPERTS,
        MOONEP_EXPERTS,
        XPU_EXPERTS,
        *CPU_KERNELS,
    )
)


@lru_cache(maxsize=64)
def kernels_of(release: Release) -> dict[str, ResolvedKernel]:
    """Every kernel as `release` states it."""
    return {name: resolve(kernel, release) for name, kernel in KERNELS.items()}
