"""Options of `vllm serve` that a release refuses or rewrites before it builds a layer.

Sources: config/parallel.py (All2AllBackend, _validate_parallel_config), config/kernel.py
(MoEBackend), config/model.py (_resolve_auto_dtype), releases 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.release import Release
from moe_doctor.core.selection import EngineError

ALLGATHER = "allgather_reducescatter"

# Value -> first release, and the release that no longer has it.
_ALL2ALL: dict[str, tuple[Release, Release | None]] = {
    "naive": ((0, 16, 0), None),
    "pplx": ((0, 16, 0), None),
    "deepep_high_throughput": ((0, 16, 0), None),
    "deepep_low_latency": ((0, 16, 0), None),
    "deepep_v2": ((0, 24, 0), None),
    "mori": ((0, 16, 0), (0, 23, 0)),
    "mori_high_throughput": ((0, 23, 0), None),
    "mori_low_latency": ((0, 23, 0), None),
    "moonep": ((0, 31, 0), None),
    "nixl_ep": ((0, 18, 0), None),
    ALLGATHER: ((0, 16, 0), None),
    "flashinfer_all2allv": ((0, 16, 0), None),
    "flashinfer_nvlink_two_sided": ((0, 18, 0), None),
    "flashinfer_nvlink_one_sided": ((0, 18, 0), None),
    "passthrough": ((0, 32, 0), None),
}
_NEVER: tuple[Release, Release | None] = ((1 << 30, 0, 0), None)
_MOE_BACKENDS: dict[str, tuple[Release, Release | None]] = {
    "auto": ((0, 17, 0), None),
    "triton": ((0, 17, 0), None),
    "batched_triton": ((0, 27, 0), None),
    "deep_gemm": ((0, 17, 0), None),
    "deep_gemm_mega_moe": ((0, 20, 0), None),
    "cutlass": ((0, 17, 0), None),
    "flashinfer_trtllm": ((0, 17, 0), None),
    "flashinfer_cutlass": ((0, 17, 0), None),
    "flashinfer_cutedsl": ((0, 17, 0), None),
    "flashinfer_moe_ep_cutedsl": ((0, 32, 0), None),
    "flashinfer_b12x": ((0, 22, 0), None),
    "b12x": ((0, 29, 0), None),
    "flashinfer_moe_ep_mega_deep_gemm": ((0, 29, 0), None),
    "flashinfer_moe_ep_mega_cutedsl": ((0, 29, 0), (0, 32, 0)),
    "marlin": ((0, 17, 0), None),
    "humming": ((0, 21, 0), None),
    "triton_unfused": ((0, 21, 0), None),
    "aiter": ((0, 17, 0), None),
    "aiter_mega_moe": ((0, 32, 0), None),
    "aiter_triton_mxfp4_bf16": ((0, 30, 0), None),
    "aiter_triton_mxfp4_mxfp4": ((0, 33, 0), None),
    "flydsl": ((0, 24, 0), None),
    "hpc": ((0, 25, 0), None),
    "emulation": ((0, 20, 0), None),
    "rdna3": ((0, 30, 0), None),
}
# Still options, but all-gather runs in their place.
_REMOVED: dict[str, Release] = {"pplx": (0, 17, 0), "naive": (0, 19, 0)}
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # config/lora.py MaxLoRARanks, every release
_DTYPES = {
    "auto": "auto",
    "half": "float16",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "float": "float32",
    "float32": "float32",
}
# all2all backends with which use_sequence_parallel_moe may be on, by first release.
_SEQUENCE: dict[str, tuple[Release, Release | None]] = {
    ALLGATHER: ((0, 16, 0), None),
    "naive": ((0, 16, 0), (0, 19, 0)),
    "deepep_high_throughput": ((0, 16, 0), None),
    "deepep_low_latency": ((0, 16, 0), None),
    "mori": ((0, 16, 0), (0, 23, 0)),
    "mori_high_throughput": ((0, 23, 0), None),
    "mori_low_latency": ((0, 23, 0), None),
    "nixl_ep": ((0, 18, 0), None),
    "flashinfer_nvlink_one_sided": ((0, 29, 0), None),
    "deepep_v2": ((0, 31, 0), None),
    "passthrough": ((0, 32, 0), None),
}
# From 0.29 megakernels that dispatch by themselves; 0.33 config/lora.py rejects them with LoRA.
_OWN_DISPATCH = frozenset(
    {
        "flashinfer_moe_ep_cutedsl",
        "flashinfer_moe_ep_mega_deep_gemm",
        "flashinfer_moe_ep_mega_cutedsl",
    }
)
_MEGA_MOE = _OWN_DISPATCH | {"deep_gemm_mega_moe", "aiter_mega_moe"}


def normalize_moe_backend(text: str) -> str:
    """As the argument parser does: lower case, dashes as underscores."""
    return text.lower().replace("-", "_")


def moe_backends(release: Release) -> tuple[str, ...]:
    """Values of `--moe-backend`; empty before 0.17.0, which has no such option."""
    return _held(_MOE_BACKENDS, release)


def takes_moe_backend(name: str, release: Release) -> bool:
    """Whether `name` is one of them."""
    return _holds(_MOE_BACKENDS, name, release)


def all2all_backends(release: Release) -> tuple[str, ...]:
    """Values of `--all2all-backend`."""
    return _held(_ALL2ALL, release)


def refuse_arguments(deployment: Deployment, release: Release) -> EngineError | None:
    """What the argument parser of `vllm serve` says, or None."""
    backend = normalize_moe_backend(deployment.moe_backend)
    if backend != "auto" and not takes_moe_backend(backend, release):
        if not _holds(_MOE_BACKENDS, "auto", release):
            return EngineError(
                "ArgumentError", f"unrecognized arguments: --moe-backend {deployment.moe_backend}"
            )
        return _invalid_choice("--moe-backend", backend, moe_backends(release))
    all2all = deployment.all2all_backend
    if all2all is not None and not _holds(_ALL2ALL, all2all, release):
        return _invalid_choice("--all2all-backend", all2all, all2all_backends(release))
    if deployment.dtype.lower() not in _DTYPES:
        return _invalid_choice("--dtype", deployment.dtype, tuple(_DTYPES))
    rank = deployment.max_lora_rank
    if rank is not None and rank not in _LORA_RANKS:
        return _invalid_choice("--max-lora-rank", rank, tuple(map(str, _LORA_RANKS)))
    return None


def refuse_parallel(deployment: Deployment, platform: str, release: Release) -> EngineError | None:
    """What ParallelConfig says about the sizes, or None."""
    data, prefill = deployment.data_parallel_size, deployment.prefill_context_parallel_size
    if deployment.enable_eplb:
        refused = _refuse_eplb(deployment, platform, release)
        if refused is not None:
            return refused
    elif deployment.num_redundant_experts:
        return _validation(
            "ParallelConfig",
            f"num_redundant_experts is set to {deployment.num_redundant_experts} but EPLB is not "
            "enabled. Either enable EPLB or unset num_redundant_experts.",
        )
    if prefill > 1 and data > 1 and (0, 26, 0) <= release < (0, 30, 0):
        return _validation("ParallelConfig", "PCP does not support data parallelism yet.")
    return None


def effective_all2all(deployment: Deployment, release: Release) -> str | EngineError:
    """all2all_backend after the release's own rewriting."""
    value = deployment.all2all_backend or ALLGATHER
    since = _REMOVED.get(value)
    if since is not None and release >= since:
        value = ALLGATHER
    backend = normalize_moe_backend(deployment.moe_backend)
    if backend not in _OWN_DISPATCH and value != "passthrough":
        return value
    if release < (0, 32, 0):
        return value
    if backend in _OWN_DISPATCH:
        if value not in (ALLGATHER, "passthrough"):
            return _validation(
                "VllmConfig",
                f"moe_backend={backend!r} dispatches and combines itself and cannot be paired "
                f"with all2all_backend={value!r}; leave --all2all-backend unset.",
            )
        return "passthrough"
    known = sorted(_OWN_DISPATCH.intersection(moe_backends(release)))
    return _validation(
        "VllmConfig",
        "all2all_backend='passthrough' is only valid with a moe_backend that dispatches and "
        f"combines itself ({known}), got moe_backend={backend!r}.",
    )


