"""Weights that are quantized while they load: `--quantization` on an unquantized checkpoint.

Sources: quantization/online/*.py, quantization/fp8.py, mxfp8.py, experts_int8.py,
config/quantization.py (_ONLINE_SHORTHANDS), 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.methods.names import knows_method
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    Afterwards,
    NoOracle,
    OracleCall,
    by_linear,
    refused_by_method,
    refused_by_vllm_config,
    refused_later,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

_TENSOR = ("kFp8StaticTensorSym", "kFp8DynamicTensorSym")
_INT8 = ("kInt8StaticChannelSym", "kInt8DynamicTokenSym")
# Backends that would drop the scales per output channel or fold them into one.
_NO_CHANNEL_SCALES = ("MARLIN", "CPU", "CPU_W8A8", "FLASHINFER_CUTLASS", "FLASHINFER_TRTLLM")
_MARLIN_LAST: Release = (0, 29, 0)
_ASKS_CUTLASS: Release = (0, 31, 0)
SHORTHANDS = (
    "fp8_per_tensor",
    "fp8_per_block",
    "fp8_per_channel",
    "int8_per_channel_weight_only",
    "mxfp8",
    "mxfp4",
    "nvfp4_per_token",
)


def build(question: Question, name: str) -> OracleCall | NoOracle:
    """OnlineQuantizationConfig.get_quant_method for one of its shorthands."""
    match name:
        case "fp8_per_tensor":
            return _per_tensor(question, "Fp8PerTensorOnlineMoEMethod")
        case "fp8_per_block":
            keys = ("kFp8Static128BlockSym", "kFp8Dynamic128Sym")
            return question.ask("fp8", "Fp8PerBlockOnlineMoEMethod", *keys)
        case "fp8_per_channel":
            return _per_channel(question)
        case "int8_per_channel_weight_only":
            return question.ask("int8", "Int8OnlineMoEMethod", *_INT8)
        case "mxfp8":
            return _mxfp8(question)
        case "mxfp4":
            return question.ask("mxfp4", "Mxfp4OnlineMoEMethod", None, "kMxfp4Dynamic")
        case "nvfp4_per_token":
            return _nvfp4(question)
        case _:
            return NoOracle("", f"the tables do not know what --quantization {name} builds")


def is_shorthand(name: str | None, release: Release) -> bool:
    """Whether `--quantization NAME` quantizes what the checkpoint stores, whatever that is.

    From 0.22.0 on mxfp8, and later mxfp4, are names of checkpoints too and leave those alone.
    """
    first = (0, 28, 0) if name == "mxfp4" else (0, 20, 0)
    if name not in SHORTHANDS or not knows_method(name, release) or release < first:
        return False
    return name not in ("mxfp8", "mxfp4") or release < (0, 22, 0)


def build_over(
    question: Question, name: str, built: OracleCall | NoOracle
) -> OracleCall | NoOracle:
    """A shorthand on a checkpoint that a config claims whatever the user says (ModelOpt, say).

    Refused until 0.21.0, ignored until 0.29.0, refused again until 0.31.0. Then what the checkpoint
    leaves plain is quantized, and from 0.33.0 on what it stores as well (quantization/
    base_config.py).
    """
    release, asked = question.release, question.deployment.quantization or ""
    if asked == name or not is_shorthand(asked, release) or (0, 22, 0) <= release < (0, 30, 0):
        return built
    if release < (0, 22, 0):
        raise refused_by_vllm_config(
            "Setting `quantization_config` for online quantization when the model checkpoint "
            "already has a `quantization_config` is not supported",
            f"the checkpoint is quantized already; leave --quantization {asked} away",
        )
    if release < (0, 32, 0):
        reason = f"the checkpoint is quantized already; leave --quantization {asked} away"
        text = "Cannot apply requested online quantization "
        raise by_linear(refused_by_method("ValueError", text, reason))
    if name == "inc" and asked.startswith("fp8"):
        text = "'QKVParallelLinear' object has no attribute 'weight'"
        reason = "AutoRound's linear layers have no weight that FP8 could be made of"
        raise by_linear(refused_by_method("AttributeError", text, reason))
    stored = not isinstance(built, OracleCall) or built.oracle != "unquantized"
    if stored and release < (0, 33, 0):
        reason = f"0.33.0 is the first that makes {asked} of stored experts"
        text = "Requantizing checkpoint-quantized MoE layers is not supported."
        if not isinstance(built, OracleCall):
            raise refused_by_method("NotImplementedError", text, reason)
        # The checkpoint's own method is made before, and its oracle may refuse first.
        return built._replace(afterwards=(refused_later("NotImplementedError", text, reason),))
    again = build(question._replace(quantization=None), asked)
    if stored and isinstance(built, OracleCall) and isinstance(again, OracleCall):
        return again._replace(stored=built)  # resolve_quant_method makes both methods
    return again


def build_fp8(question: Question) -> OracleCall:
    """`--quantization fp8` on an unquantized checkpoint: one scale per weight."""
    newer = question.release >= (0, 25, 0)
    return _per_tensor(question, "Fp8PerTensorOnlineMoEMethod" if newer else "Fp8OnlineMoEMethod")


def build_experts_int8(question: Question) -> OracleCall | NoOracle:
    """`--quantization experts_int8`."""
    if question.release >= (0, 20, 0):
        return question.ask("int8", "Int8OnlineMoEMethod", *_INT8)
    return NoOracle(
        "ExpertsInt8MoEMethod", "it calls Triton's fused_experts itself in this release", "TRITON"
    )


def _per_tensor(question: Question, method: str) -> OracleCall:
    weights, inputs = _TENSOR
    if question.batch_invariant and question.release >= (0, 33, 0):
        inputs = "kFp8DynamicTokenSym"
    return question.ask("fp8", method, weights, inputs)


def _per_channel(question: Question) -> OracleCall:
    keys = ("kFp8StaticChannelSym", "kFp8DynamicTokenSym")
    if _linears_on_marlin(question):
        # The linear layers are quantized alike and are built first.
        text = "FP8 PTPC online quant requires a kernel that honors per-token activation "
        text += "quantization; MarlinFP8 is W8A16 weight-only. Requires SM89+ for Cutlass FP8 or "
        text += "ROCm MI3xx for rowwise scaled_mm."
        reason = "the linear layers come to Marlin here, which quantizes no activations"
        raise refused_by_method("ValueError", text, reason)
    late = tuple(
        refused_later(
            "ValueError",
            f"FP8 PTPC online MoE quant is not supported with the {backend} backend, which does "
            "not implement per-output-channel weight scales.",
            f"{backend} has no scale per output channel",
            only=(backend,),
        )
        for backend in _NO_CHANNEL_SCALES
        if backend != "CPU_W8A8" or question.release >= (0, 31, 0)
    )
    return question.ask(
        "fp8", "Fp8PtpcOnlineMoEMethod", *keys, allow_vllm_cutlass=True, afterwards=late
    )


def _linears_on_marlin(question: Question) -> bool:
    """Whether init_fp8_linear_kernel comes to Marlin (kernels/linear/__init__.py).

    Marlin goes before CUTLASS until 0.28; from 0.29 on it goes after, and until 0.31 CUTLASS says
    yes on every GPU.
    """
    if not question.is_on("cuda") or question.batch_invariant:
        return False
    if question.setting.is_below((8, 9)):
        return question.release < _MARLIN_LAST or question.release >= _ASKS_CUTLASS
    forced = question.environment.get("VLLM_TEST_FORCE_FP8_MARLIN", "0").strip().lower()
    return forced in ("1", "true") and question.release < _MARLIN_LAST


def _mxfp8(question: Question) -> OracleCall:
    query = question.query
    late: tuple[Afterwards, ...] = ()
    if query.hidden_size % 32 or query.intermediate_size_per_partition % 32:
        sizes = f"{query.hidden_size} and {query.intermediate_size_per_partition}"
        text = "Online MXFP8 MoE requires hidden/intermediate sizes divisible by 32."
        late = (refused_later("ValueError", text, f"the sizes on a rank are {sizes}"),)
    return question.ask_for_mxfp8("Mxfp8OnlineMoEMethod", afterwards=late)


def _nvfp4(question: Question) -> OracleCall:
    if not question.setting.is_family(10) or not question.is_on("cuda"):
        raise refused_by_method(
            "ValueError",
            "nvfp4_per_token online quantization requires a Blackwell (SM100) GPU.",
            "it needs compute capability 10.x",
        )
    inputs = "kNvfp4DynamicToken" if question.release >= (0, 31, 0) else "kNvfp4Dynamic"
    return question.ask("nvfp4", "Nvfp4OnlineMoEMethod", "kNvfp4Static", inputs)
