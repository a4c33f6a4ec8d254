"""The linear layers of one decoder layer, in the order in which a model class builds them."""

from __future__ import annotations

from moe_doctor.core.release import Release
from moe_doctor.core.spec import ModelSpec, RecurrentSpec, VisionSpec
from moe_doctor.oracle.engines.vllm.linear.blocks import Block
from moe_doctor.oracle.engines.vllm.linear.layer import Linear, columns, fused, rows

_QKV = ("q_proj", "k_proj", "v_proj")
_LATENT = ("q_a_proj", "kv_a_proj_with_mqa")
_KIMI_TOWER: Release = (0, 17, 0)
# Attention that hands out a gate beside its queries.
_GATED = ("qwen3_next", "qwen3_5")
_SHARES_QUERIES = ("step3_text", "step3_vl", "step3")
_BAILING_LINEAR = ("bailing_hybrid", "bailing_moe_linear", "bailing_moe_v2_5")


def layer_linears(
    model: ModelSpec,
    block: Block,
    ranks: int,
    *,
    has_experts: bool,
    softmax: bool = True,
    shares: bool = True,
) -> list[Linear]:
    """Linear layers of a decoder layer with or without experts; `shares` = shared ones divide.

    `softmax=False` is a layer of linear attention, in a model that has both.
    """
    if block.alone:
        return _alone(model, block, ranks, has_experts, softmax, shares)
    if block.twice:
        return _twice(model, block, ranks)
    if not softmax:
        found = _delta(model, block, ranks)
    elif model.model_type in _BAILING_LINEAR:
        found = _bailing_latent(model, block.attention, ranks)
    else:
        found = _attention(model, block, ranks)
    beside, widths = model.beside, model.widths
    if block.dense and (block.dense_everywhere or not has_experts):
        found += _mlp(block, block.dense, widths.hidden, beside.dense_width, ranks)
    if not has_experts:
        return found
    if block.router:
        experts = model.moe_layers[0].spec.num_experts
        found.append(columns(block.router, widths.hidden, experts, 1))
    if block.shared and any(kind.spec.num_shared_experts for kind in model.moe_layers):
        among = ranks if shares or block.shared_divides else 1
        late = not block.shared_first
        found += _mlp(block, block.shared, widths.hidden, beside.shared_width, among, late=late)
    return found


def tower_linears(model: ModelSpec, method: str, ranks: int, release: Release) -> list[Linear]:
    """Linear layers of the vision tower's first block and of what follows the tower."""
    sizes = model.widths.vision
    if model.architecture == "KimiK25ForConditionalGeneration":
        # kimi_k25.py _maybe_ignore_quant_config; before it the tower is never quantized.
        if method == "compressed-tensors" or release < _KIMI_TOWER:
            return []
        start = "vision_tower.encoder.blocks.0"
        return [
            fused(f"{start}.wqkv", ("wqkv",), sizes.hidden, (sizes.hidden,) * 3, ranks),
            rows(f"{start}.wo", sizes.hidden, sizes.hidden, ranks),
            columns(f"{start}.mlp.fc0", sizes.hidden, sizes.mlp, ranks),
            rows(f"{start}.mlp.fc1", sizes.mlp, sizes.hidden, ranks),
        ]
    if model.architecture == "Glm4vMoeForConditionalGeneration":
        return _glm_tower(sizes, method, ranks)
    if model.architecture.startswith("Qwen3VL") or (
        model.architecture.startswith("Qwen3") and model.text_architecture
    ):
        hidden, merged = sizes.hidden, sizes.merged
        start = "visual.blocks.0"
        mergers = [f"visual.deepstack_merger_list.{number}" for number in range(sizes.deep)]
        found = []
        for merger in ("visual.merger", *mergers):
            found.append(columns(f"{merger}.linear_fc1", merged, merged, ranks))
            found.append(rows(f"{merger}.linear_fc2", merged, sizes.out, ranks))
        return [
            *found,
            fused(f"{start}.attn.qkv", ("qkv",), hidden, (hidden,) * 3, ranks),
            rows(f"{start}.attn.proj", hidden, hidden, ranks),
            columns(f"{start}.mlp.linear_fc1", hidden, sizes.mlp, ranks),
            rows(f"{start}.mlp.linear_fc2", sizes.mlp, hidden, ranks),
        ]
    return []


def _glm_tower(sizes: VisionSpec, method: str, ranks: int) -> list[Linear]:
    """glm4_1v.py: blocks as wide inside as the tower's output, a merger as wide as they should be.

    For compressed-tensors alone a block's first layer has the name that checkpoints' lists expect.
    """
    hidden, out = sizes.hidden, sizes.out
    start, merger = "visual.blocks.0", "visual.merger"
    named = ("qkv_proj", _QKV) if method == "compressed-tensors" else ("qkv", ("qkv",))
    pair = ("gate_proj", "up_proj")
    return [
        fused(f"{start}.attn.{named[0]}", named[1], hidden, (hidden,) * 3, ranks),
        rows(f"{start}.attn.proj", hidden, hidden, ranks),
        fused(f"{start}.mlp.gate_up_proj", pair, hidden, (out, out), ranks),
        rows(f"{start}.mlp.down_proj", out, hidden, ranks),
        columns(f"{merger}.proj", out, out, ranks),
        fused(f"{merger}.gate_up_proj", pair, out, (sizes.mlp, sizes.mlp), ranks),
        rows(f"{merger}.down_proj", sizes.mlp, out, ranks),
    ]


