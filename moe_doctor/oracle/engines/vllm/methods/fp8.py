"""The `fp8` method: per-tensor and block checkpoints, and weights quantized while they load.

Sources: quantization/fp8.py, quantization/online/fp8.py, fused_moe/oracle/fp8.py
(refine_fp8_moe_block_shape, pad_tp_shard_to_weight_blocks), 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from math import gcd

from moe_doctor.core.query import MoEQuery
from moe_doctor.oracle.engines.vllm.layer_options import normalize_moe_backend
from moe_doctor.oracle.engines.vllm.methods import online
from moe_doctor.oracle.engines.vllm.methods.declared import Declared
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    Afterwards,
    NoOracle,
    OracleCall,
    refused_by_method,
    refused_by_vllm_config,
    refused_later,
)
from moe_doctor.oracle.engines.vllm.methods.question import Question

BLOCK = "kFp8Static128BlockSym"
_REFINED = (0, 29, 0)
_PADDED = (0, 31, 0)
# Options whose shards are padded to whole blocks (map_fp8_backend knows no others and raises in
# the oracle's words). Triton is not among them: it takes finer scales instead.
_PADS = (
    "deep_gemm",
    "cutlass",
    "flashinfer_trtllm",
    "flashinfer_cutlass",
    "marlin",
    "humming",
    "aiter",
    "hpc",
)


def build(question: Question, declared: Declared) -> OracleCall | NoOracle:
    """Fp8Config.from_config and get_quant_method."""
    if question.quantization is None:
        return online.build_fp8(question)
    raw = declared.settings
    check_config(declared)
    if raw.get("store_dtype") == "mxfp4" and question.release >= (0, 24, 0):
        return question.ask("deepseek_v4_mxfp4", "Mxfp4MoEMethod")
    block = raw.get("weight_block_size")
    if block is not None:
        return ask_for_blocks(question, (int(block[0]), int(block[1])))
    if raw["activation_scheme"] == "static":
        inputs = "kFp8StaticTensorSym"
    elif question.batch_invariant and question.release >= (0, 33, 0):
        inputs = "kFp8DynamicTokenSym"
    else:
        inputs = "kFp8DynamicTensorSym"
    return question.ask("fp8", "Fp8MoEMethod", "kFp8StaticTensorSym", inputs)


def check_config(declared: Declared) -> None:
    """What Fp8Config raises about its settings."""
    raw = declared.settings
    scheme, block = raw.get("activation_scheme"), raw.get("weight_block_size")
    if "activation_scheme" not in raw:
        raise refused_by_vllm_config(
            "Cannot find any of ['activation_scheme'] in the model's quantization config.",
            "quantization_config of an fp8 checkpoint names its activation_scheme",
        )
    if scheme not in ("static", "dynamic"):
        raise refused_by_vllm_config(
            f"Unsupported activation scheme {scheme}", "activation_scheme is static or dynamic"
        )
    if block is None:
        return
    if len(block) != 2:
        raise refused_by_vllm_config(
            "The quantization block size of weight must have 2 dimensions, but got "
            f"{len(block)} dimensions",
            f"weight_block_size is {list(block)}; expected rows and columns",
        )
    if scheme != "dynamic":
        raise refused_by_vllm_config(
            "The block-wise quantization only supports dynamic activation scheme for now, but got "
            f"{scheme} activation scheme.",
            "scales per block go with inputs that are quantized while serving",
        )


def ask_for_blocks(question: Question, block: tuple[int, int]) -> OracleCall:
    """Fp8MoEMethod of a block checkpoint: which scales it asks for, and for which width."""
    if min(block) < 1:
        raise ValueError(f"weight_block_size is {list(block)}; expected positive numbers")
    query, release = question.query, question.release
    fine, key = _refined(query, block), block_key(block)
    if (fine is not None or key != BLOCK) and release < _REFINED:
        late = late_block_refusal(question, block)
        return question.ask("fp8", "Fp8MoEMethod", BLOCK, "kFp8Dynamic128Sym", afterwards=late)
    explicit = normalize_moe_backend(question.deployment.moe_backend)
    padded = None
    if (explicit in _PADS or (explicit == "triton" and fine is None)) and release >= _PADDED:
        padded = _padded(question, block)
    if padded is not None:
        return question.ask("fp8", "Fp8MoEMethod", key, "kFp8Dynamic128Sym", query=padded)
    if fine is not None:
        return question.ask("fp8", "Fp8MoEMethod", block_key((fine, fine)), "kFp8Dynamic128Sym")
    late = late_block_refusal(question, block)
    return question.ask("fp8", "Fp8MoEMethod", key, "kFp8Dynamic128Sym", afterwards=late)


def block_key(block: tuple[int, int]) -> str:
    """Name of the key of static weights with scales per block, as vLLM prints unnamed ones."""
    if block == (128, 128):
        return BLOCK
    shape = f"GroupShape(row={block[0]}, col={block[1]})"
    return f"QuantKey(f8e4m3fn,scale(f32,static,{shape}),symmetric)"


def late_block_refusal(question: Question, block: tuple[int, int]) -> tuple[Afterwards, ...]:
    """What create_weights says about a shard that cuts a block, after the oracle."""
    width = question.query.intermediate_size_per_partition
    rows, columns = block
    if width % rows:
        return (
            refused_later(
                "ValueError",
                f"The output_size of gate's and up's weight = {width} is not divisible by weight "
                f"quantization block_n = {rows}.",
                _cut(width, rows),
            ),
        )
    # The size of the TP group itself, also under expert parallelism.
    if question.deployment.tensor_parallel_size > 1 and width % columns:
        return (
            refused_later(
                "ValueError",
                f"The input_size of down's weight = {width} is not divisible by weight "
                f"quantization block_k = {columns}.",
                _cut(width, columns),
            ),
        )
    return ()


def _refined(query: MoEQuery, block: tuple[int, int]) -> int | None:
    width = query.intermediate_size_per_partition
    whole = width % block[0] == 0
    if whole and (query.parallel.tp_size == 1 or width % block[1] == 0):
        return None
    finest = gcd(*block, width, query.hidden_size)
    return finest if finest >= 32 else None


def _padded(question: Question, block: tuple[int, int]) -> MoEQuery | None:
    """The question with each rank's shard rounded up to whole blocks; None where none is cut."""
    query = question.query
    tensor, width = query.parallel.tp_size, query.intermediate_size_per_partition
    unit = block[0]
    if unit != block[1] or tensor == 1 or width % unit == 0:
        return None
    uneven = width * tensor % unit or query.hidden_size % unit
    if uneven or query.parallel.ep_size != 1 or question.setting.lora or query.has_bias:
        raise refused_by_method(
            "ValueError",
            f"Block-aligned FP8 TP sharding requires {unit}-aligned global expert dimensions, "
            "pure TP, and no LoRA or expert bias.",
            f"an expert's shard is {width} wide and blocks are {unit} wide; leave --moe-backend "
            "away or pass a smaller --tp",
        )
    return query._replace(intermediate_size_per_partition=-(-width // unit) * unit)


def _cut(width: int, unit: int) -> str:
    return (
        f"an expert's shard is {width} wide and quantization blocks are {unit} wide; pass a "
        "smaller --tp or --enable-expert-parallel"
    )
