"""Every option, spelled once, in groups that commands take whole.

Options that steer the engine keep the spelling of `vllm serve`, so that a line can be pasted. The
docstring of a group is the heading that the help shows above it.
"""

from __future__ import annotations

from typing import Any

from moe_doctor.cli.binding import (
    OneOf,
    OptionGroup,
    Suffixed,
    Within,
    argument,
    option,
)
from moe_doctor.core.arguments import CHOICES, LIMITS

FORMATS = ("text", "json", "github", "junit", "markdown")
PAGE_FORMATS = ("text", "json", "markdown")
PLATFORMS = CHOICES["platform"]
FAIL_ON = CHOICES["fail_on"]
TOWER_MODES = CHOICES["mm_encoder_tp_mode"]
SIZES = Within(*LIMITS["tensor_parallel_size"])


def _with_packages() -> Any:
    return option("--with", metavar="PKG[==VER]", help="Count a package as installed; repeatable.")


def _without_packages() -> Any:
    return option("--without", metavar="PKG|all", help="Count a package as absent; repeatable.")


def _variables() -> Any:
    return option("--env", metavar="NAME=VALUE", help="Set an engine variable; repeatable.")


class Target(OptionGroup):
    """Arguments"""

    model: str | None = argument(
        "MODEL",
        help="Local directory, config.json, Hugging Face id, or id in the bundled catalogue.",
    )


class ManyTargets(OptionGroup):
    """Arguments"""

    models: tuple[str, ...] = argument(
        "MODEL", help="As for check, any number; without one a plain layer."
    )


class EngineOptions(OptionGroup):
    """Server, spelled as for vllm serve"""

    engine: str | None = option(
        "--engine",
        metavar="vllm[@VERSION]|installed",
        help="vllm@VERSION: the tables. installed: the installed vLLM itself is asked, seconds. "
        "Default: installed where there is one, else the newest release in the tables.",
    )


class LiveOptions(OptionGroup):
    """Installed engine"""

    python: str | None = option(
        "--python",
        metavar="PATH",
        help="The Python, or the virtual environment, whose vLLM is asked; default: this one.",
    )


class ReleaseOptions(OptionGroup):
    """Releases"""

    from_engine: str | None = option(
        "--from",
        "--engine",
        metavar="vllm@VERSION",
        help="The release that you have; default: the installed vLLM.",
    )
    to_engine: str | None = option(
        "--to",
        metavar="vllm@VERSION",
        help="The release that you want; default: the newest in the tables.",
    )


class GridOptions(OptionGroup):
    """Rows and columns"""

    engine: tuple[str, ...] = option(
        "--engine",
        metavar="vllm@VERSION",
        help="A release; repeatable. Default: every release in the tables.",
    )
    gpu: tuple[str, ...] = option(
        "--gpu",
        metavar="NAME",
        help="A product, simulated: h100, b200, mi300x, ...; repeatable. Default: the common ones.",
    )


class PackageOptions(OptionGroup):
    """Packages and variables of every machine"""

    with_packages: tuple[str, ...] = _with_packages()
    without_packages: tuple[str, ...] = _without_packages()
    env: tuple[str, ...] = _variables()


class ServerOptions(OptionGroup):
    """Server, spelled as for vllm serve"""

    tensor_parallel_size: int = option(
        "--tensor-parallel-size",
        "-tp",
        default=1,
        metavar="N",
        help="Ranks that share each weight.",
        limit=SIZES,
    )
    data_parallel_size: int = option(
        "--data-parallel-size",
        "-dp",
        default=1,
        metavar="N",
        help="Replicas of attention.",
        limit=SIZES,
    )
    prefill_context_parallel_size: int = option(
        "--prefill-context-parallel-size",
        "-pcp",
        default=1,
        metavar="N",
        help="Ranks that share a prompt.",
        limit=SIZES,
    )
    pipeline_parallel_size: int = option(
        "--pipeline-parallel-size",
        "-pp",
        default=1,
        metavar="N",
        help="Stages.",
        limit=SIZES,
    )
    enable_expert_parallel: bool = option(
        "--enable-expert-parallel/--no-enable-expert-parallel",
        "-ep",
        default=False,
        help="Spread experts over ranks instead of sharding each.",
    )
    all2all_backend: str | None = option(
        "--all2all-backend",
        metavar="NAME",
        help="How tokens travel between expert-parallel ranks.",
    )
    enable_eplb: bool = option(
        "--enable-eplb/--no-enable-eplb",
        default=False,
        help="Rebalance experts while serving.",
    )
    enable_dbo: bool = option(
        "--enable-dbo/--no-enable-dbo",
        default=False,
        help="Split batches in two that overlap.",
    )
    eplb_config: str | None = option(
        "--eplb-config",
        metavar="JSON",
        help='{"num_redundant_experts": N}: experts that rebalancing keeps twice.',
    )
    moe_backend: str = option(
        "--moe-backend", default="auto", metavar="NAME", help="Ask for one kernel backend."
    )
    quantization: str | None = option(
        "--quantization", "-q", metavar="METHOD", help="Instead of what the checkpoint says."
    )
    mm_encoder_tp_mode: str = option(
        "--mm-encoder-tp-mode",
        default="weights",
        metavar="|".join(TOWER_MODES),
        help="How ranks divide a vision tower.",
        limit=OneOf(TOWER_MODES),
    )
    dtype: str = option(
        "--dtype", default="auto", metavar="DTYPE", help="Dtype of unquantized weights."
    )
    max_num_batched_tokens: int | None = option(
        "--max-num-batched-tokens",
        metavar="N",
        help="Largest batch of tokens; 8k (8000) and 8K (8192) work.",
        limit=Suffixed(1),
    )
    lora: bool | None = option(
        "--lora/--no-lora",
        "--enable-lora/--no-enable-lora",
        help="With LoRA, or without; neither flag: both, side by side.",
    )
    max_lora_rank: int | None = option(
        "--max-lora-rank", metavar="N", help="Largest adapter rank.", limit=SIZES
    )


