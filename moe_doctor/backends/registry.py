"""Every kernel that the tables know, by its engine's class name."""

from __future__ import annotations

from functools import lru_cache

from moe_doctor.backends.aiter import (
    AITER_EXPERTS,
    AITER_FP8_EXPERTS,
    AITER_MXFP4_EXPERTS,
    AITER_UNQUANTIZED_EXPERTS,
)
from moe_doctor.backends.aiter_mxfp4 import AITER_MXFP4_KERNELS
from moe_doctor.backends.b12x import B12X_EXPERTS
from moe_doctor.backends.cpu import CPU_KERNELS
from moe_doctor.backends.cpu_fp8 import CPU_EXPERTS_FP8, CPU_EXPERTS_FP8_W8A8
from moe_doctor.backends.cpu_int import CPU_INT_KERNELS
from moe_doctor.backends.cpu_mxfp4 import CPU_MXFP4_EXPERTS
from moe_doctor.backends.cutlass_fp8 import (
    CUTLASS_BATCHED_EXPERTS_FP8,
    CUTLASS_EXPERTS_FP8,
    TRITON_OR_CUTLASS_EXPERTS,
)
from moe_doctor.backends.cutlass_mxfp4 import CUTLASS_MXFP4_EXPERTS
from moe_doctor.backends.cutlass_w4a8 import CUTLASS_W4A8_FP8
from moe_doctor.backends.deep_gemm import (
    BATCHED_DEEP_GEMM_EXPERTS,
    DEEP_GEMM_EXPERTS,
    TRITON_OR_DEEP_GEMM_EXPERTS,
)
from moe_doctor.backends.deep_gemm_mxfp4 import DEEP_GEMM_FP4_EXPERTS
from moe_doctor.backends.emulation import OCP_MX_EMULATION
from moe_doctor.backends.flashinfer_cutlass import FLASHINFER_EXPERTS
from moe_doctor.backends.flashinfer_moe_ep import FLASHINFER_MOE_EP_EXPERTS
from moe_doctor.backends.flashinfer_trtllm import (
    TRTLLM_BF16_EXPERTS,
    TRTLLM_BF16_FUNCTION,
    TRTLLM_BF16_LORA,
    TRTLLM_BF16_MODULAR,
    TRTLLM_BF16_MONOLITHIC,
)
from moe_doctor.backends.flashinfer_trtllm_fp8 import (
    TRTLLM_FP8_EXPERTS,
    TRTLLM_FP8_FUNCTION,
    TRTLLM_FP8_MODULAR,
    TRTLLM_FP8_MONOLITHIC,
)
from moe_doctor.backends.flashinfer_trtllm_mxfp4 import TRTLLM_MXFP4_KERNELS
from moe_doctor.backends.flashinfer_trtllm_nvfp4 import TRTLLM_NVFP4_KERNELS
from moe_doctor.backends.hpc import HPC_EXPERTS
from moe_doctor.backends.humming import HUMMING_KERNELS
from moe_doctor.backends.kernel import ResolvedKernel, index, resolve
from moe_doctor.backends.marlin import BATCHED_MARLIN_EXPERTS, MARLIN_EXPERTS
from moe_doctor.backends.moonep import MOONEP_EXPERTS
from moe_doctor.backends.mxfp8 import MXFP8_KERNELS
from moe_doctor.backends.nvfp4 import NVFP4_KERNELS
from moe_doctor.backends.oai_triton import OAI_TRITON_KERNELS
from moe_doctor.backends.triton import BATCHED_TRITON_EXPERTS, TRITON_EXPERTS
from moe_doctor.backends.wna16 import WNA16_KERNELS
from moe_doctor.backends.xpu import (
    XPU_EXPERTS,
    XPU_EXPERTS_BLOCK_FP8,
    XPU_EXPERTS_FP8,
    XPU_EXPERTS_MXFP4,
    XPU_EXPERTS_MXFP8,
    XPU_EXPERTS_MXFP8_0_22,
)
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
        *AITER_FP8_EXPERTS,
        TRTLLM_FP8_FUNCTION,
        TRTLLM_FP8_EXPERTS,
        TRTLLM_FP8_MONOLITHIC,
        TRTLLM_FP8_MODULAR,
        DEEP_GEMM_EXPERTS,
        TRITON_OR_DEEP_GEMM_EXPERTS,
        BATCHED_DEEP_GEMM_EXPERTS,
        CUTLASS_EXPERTS_FP8,
        TRITON_OR_CUTLASS_EXPERTS,
        CUTLASS_BATCHED_EXPERTS_FP8,
        CPU_EXPERTS_FP8,
        CPU_EXPERTS_FP8_W8A8,
        HPC_EXPERTS,
        MOONEP_EXPERTS,
        XPU_EXPERTS,
        XPU_EXPERTS_FP8,
        XPU_EXPERTS_MXFP8,
        XPU_EXPERTS_MXFP8_0_22,
        XPU_EXPERTS_BLOCK_FP8,
        MARLIN_EXPERTS,
        BATCHED_MARLIN_EXPERTS,
        *CPU_KERNELS,
        *CPU_INT_KERNELS,
        *WNA16_KERNELS,
        CUTLASS_W4A8_FP8,
        AITER_MXFP4_EXPERTS,
        *XPU_EXPERTS_MXFP4,
        *TRTLLM_NVFP4_KERNELS,
        *NVFP4_KERNELS,
        *MXFP8_KERNELS,
        *TRTLLM_MXFP4_KERNELS,
        *OAI_TRITON_KERNELS,
        DEEP_GEMM_FP4_EXPERTS,
        CUTLASS_MXFP4_EXPERTS,
        OCP_MX_EMULATION,
        *AITER_MXFP4_KERNELS,
        CPU_MXFP4_EXPERTS,
        *HUMMING_KERNELS,
        B12X_EXPERTS,
        FLASHINFER_MOE_EP_EXPERTS,
    )
)


@lru_cache(maxsize=64)
def kernels_of(release: Release) -> dict[str, ResolvedKernel]:
    """Every kernel as `release` states it."""
    return {name: resolve(kernel, release) for name, kernel in KERNELS.items()}