def _attention(model: ModelSpec, block: Block, ranks: int) -> list[Linear]:
    widths, start = model.widths, block.attention
    if model.attention.latent and widths.key_rank is not None:
        return _latent(model, start, ranks)
    if not block.qkv or model.architecture == "DeepseekForCausalLM":
        return []  # DeepSeek V1 builds its attention without names
    heads, head = model.attention.heads, widths.head
    if model.model_type in _SHARES_QUERIES:
        return _shared_queries(model, start, ranks)
    if heads is None or head is None or block.varies:
        sizes: tuple[int | None, ...] = (None, None, None)
        inner = None
    else:
        groups = model.attention.kv_heads or heads
        inner = heads * head
        gated = model.model_type.startswith(_GATED) and widths.gates_output
        value = widths.value or head
        # Too few key heads are repeated, one per rank.
        sizes = (inner * (2 if gated else 1), *(max(groups, ranks) * one for one in (head, value)))
        inner = heads * value
    shards = _QKV if block.splits_qkv else (block.qkv,)
    found = [
        fused(f"{start}.{block.qkv}", shards, widths.hidden, sizes, ranks),
        rows(f"{start}.{block.out}", inner, widths.hidden, ranks),
    ]
    if block.head_gate and widths.gates_heads:
        found.append(columns(f"{start}.{block.head_gate}", widths.hidden, heads, ranks))
    return found


def _shared_queries(model: ModelSpec, start: str, ranks: int) -> list[Linear]:
    """Step-3 (step3_text.py): one key and value head, queries by way of a smaller width."""
    widths, heads = model.widths, model.attention.heads or 0
    head = widths.head or 0
    shared = widths.query_rank or head
    return [
        columns(f"{start}.qkv_proj", widths.hidden, shared + 2 * head, 1),
        rows(f"{start}.o_proj", heads * head, widths.hidden, ranks),
        columns(f"{start}.wq", shared, heads * head, ranks),
    ]


def _latent(model: ModelSpec, start: str, ranks: int) -> list[Linear]:
    """Multi-head latent attention (deepseek_v2.py): the first projections are not divided."""
    widths, heads = model.widths, model.attention.heads or 0
    head, value, rotated = widths.head or 0, widths.value or 0, widths.rotated or 0
    key = (widths.key_rank or 0) + rotated
    whole = heads * (head + rotated)
    if widths.query_rank is None:
        found = [
            columns(f"{start}.kv_a_proj_with_mqa", widths.hidden, key, 1),
            columns(f"{start}.q_proj", widths.hidden, whole, ranks),
        ]
    else:
        rank = widths.query_rank
        found = [
            fused(f"{start}.fused_qkv_a_proj", _LATENT, widths.hidden, (rank, key), 1),
            columns(f"{start}.q_b_proj", rank, whole, ranks),
        ]
    found.append(columns(f"{start}.kv_b_proj", widths.key_rank, heads * (head + value), ranks))
    found.append(rows(f"{start}.o_proj", heads * value, widths.hidden, ranks))
    return found


def _delta(model: ModelSpec, block: Block, ranks: int) -> list[Linear]:
    """Gated delta net (qwen3_next.py, qwen3_5.py), or what a hybrid has in its place."""
    sizes, hidden = model.attention.recurrent, model.widths.hidden
    if model.model_type in _BAILING_LINEAR:
        return _bailing_linear(model, block.delta, ranks)
    if sizes is None or not sizes.groups:
        return []  # LFM2's convolutions stay plain
    if sizes.repeats_groups:
        return _mamba(block, hidden, sizes, ranks)
    if model.model_type == "kimi_linear":
        return _kimi_delta(block, hidden, sizes, ranks)
    keys, values = sizes.groups * sizes.group_size, sizes.heads * sizes.head_size
    split = model.model_type.startswith("qwen3_5")
    first = ("in_proj_qkv", "in_proj_z") if split else ("in_proj_qkvz",)
    second = ("in_proj_b", "in_proj_a") if split else ("in_proj_ba",)
    whole = (keys, keys, values, values) if split else (2 * keys + 2 * values,)
    gates = (sizes.heads,) * 2 if split or block.splits_gates else (2 * sizes.heads,)
    start = block.delta
    return [
        fused(f"{start}.in_proj_qkvz", first, hidden, whole, ranks),
        fused(f"{start}.in_proj_ba", second, hidden, gates, ranks),
        rows(f"{start}.out_proj", values, hidden, ranks),
    ]