class MachineOptions(OptionGroup):
    """Machine to ask about (default: this one)"""

    gpu: str | None = option(
        "--gpu", metavar="NAME", help="Simulate a product: h100, b200, mi300x, ..."
    )
    capability: str | None = option(
        "--capability", metavar="X.Y", help="Simulate a CUDA compute capability."
    )
    platform: str | None = option(
        "--platform",
        metavar="|".join(PLATFORMS),
        help="Simulate a platform.",
        limit=OneOf(PLATFORMS),
    )
    arch: str | None = option(
        "--arch", metavar="GFX", help="Simulate a ROCm architecture: gfx942, ..."
    )
    snapshot: str | None = option(
        "--snapshot", metavar="FILE", help="A machine saved by moe-doctor env --format json."
    )
    with_packages: tuple[str, ...] = _with_packages()
    without_packages: tuple[str, ...] = _without_packages()
    env: tuple[str, ...] = _variables()


class ModelOptions(OptionGroup):
    """Model"""

    revision: str | None = option(
        "--revision", metavar="REV", help="Branch, tag or commit on the hub."
    )
    speculative_config: str | None = option(
        "--speculative-config",
        metavar="JSON",
        help='{"method": "mtp", "num_speculative_tokens": 1}: ask about the experts of the '
        "checkpoint's own draft as well.",
    )
    hf_overrides: str | None = option(
        "--hf-overrides", metavar="JSON", help="Keys laid over config.json before it is read."
    )
    offline: bool = option(
        "--offline", default=False, help="Never touch the network (also HF_HUB_OFFLINE=1)."
    )


class LevelOptions(OptionGroup):
    """Depth and cost"""

    level: int = option(
        "--level",
        default=3,
        metavar="1..4",
        help="1: config and files, under a second, no torch. 2: + probe and oracle, the same. "
        "3: + a tiny forward of every chosen backend, seconds. "
        "4: + every accepted backend, all shapes, minutes.",
        limit=Within(*LIMITS["level"]),
    )


class BackendOptions(OptionGroup):
    """What to prove"""

    backend: tuple[str, ...] = option(
        "--backend",
        metavar="NAME|all",
        help="Backend to prove, as --moe-backend spells it; repeatable.",
    )


class ProofOptions(OptionGroup):
    """Proof"""

    timeout: float = option(
        "--timeout",
        default=120.0,
        metavar="SECONDS",
        help="Deadline of each proof.",
        limit=Within(*LIMITS["timeout_s"]),
    )
    build: bool = option(
        "--build",
        default=False,
        help="Compile a missing kernel library first; without it the proof says what that takes.",
    )
    require_proof: bool = option(
        "--require-proof", default=False, help="Exit 3 unless every proof passed on a real GPU."
    )


class ReportOptions(OptionGroup):
    """Report"""

    format: str = option(
        "--format",
        default="text",
        metavar="|".join(FORMATS),
        help="How the report is written.",
        limit=OneOf(FORMATS),
    )
    output: str | None = option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the report here, whole or not at all; - is stdout.",
    )
    fail_on: str = option(
        "--fail-on",
        default="error",
        metavar="|".join(FAIL_ON),
        help="Findings that make the exit code 1.",
        limit=OneOf(FAIL_ON),
    )
    quiet: bool = option(
        "--quiet", default=False, help="No progress, no notes, and only the answer in text."
    )
    verbose: bool = option(
        "--verbose", "-v", default=False, help="Every candidate, every case, every traceback."
    )


class PageOptions(OptionGroup):
    """Report"""

    format: str = option(
        "--format",
        default="text",
        metavar="|".join(PAGE_FORMATS),
        help="How the answer is written.",
        limit=OneOf(PAGE_FORMATS),
    )
    output: str | None = option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the answer here, whole or not at all; - is stdout.",
    )
    quiet: bool = option("--quiet", default=False, help="No progress, and only the answer in text.")
    verbose: bool = option("--verbose", "-v", default=False, help="Every class, every traceback.")


class RuleTarget(OptionGroup):
    """Arguments"""

    code: str | None = argument(
        "CODE",
        help="A code such as MOE412, a rule's name, a --moe-backend value or a kernel's class; "
        "without it, all of them.",
    )
