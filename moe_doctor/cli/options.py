"""Every option, spelled once, in groups that commands take whole.

Options that steer the engine keep the spelling of `vllm serve`, so that a line can be pasted. The
docstring of a group is the heading that the help shows above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from moe_doctor.cli.binding import OneOf, Suffixed, Within

FORMATS = ("text", "json", "github", "junit", "markdown")
SIZES = Within(1, 65536)

ModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="Local directory, config.json, Hugging Face id, or id in the bundled catalogue.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Model"""

    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="REV", help="Branch, tag or commit on the hub."),
    ] = None
    hf_overrides: Annotated[
        str | None,
        typer.Option(
            "--hf-overrides", metavar="JSON", help="Keys laid over config.json before it is read."
        ),
    ] = None
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Never touch the network (also HF_HUB_OFFLINE=1)."),
    ] = False


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Server, spelled as for vllm serve"""

    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="vllm[@VERSION]",
            help="Default: the installed vLLM, else the newest release in the tables.",
        ),
    ] = None
    tensor_parallel_size: Annotated[
        int,
        typer.Option("--tensor-parallel-size", "-tp", metavar="N", help="Ranks per weight."),
        SIZES,
    ] = 1
    data_parallel_size: Annotated[
        int,
        typer.Option("--data-parallel-size", "-dp", metavar="N", help="Replicas of attention."),
        SIZES,
    ] = 1
    prefill_context_parallel_size: Annotated[
        int,
        typer.Option(
            "--prefill-context-parallel-size", "-pcp", metavar="N", help="Ranks per prompt."
        ),
        SIZES,
    ] = 1
    pipeline_parallel_size: Annotated[
        int,
        typer.Option("--pipeline-parallel-size", "-pp", metavar="N", help="Stages."),
        SIZES,
    ] = 1
    enable_expert_parallel: Annotated[
        bool,
        typer.Option(
            "--enable-expert-parallel/--no-enable-expert-parallel",
            "-ep",
            help="Spread experts over ranks instead of sharding each.",
            show_default=False,
        ),
    ] = False
    all2all_backend: Annotated[
        str | None,
        typer.Option(
            "--all2all-backend",
            metavar="NAME",
            help="How tokens travel between expert-parallel ranks.",
        ),
    ] = None
    enable_eplb: Annotated[
        bool,
        typer.Option(
            "--enable-eplb/--no-enable-eplb",
            help="Rebalance experts while serving.",
            show_default=False,
        ),
    ] = False
    moe_backend: Annotated[
        str,
        typer.Option("--moe-backend", metavar="NAME", help="Ask for one kernel backend."),
    ] = "auto"
    quantization: Annotated[
        str | None,
        typer.Option("--quantization", "-q", metavar="METHOD", help="Override the checkpoint's."),
    ] = None
    dtype: Annotated[
        str,
        typer.Option("--dtype", metavar="DTYPE", help="Dtype of unquantized weights."),
    ] = "auto"
    max_num_batched_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-num-batched-tokens", metavar="N", help="Largest batch of tokens; 8k, 8K work."
        ),
        Suffixed(),
    ] = None
    lora: Annotated[
        bool | None,
        typer.Option(
            "--lora/--no-lora",
            "--enable-lora/--no-enable-lora",
            help="With LoRA, or without; neither flag: both, side by side.",
            show_default=False,
        ),
    ] = None
    max_lora_rank: Annotated[
        int | None,
        typer.Option("--max-lora-rank", metavar="N", help="Largest adapter rank."),
        SIZES,
    ] = None


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """Machine to ask about (default: this one)"""

    gpu: Annotated[
        str | None,
        typer.Option("--gpu", metavar="NAME", help="Simulate a product: h100, b200, mi300x, ..."),
    ] = None
    capability: Annotated[
        str | None,
        typer.Option("--capability", metavar="X.Y", help="Simulate a CUDA compute capability."),
    ] = None
    platform: Annotated[
        str | None,
        typer.Option(
            "--platform",
            metavar="cuda|rocm|xpu|cpu|tpu|oot",
            help="Simulate a platform.",
        ),
        OneOf(("cuda", "rocm", "xpu", "cpu", "tpu", "oot")),
    ] = None
    arch: Annotated[
        str | None,
        typer.Option("--arch", metavar="GFX", help="Simulate a ROCm architecture: gfx942, ..."),
    ] = None
    snapshot: Annotated[
        str | None,
        typer.Option(
            "--snapshot", metavar="FILE", help="A machine saved by `moe-doctor env --format json`."
        ),
    ] = None
    with_packages: Annotated[
        list[str] | None,
        typer.Option(
            "--with", metavar="PKG[==VER]", help="Count a package as installed; repeatable."
        ),
    ] = None
    without_packages: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="PKG|all", help="Count a package as absent; repeatable."),
    ] = None
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME=VALUE", help="Set an engine variable; repeatable."),
    ] = None


@dataclass(frozen=True, slots=True)
class ProofOptions:
    """Proof"""

    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", help="Deadline of each proof."),
        Within(0.1, 86400),
    ] = 120.0
    require_proof: Annotated[
        bool,
        typer.Option("--require-proof", help="Exit 3 unless every proof passed on a real GPU."),
    ] = False


@dataclass(frozen=True, slots=True)
class LevelOptions:
    """Depth"""

    level: Annotated[
        int,
        typer.Option(
            "--level",
            metavar="1..4",
            help="1: config and files, no torch, under a second. 2: + probe and oracle, the same. "
            "3: + a tiny forward of every chosen backend, seconds. "
            "4: + every accepted backend, all shapes, minutes.",
        ),
        Within(1, 4),
    ] = 3


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Report"""

    format: Annotated[
        str,
        typer.Option("--format", metavar="|".join(FORMATS), help="How the report is written."),
        OneOf(FORMATS),
    ] = "text"
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the report here, whole or not at all."
        ),
    ] = None
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on", metavar="error|warning|never", help="Findings that make the exit code 1."
        ),
        OneOf(("error", "warning", "never")),
    ] = "error"
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="No progress, no notes, and only the answer in text."),
    ] = False
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Every candidate, every case, every traceback."),
    ] = False


SHARED_GROUPS: tuple[type, ...] = (
    ModelOptions,
    ServerOptions,
    MachineOptions,
    ProofOptions,
    LevelOptions,
    ReportOptions,
)
"""Groups whose options may stand in `[tool.moe-doctor]`."""