def _kimi_delta(block: Block, hidden: int | None, sizes: RecurrentSpec, ranks: int) -> list[Linear]:
    """Kimi Delta Attention (kda.py, from 0.19 on kimi_gdn_linear_attn.py)."""
    start, head, whole = block.delta, sizes.head_size, sizes.heads * sizes.head_size
    second = columns(f"{start}.f_b_proj", head, whole, ranks)
    last = [
        columns(f"{start}.g_a_proj", hidden, head, 1),
        columns(f"{start}.g_b_proj", head, whole, ranks),
        rows(f"{start}.o_proj", whole, hidden, ranks),
    ]
    if block.merges_delta:
        # Every rank has the whole of the last part.
        parts = (whole, whole, whole, sizes.heads, head * ranks)
        merged = (*_QKV, "b_proj", "f_a_proj")
        path = f"{start}.in_proj_qkvgfab"
        return [fused(path, merged, hidden, parts, ranks), second, *last]
    return [
        *(columns(f"{start}.{one}", hidden, whole, ranks) for one in _QKV),
        columns(f"{start}.f_a_proj", hidden, head, 1),
        second,
        columns(f"{start}.b_proj", hidden, sizes.heads, ranks),
        *last,
    ]


def _mamba(block: Block, hidden: int | None, sizes: RecurrentSpec, ranks: int) -> list[Linear]:
    """Mamba 2 (mamba_mixer2.py); too few groups are repeated, one per rank."""
    inner, odd = sizes.heads * sizes.head_size, sizes.groups % ranks != 0
    groups = (ranks if odd else sizes.groups) * sizes.group_size
    parts = (inner, inner, groups, groups, sizes.heads)
    path = f"{block.delta}.in_proj"
    if odd or not block.merges_state:
        first = columns(path, hidden, sum(parts), ranks)._replace(reads_weight=True)
    else:
        first = fused(path, ("in_proj",), hidden, parts, ranks)
    return [first, rows(f"{block.delta}.out_proj", inner, hidden, ranks)]


def _bailing_latent(model: ModelSpec, start: str, ranks: int) -> list[Linear]:
    """Latent attention of Ling 2.5 (bailing_moe_linear.py), which does not say what it fuses."""
    made = [linear._replace(shards=(linear.path,)) for linear in _latent(model, start, ranks)]
    return [*made[-2:], *made[:-2]]


def _bailing_linear(model: ModelSpec, start: str, ranks: int) -> list[Linear]:
    """Its linear attention, with as many keys as queries."""
    hidden, heads, head = model.widths.hidden, model.attention.heads, model.widths.head
    inner = heads * head if heads and head else None
    return [
        fused(f"{start}.query_key_value", ("query_key_value",), hidden, (inner,) * 3, ranks),
        columns(f"{start}.g_proj", hidden, inner, ranks),
        rows(f"{start}.dense", inner, hidden, ranks),
    ]


def _alone(
    model: ModelSpec, block: Block, ranks: int, has_experts: bool, softmax: bool, shares: bool
) -> list[Linear]:
    """A layer of Nemotron-H (nemotron_h.py): shared experts without a gate, a latent width."""
    hidden, state = model.widths.hidden, model.attention.recurrent
    if not has_experts and softmax:
        return _attention(model, block, ranks)
    if not has_experts:
        return [] if state is None else _mamba(block, hidden, state, ranks)
    spec, width = model.moe_layers[0].spec, model.beside.shared_width
    found = []
    if spec.num_shared_experts:
        among = ranks if shares else 1
        found.append(columns(f"{block.shared}.up_proj", hidden, width, among))
        found.append(rows(f"{block.shared}.down_proj", width, hidden, among))
    if spec.hidden_size != hidden:
        found.append(columns(f"{block.attention}.fc1_latent_proj", hidden, spec.hidden_size, 1))
        found.append(columns(f"{block.attention}.fc2_latent_proj", spec.hidden_size, hidden, 1))
    return found


def _twice(model: ModelSpec, block: Block, ranks: int) -> list[Linear]:
    """A layer of LongCat (longcat_flash.py), which does not say what it fuses in attention."""
    found = [
        linear._replace(shards=(linear.path,))
        for number in (0, 1)
        for linear in _latent(model, f"{block.attention}.{number}", ranks)
    ]
    width, hidden = model.beside.dense_width, model.widths.hidden
    for number in (0, 1):
        found += _mlp(block, f"{block.dense}.{number}", hidden, width, ranks)
    return found


def _mlp(
    block: Block,
    path: str,
    hidden: int | None,
    width: int | None,
    ranks: int,
    *,
    late: bool = False,
) -> list[Linear]:
    last = rows(f"{path}.{block.down}", width, hidden, ranks, late=late)
    if not block.gate_up:
        first = (f"{path}.{block.gate}", f"{path}.{block.up}")
        return [*(columns(one, hidden, width, ranks, late=late) for one in first), last]
    shards = (block.gate,) if block.gate == block.gate_up else (block.gate, block.up)
    whole = fused(f"{path}.{block.gate_up}", shards, hidden, (width, width), ranks, late=late)
    return [whole, last]