def uses_sequence_parallel(deployment: Deployment, all2all: str, release: Release) -> bool:
    """ParallelConfig.use_sequence_parallel_moe."""
    return (
        deployment.expert_parallel
        and deployment.tensor_parallel_size > 1
        and deployment.data_parallel_size > 1
        and _holds(_SEQUENCE, all2all, release)
    )


def rejects_lora(deployment: Deployment, release: Release) -> EngineError | None:
    """What LoRAConfig.verify_with_kernel_config says from 0.33 on, or None."""
    backend = normalize_moe_backend(deployment.moe_backend)
    if backend not in _MEGA_MOE or release < (0, 33, 0):
        return None
    return _validation(
        "VllmConfig",
        f"LoRA is not supported with moe_backend={backend!r}. Disable LoRA or select a MoE "
        "backend that supports LoRA.",
    )


def rejects_moonep(deployment: Deployment, dtype: str) -> EngineError | None:
    """What VllmConfig says about `--all2all-backend moonep` (from 0.31), or None."""
    if dtype != "bfloat16":
        text = f"supports BF16 models only; got dtype=torch.{dtype}. Use a different "
        text += "--all2all-backend or --dtype bfloat16."
        return _validation("VllmConfig", f"The moonep all2all backend currently {text}")
    if deployment.enable_eplb:
        text = "The moonep all2all backend does not support EPLB yet"
        return _validation("VllmConfig", text)
    return None


