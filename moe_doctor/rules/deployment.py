"""7xx parallelism and 8xx performance."""

from __future__ import annotations

from moe_doctor.core.findings import Severity
from moe_doctor.rules.rule import Rule

ALL2ALL_WITHOUT_EP = Rule(
    "MOE701",
    "all2all-without-expert-parallel",
    Severity.WARNING,
    "An all2all backend is named, but experts are not spread over ranks.",
    "--all2all-backend is read only with --enable-expert-parallel; without it the experts are "
    "sharded by tensor parallelism and the option does nothing.",
    "Add --enable-expert-parallel, or leave the all2all backend out.",
)
TRTLLM_SHARD = Rule(
    "MOE702",
    "trtllm-shard-not-aligned",
    Severity.ERROR,
    "The expert shard is no multiple of 128, which the chosen TRT-LLM kernel needs.",
    "The block layout of the bfloat16 TRT-LLM kernel splits the intermediate size into blocks of "
    "128. The oracle does not look at it, and until 0.28.0 gated weights are not padded: loading "
    "stops with `K must be divisible by blockK`.",
    "Lower the tensor-parallel size, add --enable-expert-parallel, or use --moe-backend triton.",
    links=("https://github.com/vllm-project/vllm/issues/41360",),
)
CUTLASS_UNALIGNED = Rule(
    "MOE703",
    "flashinfer-cutlass-unaligned-on-blackwell",
    Severity.WARNING,
    "The expert shard is no multiple of 128 and FlashInfer CUTLASS was chosen on Blackwell.",
    "An engine has been seen hanging without an error in this combination (vLLM 0.26.0, B200, an "
    "intermediate size of 704). Whether it hangs elsewhere is not known.",
    "Prove it on the machine with a deadline, or use --moe-backend triton.",
    status="preview",
    links=("https://github.com/vllm-project/vllm/issues/51492",),
)
ALL2ALL_PACKAGE_ABSENT = Rule(
    "MOE704",
    "all2all-package-absent",
    Severity.ERROR,
    "The package behind the all2all backend is not installed.",
    "vLLM never falls back to another all2all. DeepEP, pplx and MoRI are asserted while the "
    "communicators are made (`DeepEP kernels not found`, `MoRI kernels not found`); what passes "
    "there ends in a NameError when the layer rounds its width for a dispatch class that was not "
    "imported.",
    "Install the package, or leave --all2all-backend at allgather_reducescatter.",
    links=("https://github.com/vllm-project/vllm/tree/main/tools/ep_kernels",),
)
MORE_RANKS_THAN_GPUS = Rule(
    "MOE705",
    "more-ranks-than-gpus",
    Severity.WARNING,
    "The deployment has more ranks than this machine has GPUs.",
    "Tensor, pipeline and prefill-context ranks of one replica have to fit on a node unless "
    "--nnodes or Ray spreads them: vLLM raises `World size is larger than the number of available "
    "GPUs`. Data-parallel replicas multiply the need.",
    "Lower the sizes, or give the nodes with --nnodes or --distributed-executor-backend ray.",
)
NO_TUNED_CONFIG = Rule(
    "MOE803",
    "no-tuned-config",
    Severity.INFO,
    "The release ships no tuned tiles for this shape on this GPU.",
    "vLLM's Triton kernel looks for a file of tile sizes by expert count, shard width, GPU and "
    "dtype, and falls back to a general choice with a warning. Tuning brings a few per cent at "
    "most sizes, sometimes nothing.",
    "Tune with vLLM's benchmark_moe.py, and measure before and after.",
    links=("https://github.com/vllm-project/vllm/issues/17619",),
)

RULES = (
    ALL2ALL_WITHOUT_EP,
    TRTLLM_SHARD,
    CUTLASS_UNALIGNED,
    ALL2ALL_PACKAGE_ABSENT,
    MORE_RANKS_THAN_GPUS,
    NO_TUNED_CONFIG,
)
