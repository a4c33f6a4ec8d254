"""The table of environment variables that steer MoE kernels, with the releases that read them.

Source: vllm/envs.py of vLLM 0.16.0 to 0.33.0, compared release by release. `first` and `last` bound
the releases among those; None = from 0.16.0 or earlier, to 0.33.0 or later.
"""

from __future__ import annotations

from moe_doctor.core.record import record


@record
class Variable:
    """One variable."""

    name: str
    """As it is set."""
    kind: str = "flag"
    """`flag`, `number`, `choice`, `path`, `url`, `devices` or `text`."""
    first: str | None = None
    """First vLLM release that reads it."""
    last: str | None = None
    """Last vLLM release that reads it."""


# Deprecated in 0.23 in favour of --moe-backend, gone in 0.24.
_DEPRECATED = "0.23.0"

VARIABLES: tuple[Variable, ...] = (
    # --- FlashInfer in vLLM -----------------------------------------------------------------
    Variable("VLLM_USE_FLASHINFER_MOE_FP16", last=_DEPRECATED),
    Variable("VLLM_USE_FLASHINFER_MOE_FP8", last=_DEPRECATED),
    Variable("VLLM_USE_FLASHINFER_MOE_FP4", last=_DEPRECATED),
    Variable("VLLM_USE_FLASHINFER_MOE_INT4"),
    Variable("VLLM_USE_FLASHINFER_MOE_MXFP4_BF16", last=_DEPRECATED),
    Variable("VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8", last=_DEPRECATED),
    Variable("VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8_CUTLASS", last=_DEPRECATED),
    Variable("VLLM_FLASHINFER_MOE_BACKEND", "choice", last=_DEPRECATED),
    Variable("VLLM_HAS_FLASHINFER_CUBIN"),
    Variable("VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE", "number"),
    Variable("VLLM_FLASHINFER_AUTOTUNE_CACHE_DIR", "path", first="0.22.0"),
    Variable("VLLM_FLASHINFER_AUTOTUNE_SKIP_OPS", "text", first="0.26.0"),
    Variable("VLLM_FLASHINFER_MOE_A2A_LOW_PRECISION_COMBINE", first="0.32.0"),
    Variable("VLLM_BLOCKSCALE_FP8_GEMM_FLASHINFER"),
    # --- DeepGEMM, Marlin, CUTLASS, humming in vLLM -----------------------------------------
    Variable("VLLM_USE_DEEP_GEMM"),
    Variable("VLLM_MOE_USE_DEEP_GEMM"),
    Variable("VLLM_USE_DEEP_GEMM_E8M0"),
    Variable("VLLM_USE_DEEP_GEMM_TMA_ALIGNED_SCALES"),
    Variable("VLLM_DEEP_GEMM_WARMUP", "choice"),
    Variable("VLLM_MXFP4_USE_MARLIN", last=_DEPRECATED),
    Variable("VLLM_MARLIN_USE_ATOMIC_ADD"),
    Variable("VLLM_MARLIN_INPUT_DTYPE", "choice"),
    Variable("VLLM_TEST_FORCE_FP8_MARLIN", last="0.28.0"),
    Variable("VLLM_USE_NVFP4_CT_EMULATIONS", last=_DEPRECATED),
    Variable("VLLM_NVFP4_GEMM_BACKEND", "choice", last=_DEPRECATED),
    Variable("VLLM_MAX_TOKENS_PER_EXPERT_FP4_MOE", "number"),
    Variable("VLLM_MXFP8_EMULATION_DEQUANT_AT_LOAD", first="0.24.0"),
    Variable("VLLM_MXFP4_EMULATION_DEQUANT_AT_LOAD", first="0.31.0"),
    Variable("VLLM_B12X_MOE_FP4_FORCE_A16", first="0.29.0"),
    Variable("VLLM_HUMMING_MOE_GEMM_TYPE", "choice", first="0.20.0"),
    Variable("VLLM_HUMMING_INPUT_QUANT_CONFIG", "text", first="0.20.0"),
    Variable("VLLM_HUMMING_ONLINE_QUANT_CONFIG", "text", first="0.20.0"),
    Variable("VLLM_HUMMING_USE_F16_ACCUM", first="0.20.0"),
    Variable("VLLM_DISABLED_KERNELS", "text"),
    # --- MoE layer and LoRA in vLLM -----------------------------------------------------------
    Variable("VLLM_BATCH_INVARIANT", first="0.19.0"),
    Variable("VLLM_TUNED_CONFIG_FOLDER", "path"),
    Variable("VLLM_USE_FUSED_MOE_GROUPED_TOPK"),
    Variable("VLLM_FUSED_MOE_CHUNK_SIZE", "number", last="0.17.1"),
    Variable("VLLM_ENABLE_FUSED_MOE_ACTIVATION_CHUNKING", last="0.17.1"),
    Variable("VLLM_ENABLE_MOE_DP_CHUNK", last="0.19.1"),
    Variable("VLLM_MOE_DP_CHUNK_SIZE", "number", last="0.19.1"),
    Variable("VLLM_MOE_ROUTING_SIMULATION_STRATEGY", "text"),
    Variable("VLLM_MOE_SKIP_PADDING", first="0.25.0"),
    Variable("VLLM_DISABLE_SHARED_EXPERTS_STREAM"),
    Variable("VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD", "number"),
    Variable("VLLM_LORA_DISABLE_PDL"),
    Variable("VLLM_LORA_ENABLE_DUAL_STREAM", first="0.20.0"),
    Variable("VLLM_TRITON_FORCE_FIRST_CONFIG", first="0.24.0"),
    Variable("VLLM_TRITON_USE_TD", first="0.26.0"),
    # --- all2all in vLLM ----------------------------------------------------------------------
    Variable("VLLM_DEEPEP_BUFFER_SIZE_MB", "number"),
    Variable("VLLM_DEEPEP_HIGH_THROUGHPUT_FORCE_INTRA_NODE"),
    Variable("VLLM_DEEPEP_LOW_LATENCY_USE_MNNVL"),
    Variable("VLLM_DEEPEPLL_NVFP4_DISPATCH"),
    Variable("VLLM_DEEPEP_V2_ALLOW_HYBRID_MODE", first="0.24.0"),
    Variable("VLLM_DEEPEP_V2_ALLOW_MULTIPLE_REDUCTION", first="0.24.0"),
    Variable("VLLM_DEEPEP_V2_PREFER_OVERLAP", first="0.24.0"),
    Variable("VLLM_NIXL_EP_MAX_NUM_RANKS", "number", first="0.18.0", last="0.29.0"),
    # --- ROCm, XPU, CPU in vLLM ---------------------------------------------------------------
    Variable("VLLM_ROCM_USE_AITER"),
    Variable("VLLM_ROCM_USE_AITER_MOE"),
    Variable("VLLM_ROCM_USE_AITER_LINEAR"),
    Variable("VLLM_ROCM_USE_AITER_FUSION_SHARED_EXPERTS"),
    Variable("VLLM_ROCM_AITER_MOE_DISPATCH_POLICY", "number", first="0.23.0"),
    Variable("VLLM_ROCM_USE_AITER_MOE_SITUV2", first="0.31.0"),
    Variable("VLLM_ROCM_USE_AITER_MOE_SITUV2_A8W4", first="0.28.0", last="0.30.0"),
    Variable("VLLM_ROCM_USE_AITER_MOE_A4W4_DSV4", first="0.32.0"),
    Variable("VLLM_ROCM_MUSE_MOE_ONLINE_QUANT", "choice", first="0.33.0"),
    Variable("VLLM_ROCM_MUSE_MOE_REDUCE_DTYPE", "choice", first="0.33.0"),
    Variable("VLLM_ROCM_MOE_PADDING"),
    Variable("VLLM_ROCM_FP8_PADDING"),
    Variable("VLLM_XPU_INC_WNA16_BACKEND", "choice", first="0.29.0"),
    Variable("VLLM_XPU_FORCE_N_CONTIG_WEIGHT", first="0.29.0"),
    Variable("XPU_USE_TRITON_KERNEL"),
    Variable("VLLM_CPU_MOE_PREPACK"),
    Variable("VLLM_CPU_SGL_KERNEL", last="0.27.1"),
    Variable("VLLM_CPU_INT4_W4A8", first="0.20.0"),
    # --- the engine as a whole ----------------------------------------------------------------
    Variable("VLLM_TARGET_DEVICE", "choice"),
    Variable("VLLM_PLUGINS", "text"),
    Variable("VLLM_USE_MODELSCOPE"),
    Variable("VLLM_USE_V2_MODEL_RUNNER"),
    Variable("VLLM_CACHE_ROOT", "path"),
    Variable("VLLM_TPU_USING_PATHWAYS"),
    # --- FlashInfer, DeepGEMM, AITER, Triton themselves ---------------------------------------
    Variable("FLASHINFER_CUDA_ARCH_LIST", "text"),
    Variable("FLASHINFER_WORKSPACE_BASE", "path"),
    Variable("FLASHINFER_CUBIN_DIR", "path"),
    Variable("FLASHINFER_CUBINS_REPOSITORY", "url"),
    Variable("FLASHINFER_DISABLE_VERSION_CHECK"),
    Variable("FLASHINFER_DISABLE_JIT"),
    Variable("FLASHINFER_LOGLEVEL", "number"),
    Variable("FLASHINFER_NVCC", "path"),
    Variable("DG_JIT_CACHE_DIR", "path"),
    Variable("DG_JIT_NVCC_COMPILER", "path"),
    Variable("TRITON_INTERPRET"),
    Variable("TRITON_CACHE_DIR", "path"),
    Variable("TRITON_PTXAS_PATH", "path"),
    Variable("TRITON_PTXAS_BLACKWELL_PATH", "path"),
    Variable("TRITON_DISABLE_LINE_INFO"),
    Variable("TRITON_ALWAYS_COMPILE"),
    Variable("AITER_BF16_FP8_MOE_BOUND", "number"),
    # --- toolkit and devices ------------------------------------------------------------------
    Variable("CUDA_HOME", "path"),
    Variable("CUDA_PATH", "path"),
    Variable("ROCM_PATH", "path"),
    Variable("TORCH_CUDA_ARCH_LIST", "text"),
    Variable("PYTORCH_ROCM_ARCH", "text"),
    Variable("CXX", "path"),
    Variable("MAX_JOBS", "number"),
    Variable("CUDA_VISIBLE_DEVICES", "devices"),
    Variable("CUDA_DEVICE_ORDER", "choice"),
    Variable("HIP_VISIBLE_DEVICES", "devices"),
    Variable("ROCR_VISIBLE_DEVICES", "devices"),
    Variable("ZE_AFFINITY_MASK", "devices"),
    Variable("HSA_OVERRIDE_GFX_VERSION", "text"),
    Variable("LD_LIBRARY_PATH", "path"),
    # --- the hub ------------------------------------------------------------------------------
    Variable("HF_HUB_OFFLINE"),
    Variable("TRANSFORMERS_OFFLINE"),
    Variable("HF_ENDPOINT", "url"),
    Variable("HF_HOME", "path"),
    Variable("HF_HUB_CACHE", "path"),
)

PREFIXES: tuple[str, ...] = ("VLLM_", "FLASHINFER_", "TRITON_", "SGLANG_", "AITER_", "DG_")
"""A variable of these that is in no row is worth telling too: it may be a misspelling."""

_BY_NAME = {variable.name: variable for variable in VARIABLES}


def find_variable(name: str) -> Variable | None:
    """Row of the table, or None."""
    return _BY_NAME.get(name)