def rejects_dbo(
    deployment: Deployment, all2all: str, platform: str, release: Release
) -> EngineError | None:
    """What VllmConfig says about `--enable-dbo` without a backend that overlaps, or None."""
    if not deployment.enable_dbo:
        return None
    high, low = "deepep_high_throughput", "deepep_low_latency"
    known = (low, high) if release < (0, 24, 0) else (low, high, "nixl_ep")
    if platform == "rocm" and release >= (0, 33, 0):
        known = (*known, ALLGATHER)
    if all2all in known:
        return None
    flags = [f"--all2all-backend={name}" for name in known]
    if release < (0, 24, 0):
        text = (
            f"{low} and {high} all2all backend. {all2all} is not supported. To fix use "
            f"{flags[0]} or {flags[1]} and install the DeepEP kernels."
        )
    elif release < (0, 33, 0):
        text = (
            f"{low}, {high}, and nixl_ep all2all backends. {all2all} is not supported. To fix use "
            f"{flags[0]}, {flags[1]}, or {flags[2]} and install the matching kernels."
        )
    else:
        text = (
            f"{', '.join(known)} all2all backends on this platform. {all2all} is not supported. "
            f"To fix use one of {', '.join(flags)} and install the matching kernels."
        )
    said = f"Assertion failed, Microbatching currently only supports the {text}"
    return EngineError("ValidationError", f"1 validation error for VllmConfig\n  {said}")


def resolve_dtype(
    asked: str, checkpoint: str, platform: str, capability: tuple[int, int] | None
) -> str | EngineError:
    """Dtype of the hidden states; `capability` is the CUDA one, where it is known."""
    old = platform == "cuda" and capability is not None and capability < (8, 0)
    explicit = _DTYPES[asked.lower()]
    if explicit == "auto":
        preferred = "float16" if old else "bfloat16"
        if checkpoint == "float16" or (checkpoint == "bfloat16" and not old):
            return checkpoint
        return preferred
    if explicit == "bfloat16" and old and capability is not None:
        return EngineError(
            "ValueError",
            "Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your "
            f"GPU has compute capability {capability[0]}.{capability[1]}. You can use float16 "
            "instead by explicitly setting the `dtype` flag in CLI, for example: --dtype=half.",
        )
    return explicit


def _refuse_eplb(deployment: Deployment, platform: str, release: Release) -> EngineError | None:
    devices = "CUDA devices or ROCm devices"
    balanced: tuple[str, ...] = ("cuda", "rocm")
    if release >= (0, 31, 0):
        devices, balanced = f"{devices} or XPU devices", ("cuda", "rocm", "xpu")
    if platform not in balanced:
        return _validation(
            "ParallelConfig",
            f"Expert parallelism load balancing is only supported on {devices} now.",
        )
    if not deployment.expert_parallel:
        return _validation("ParallelConfig", "enable_expert_parallel must be True to use EPLB.")
    tensor, data = deployment.tensor_parallel_size, deployment.data_parallel_size
    prefill = deployment.prefill_context_parallel_size
    if release < (0, 26, 0):
        if tensor * data > 1:
            return None
        text = (
            "EPLB requires tensor_parallel_size or data_parallel_size to be greater than 1, but "
            f"got TP={tensor},DP={data}."
        )
    else:
        if tensor * prefill * data > 1:
            return None
        text = (
            "EPLB requires tensor, prefill-context, or data parallelism, but got "
            f"TP={tensor}, PCP={prefill}, DP={data}."
        )
    return _validation("ParallelConfig", text)


def _held(table: dict[str, tuple[Release, Release | None]], release: Release) -> tuple[str, ...]:
    return tuple(name for name in table if _holds(table, name, release))


def _holds(table: dict[str, tuple[Release, Release | None]], name: str, release: Release) -> bool:
    since, gone = table.get(name, _NEVER)
    return since <= release and (gone is None or release < gone)


def _invalid_choice(option: str, value: str | int, choices: tuple[str, ...]) -> EngineError:
    known = ", ".join(choices)
    return EngineError(
        "ArgumentError", f"argument {option}: invalid choice: {value!r} (choose from {known})"
    )


def _validation(config: str, text: str) -> EngineError:
    return EngineError("ValidationError", f"1 validation error for {config}\n  Value error, {text}")
