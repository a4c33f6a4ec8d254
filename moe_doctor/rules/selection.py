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
    "The release asks no oracle for these quantized experts, or the tables do not know how.",
    "Each quantization scheme has a method and, in most releases, an oracle of its own. Some "
    "methods fix their kernel by themselves; an answer for a scheme that is not in the tables "
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
    "Change what the message speaks of: the release, an option, or the checkpoint.",
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
NO_CLASS = Rule(
    "MOE407",
    "dies-while-loading",
    Severity.ERROR,
    "No kernel of the chosen backend fits, and the engine finds out once the weights are loaded.",
    "Humming's oracle goes on without a class where none takes the layer; an assertion without a "
    "text then ends the server while it converts the weights, minutes after the start.",
    "Choose another backend or quantization; the trace names what each class needs.",
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

UPGRADE_BREAKS = Rule(
    "MOE421",
    "upgrade-breaks",
    Severity.ERROR,
    "What works on the first release fails on the second.",
    "A release may drop an option value, refuse a deployment, or choose a kernel whose constructor "
    "raises later. The old answer was an answer; the new one is an exception or wrong numbers.",
    "Change what the message names before you move, or stay on the first release.",
)
UPGRADE_CHANGES_BACKEND = Rule(
    "MOE422",
    "upgrade-changes-backend",
    Severity.WARNING,
    "The two releases run the layers on different backends.",
    "Priorities and conditions of backends change from release to release, without a line in the "
    "log. Another kernel has another speed, other rounding and other defects.",
    "Measure both on your own GPU, or name the backend with --moe-backend.",
    links=("https://github.com/vllm-project/vllm/pull/44220",),
)
UPGRADE_DROPS_VARIABLE = Rule(
    "MOE423",
    "upgrade-drops-variable",
    Severity.WARNING,
    "A variable that is set is read by the first release and not by the second.",
    "The variables that chose MoE backends went in 0.24.0. A release that does not know one goes "
    "on with its default.",
    "Use --moe-backend, which names the backend in every release from 0.17.0 on.",
    links=("https://github.com/vllm-project/vllm/pull/43148",),
)
UPGRADE_REPAIRS = Rule(
    "MOE424",
    "upgrade-repairs",
    Severity.INFO,
    "What fails on the first release works on the second.",
    "The second release chooses a backend where the first raises.",
    "",
)
BOTH_FAIL = Rule(
    "MOE425",
    "both-releases-fail",
    Severity.INFO,
    "Neither release can serve this model like this.",
    "There is no working deployment to compare with, so nothing can break.",
    "moe-doctor check says what each release needs.",
)
UPGRADE_NOT_JUDGED = Rule(
    "MOE426",
    "upgrade-not-judged",
    Severity.INFO,
    "The tables do not answer for these layers in one release or in both.",
    "A comparison with an answer that nobody has would be a guess.",
    "",
)
UPGRADE_CHANGES_CLASS = Rule(
    "MOE427",
    "upgrade-changes-class",
    Severity.INFO,
    "The backend stays; the class behind it is another one.",
    "Classes are renamed, split and replaced. The conditions may differ while the backend that the "
    "engine logs has the same name.",
    "",
)

RULES = (
    ENGINE_REFUSES,
    NOT_COVERED,
    EXPLICIT_IGNORED,
    EXPLICIT_PASSED,
    REFUSED_EARLY,
    ASSUMED_LAYER,
    NO_CLASS,
    LORA_CHANGES_BACKEND,
    UPGRADE_BREAKS,
    UPGRADE_CHANGES_BACKEND,
    UPGRADE_DROPS_VARIABLE,
    UPGRADE_REPAIRS,
    BOTH_FAIL,
    UPGRADE_NOT_JUDGED,
    UPGRADE_CHANGES_CLASS,
)
