"""4xx selection."""

from __future__ import annotations

from moe_doctor.core.findings import Severity
from moe_doctor.rules.rule import Rule

ENGINE_REFUSES = Rule(
    "MOE401",
    "engine-refuses",
    Severity.ERROR,
    "The engine raises instead of choosing a backend.",
    "Every candidate was rejected, or an explicit backend cannot take the deployment. The engine "
    "keeps the reasons at DEBUG; the report's trace has them all.",
    "Change what the trace names first.",
    links=("https://github.com/vllm-project/vllm/issues/35065",),
)
NOT_COVERED = Rule(
    "MOE402",
    "scheme-not-covered",
    Severity.INFO,
    "The experts are quantized; these tables hold the unquantized oracle only.",
    "Each quantization scheme has an oracle of its own. An answer for one that is not in the "
    "tables "
    "would be a guess, so none is given.",
    "",
)
EXPLICIT_IGNORED = Rule(
    "MOE403",
    "moe-backend-ignored",
    Severity.WARNING,
    "With LoRA the release returns before it reads --moe-backend.",
    "From 0.20.0 on the unquantized oracle answers for LoRA first (PR 40273). An explicit "
    "backend is "
    "neither used nor refused, and nothing is logged about it.",
    "Leave --moe-backend out, or turn LoRA off.",
    links=("https://github.com/vllm-project/vllm/pull/40273",),
)
EXPLICIT_PASSED = Rule(
    "MOE404",
    "moe-backend-is-for-quantized-layers",
    Severity.INFO,
    "The explicit backend concerns quantized layers only; unquantized ones choose as with auto.",
    "humming (from 0.25.0) and marlin (from 0.33.0) are passed through so that one option can "
    "serve "
    "a model with both kinds of layers.",
    "",
)
REFUSED_EARLY = Rule(
    "MOE405",
    "engine-refuses-model",
    Severity.ERROR,
    "The release refuses the model or the deployment before any backend is chosen.",
    "The architecture may be newer than the release, an option may not exist yet, or a size does "
    "not divide.",
    "Use the release that the message names, or change the option.",
)
ASSUMED_LAYER = Rule(
    "MOE406",
    "architecture-not-in-tables",
    Severity.WARNING,
    "How this release builds the model's MoE layers is not in the tables; general rules were used.",
    "vLLM's model class decides routing method, activation and router dtype. For a class that the "
    "tables lack, the answer follows from the config alone.",
    "Check the engine's log line against the report after the first start.",
)
LORA_CHANGES_BACKEND = Rule(
    "MOE412",
    "lora-changes-backend",
    Severity.WARNING,
    "With LoRA the layers run on another kernel than without.",
    "Kernels differ in speed and rounding. A server with --enable-lora pays the difference on "
    "every "
    "request, also on those without an adapter.",
    "Start LoRA servers only where adapters are served; measure both on your own GPU.",
)

RULES = (
    ENGINE_REFUSES,
    NOT_COVERED,
    EXPLICIT_IGNORED,
    EXPLICIT_PASSED,
    REFUSED_EARLY,
    ASSUMED_LAYER,
    LORA_CHANGES_BACKEND,
)
