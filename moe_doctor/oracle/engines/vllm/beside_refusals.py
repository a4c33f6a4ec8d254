"""What the MLPs beside the routed experts raise while their weights are made, before the experts.

Shared experts, dense layers and a vision tower are quantized as well, and their shards have to fit
the blocks. Sources: validate_fp8_block_shape (quantization/utils/fp8_utils.py), online/mxfp8.py,
online/mxfp4.py, linear.py, releases 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from functools import lru_cache

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.kept import Kept
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.release import Release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import ModelSpec, QuantSpec
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal

# Files whose MoE block makes its shared experts before the routed ones.
_SHARED_FIRST = frozenset(
    {
        "AXK1.py",
        "deepseek_v2.py",
        "deepseek_v4.py",
        "dots1.py",
        "exaone_moe.py",
        "glm4_moe.py",
        "kimi_linear.py",
        "qwen2_moe.py",
        "qwen3_next.py",
        "models/deepseek_v4/nvidia/model.py",
    }
)
# Files that leave shared experts out where n_shared_experts is absent, not where it is 0.
_BUILDS_NONE = frozenset(
    {
        "AXK1.py",
        "deepseek_v2.py",
        "deepseek_v4.py",
        "dots1.py",
        "glm4_moe.py",
        "models/deepseek_v4/nvidia/model.py",
    }
)
# Files with a dense MLP in every layer, before the experts.
_DENSE_EVERYWHERE = frozenset({"gemma4.py"})
# Files whose layers without experts are plain MLPs of `intermediate_size`.
_DENSE_FIRST = _SHARED_FIRST - {"qwen3_next.py"} | {"qwen3_moe.py", "mimo_v2_flash.py"}
_MX = {"Mxfp8OnlineMoEMethod": "MXFP8", "Mxfp4OnlineMoEMethod": "MXFP4"}
_MX_UNIT = 32
# Under --quantization humming linear layers are Humming's too, and pad what fills no whole blocks.
_PADS = "HummingMoEMethod"
# Wrappers on the tower of qwen3_vl.py, whose second projection is shared among the ranks.
_QWEN_TOWERS = frozenset(
    {"Qwen3VLMoeForConditionalGeneration", "Qwen3_5MoeForConditionalGeneration"}
)
# An ignore list has thousands of entries at times, and every layer is asked.
_BLOCKS: Kept[tuple[int | None]] = Kept(256)
_BLOCK_METHODS = frozenset({"fp8", "deepseek_v4_fp8"})
# From then on DeepSeek-V4 rounds its shared experts up to whole blocks on every rank.
_V4 = frozenset({"deepseek_v4.py", "models/deepseek_v4/nvidia/model.py"})
_V4_PADS: Release = (0, 24, 0)


def refuse_beside(
    model: ModelSpec,
    index: int,
    source: str,
    method: str,
    query: MoEQuery,
    deployment: Deployment,
    release: Release,
) -> EngineRefusal | None:
    """What a layer's other MLPs raise; `source` is its row's, `method` the experts' class."""
    ranks = deployment.tensor_parallel_size
    if method in _MX and model.architecture in _QWEN_TOWERS:
        refused = _refuse_tower(model, _MX[method], deployment.tower_ranks)
        if refused is not None:
            return refused
    if ranks == 1 or query.parallel.sp_size > 1:
        return None
    file = _file(source)
    if not file:
        return None
    widths = _widths(model, index, file)
    block = None if model.declared is None or method == _PADS else _block(model.declared)
    if block is None:
        return _refuse_uneven(widths, ranks)
    if model.beside.shared_width == 0 and file in _BUILDS_NONE:
        error = EngineError("ZeroDivisionError", "integer division or modulo by zero")
        reason = "n_shared_experts is 0, and this class builds shared experts without a width"
        return EngineRefusal("model", error, f"{reason}; leave the key out")
    if file in _V4 and release >= _V4_PADS:
        return None
    for width in widths:
        refused = _refuse_uneven([width], ranks)
        if refused is None and width // ranks % block:
            refused = _refuse_block(width // ranks, block)
        if refused is not None:
            return refused
    return None


@lru_cache(maxsize=256)
def _file(source: str) -> str:
    """The file of a row as the sets above name it; empty where none of them does."""
    place = source.partition(" ")[0]
    file = place if place in _SHARED_FIRST else place.rpartition("/")[2]
    return file if file in _SHARED_FIRST | _DENSE_FIRST | _DENSE_EVERYWHERE else ""


def _refuse_uneven(widths: list[int], ranks: int) -> EngineRefusal | None:
    """MergedColumnParallelLinear's assertion, which has no text."""
    uneven = next((width for width in widths if width % ranks), None)
    if uneven is None:
        return None
    reason = f"a shared expert's or dense layer's {uneven} columns do not divide by {ranks} ranks"
    return EngineRefusal("model", EngineError("AssertionError", ""), reason)


def _refuse_tower(model: ModelSpec, name: str, ranks: int) -> EngineRefusal | None:
    width = model.beside.vision_width
    if width is None or width % ranks or width // ranks % _MX_UNIT == 0:
        return None
    text = (
        f"{name} requires input_size_per_partition ({width // ranks}) to be divisible by "
        f"{_MX_UNIT}."
    )
    reason = (
        f"the vision tower's MLPs are {width} wide, which leaves no whole blocks of {_MX_UNIT} "
        f"on each of {ranks} ranks"
    )
    return EngineRefusal("model", EngineError("ValueError", text), reason)


def _block(declared: QuantSpec) -> int | None:
    """Columns of a block of an FP8 checkpoint; None where no MLP is surely stored in blocks."""
    if declared.method not in _BLOCK_METHODS:
        return None
    known = _BLOCKS.find(declared, None) or _BLOCKS.keep(declared, None, (_read_block(declared),))
    return known[0]


def _read_block(declared: QuantSpec) -> int | None:
    block = declared.details.get("weight_block_size")
    if not isinstance(block, (list, tuple)) or len(block) != 2 or not isinstance(block[1], int):
        return None
    if any(entry.endswith("mlp") or "shared_expert" in entry for entry in declared.ignore):
        return None
    return block[1] if block[1] > 0 else None


def _widths(model: ModelSpec, index: int, file: str) -> list[int]:
    """MLPs that the decoder makes before this layer's experts, in that order."""
    beside, kind = model.beside, model.moe_layers[index]
    found = []
    dense = file in _DENSE_FIRST and model.moe_layers[0].first_layer > 0
    if beside.dense_width is not None and (dense or file in _DENSE_EVERYWHERE):
        found.append(beside.dense_width)
    shared = beside.shared_width
    if shared and kind.spec.num_shared_experts and file in _SHARED_FIRST:
        found.append(shared)
    return found


def _refuse_block(width: int, block: int) -> EngineRefusal:
    text = (
        f"Weight input_size_per_partition = {width} is not divisible by weight quantization "
        f"block_k = {block}."
    )
    reason = (
        f"a shared expert's or dense layer's shard is {width} wide and quantization blocks are "
        f"{block} wide; pass a smaller --tp"
    )
    return EngineRefusal("model", EngineError("ValueError", text), reason)
