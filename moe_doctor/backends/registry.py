"""Every kernel that the tables know, by its engine's class name."""

from __future__ import annotations

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
from moe_doctor.backends.kernel import index
from moe_doctor.backends.moonep import MOONEP_EXPERTS
from moe_doctor.backends.triton import BATCHED_TRITON_EXPERTS, TRITON_EXPERTS
from moe_doctor.backends.xpu import XPU_EXPERTS

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
