"""The front door: what a model's linear layers raise before or after its experts are built.

Lists are read once for a model and an era of releases; the shapes of what they leave quantized are
judged once for each way to divide the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.eras import AlikeByEra, ByEra
from moe_doctor.core.kept import Kept
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.release import Release, span
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.expert_modules import NESTED, PLAIN
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.linear.blocks import Block, block_of
from moe_doctor.oracle.engines.vllm.linear.body import layer_linears, tower_linears
from moe_doctor.oracle.engines.vllm.linear.layer import Linear
from moe_doctor.oracle.engines.vllm.linear.platforms import ANYWHERE, refuse_platform
from moe_doctor.oracle.engines.vllm.linear.readers import named_layers, reader_of
from moe_doctor.oracle.engines.vllm.linear.renamed import rename_entries
from moe_doctor.oracle.engines.vllm.linear.shapes import (
    refuse_online_shape,
    refuse_packed,
    refuse_shape,
)
from moe_doctor.oracle.engines.vllm.linear.stored import QUARK, Place, Stored
from moe_doctor.oracle.engines.vllm.methods.compressed_linear import refuse_linear
from moe_doctor.oracle.engines.vllm.methods.declared import read_declared
from moe_doctor.oracle.engines.vllm.methods.names import registered_name
from moe_doctor.oracle.engines.vllm.methods.outcome import MethodRefused, by_linear
from moe_doctor.oracle.engines.vllm.methods.quark_sides import quark_settings
from moe_doctor.oracle.engines.vllm.methods.quark_sides import refuse_linear as refuse_quark
from moe_doctor.oracle.engines.vllm.methods.question import Question
from moe_doctor.oracle.engines.vllm.setting import Setting

_TOWER = ("", "model.")
# qwen3_vl.py: the tower's projection of all three stands in packed_modules_mapping as its own part.
_TOWER_QKV = "qkv"
# Kinds of decoder layers -> with experts, with softmax attention (else linear attention).
_GROUPS: dict[str, tuple[bool, bool]] = {
    "dense": (False, True),
    "routed": (True, True),
    "dense delta": (False, False),
    "routed delta": (True, False),
}
# Methods whose linear layers are looked at.
_READ = frozenset(
    {
        "awq",
        "awq_marlin",
        "auto_awq",
        "gptq",
        "gptq_marlin",
        "auto_gptq",
        "fp8",
        "deepseek_v4_fp8",
        "mxfp4",
        "gpt_oss_mxfp4",
        "modelopt",
        "modelopt_fp4",
        "modelopt_mxfp8",
        "modelopt_mixed",
        "compressed-tensors",
        "quark",
        "inc",
    }
)


class LinearRefusal(NamedTuple):
    """A refusal of a linear layer."""

    refusal: EngineRefusal | None
    """What is raised; None where every layer is built."""
    late: bool = False
    """Whether the first routed experts are built before."""
    listed: bool = False
    """Whether a list raises it before the first quantized layer is made."""


class Step(NamedTuple):
    """A quantized linear layer that differs from those before it, or what a list raises."""

    group: str
    """`tower`, or one of `_GROUPS`: whose."""
    path: str
    """Its path below the group."""
    stored: Stored | None
    """How it is stored; None where the list raises."""
    late: bool = False
    """Whether the first routed experts are built before."""
    found: LinearRefusal | None = None
    """What the list raises."""


_NONE = LinearRefusal(None)
# quantization/base_config.py tie_weights; only 0.24 gives the head of ModelOpt's a linear method
# and has no way to tie one.
_TIES_NOTHING: Release = (0, 24, 0)
# deepseek_v2.py: compressed-tensors' target "Linear" has to stand in a class's name.
_ODD_CLASS = span("0.17.0", "0.17.1")
# qwen3_next.py: the one release that builds in_proj_ba in two parts.
_SPLITS_GATES = span("0.17.0", "0.17.1")
# mamba_mixer2.py: 0.16 builds in_proj in one piece; before 0.32 a loader is then put on its weight.
_MERGES_STATE: Release = (0, 17, 0)
_READS_WEIGHT_LAST: Release = (0, 32, 0)
_KNOWN: Kept[AlikeByEra[Setting, LinearRefusal]] = Kept(16384)
_SIZES: Kept[ByEra[dict[str, Linear]]] = Kept(4096)
_PLANS: Kept[AlikeByEra[Setting, tuple[Step, ...]]] = Kept(2048)


def refuse_linears(
    model: ModelSpec,
    source: str,
    query: MoEQuery,
    deployment: Deployment,
    setting: Setting,
    release: Release,
) -> LinearRefusal:
    """What the model's linear layers raise; `source` is its class's row, `query` a layer's."""
    rest = (
        source,
        deployment.tensor_parallel_size,
        deployment.tower_ranks,
        deployment.quantization,
        query.in_dtype,
        query.parallel.sp_size,
    )
    known = _KNOWN.find(model, rest)
    if known is None:
        known = _KNOWN.keep(model, rest, AlikeByEra())
    return known.ask(setting, release, partial(_refuse, model, source, query, deployment))


def _refuse(
    model: ModelSpec,
    source: str,
    query: MoEQuery,
    deployment: Deployment,
    setting: Setting,
    release: Release,
) -> LinearRefusal:
    block, declared = block_of(source, model.architecture), model.declared
    if block is None or release < block.since:
        return _NONE
    if block.splits_gates and not _SPLITS_GATES.holds(release):
        block = block._replace(splits_gates=False)
    if block.head_gate and release < block.head_gate_since:
        block = block._replace(head_gate="")
    if block.merges_state and release < _MERGES_STATE:
        block = block._replace(merges_state=False)
    if declared is None:
        return _refuse_online(model, block, query, deployment, release)
    question = Question(
        declared,
        deployment,
        release,
        setting,
        model.moe_layers[0].spec,
        query,
        model.model_type,
        model.architecture,
    )
    try:
        name = registered_name(question, read_declared(declared, release))
    except MethodRefused:
        return _NONE  # the experts' method says so as well, and first
    if name not in _READ:
        return _NONE
    shares = query.parallel.sp_size == 1
    for step in _plan(question, model, block, name):
        if step.found is not None:
            return step.found
        if step.stored is None:
            continue
        unserved = refuse_platform(step.path, step.stored, question)
        if unserved is not None:
            return LinearRefusal(unserved.refusal, step.late)
        in_tower = step.group == "tower"
        ranks = deployment.tower_ranks if in_tower else deployment.tensor_parallel_size
        sizes = _sizes(step.group, model, block, name, ranks, release, shares=shares)
        linear, refused = sizes[step.path], _refuse_format(question, step.stored, name)
        if refused is None and (step.stored.kind in ANYWHERE or setting.is_on("cuda")):
            refused = refuse_shape(linear, step.stored, question, ranks)
        if refused is None and linear.reads_weight and release < _READS_WEIGHT_LAST:
            refused = refuse_packed(linear, step.stored)
        if refused is not None:
            return LinearRefusal(by_linear(refused).refusal, step.late)
    return _refuse_tied(name) if model.beside.tied and release == _TIES_NOTHING else _NONE


def _refuse_online(
    model: ModelSpec, block: Block, query: MoEQuery, deployment: Deployment, release: Release
) -> LinearRefusal:
    """A plain checkpoint whose linear layers become MXFP8 or MXFP4 while they load."""
    name = deployment.quantization or ""
    first = min(kind.first_layer for kind in model.moe_layers)
    shares = query.parallel.sp_size == 1
    for group, number, made, _ in _walk(model, block, name, release):
        ranks = deployment.tower_ranks if group == "tower" else deployment.tensor_parallel_size
        linear = _sizes(group, model, block, name, ranks, release, shares=shares)[made.path]
        refused = refuse_online_shape(linear, name)
        if refused is not None:
            late = number > first or (number == first and linear.late)
            return LinearRefusal(by_linear(refused).refusal, late)
    return _NONE


def _refuse_format(question: Question, stored: Stored, name: str) -> MethodRefused | None:
    """What a method raises about a format, before a layer's shape is looked at."""
    if stored.scheme is not None:
        return refuse_linear(question, stored.scheme)
    if stored.kind in QUARK:
        return refuse_quark(question, quark_settings(question, stored.entry))
    integers = name == "inc" and stored.kind in ("awq", "gptq", "narrow")
    if not integers or question.is_on("cpu", "xpu"):
        return None
    from moe_doctor.oracle.engines.vllm.methods.auto_round import refuse_linear as refuse_integers

    by_gptq, symmetric = stored.kind == "gptq", not stored.zeros
    return refuse_integers(question, stored.bits, stored.group, symmetric, by_gptq=by_gptq)


def _refuse_tied(name: str) -> LinearRefusal:
    """vLLM 0.24 asks the head's method to tie it, and ModelOpt's methods cannot."""
    if not name.startswith("modelopt"):
        return _NONE
    reason = "ModelOpt's linear methods cannot tie the output head to the embedding; 0.25 can"
    refusal = EngineRefusal("model", EngineError("NotImplementedError", ""), reason)
    return LinearRefusal(refusal, late=True)


def _plan(question: Question, model: ModelSpec, block: Block, name: str) -> tuple[Step, ...]:
    """What the lists make of every linear layer."""
    known = _PLANS.find(model, (block, name))
    if known is None:
        known = _PLANS.keep(model, (block, name), AlikeByEra())
    return known.ask(
        question.setting,
        question.release,
        lambda setting, release: tuple(
            _steps(question._replace(setting=setting, release=release), model, block, name)
        ),
    )


def _steps(question: Question, model: ModelSpec, block: Block, name: str) -> Iterator[Step]:
    release = question.release
    mapped = release >= block.mapped_since
    first = min(kind.first_layer for kind in model.moe_layers)
    own_shards = block.own_shards
    if own_shards and release < block.own_shards_since:
        own_shards = ()
    odd_class = block.odd_class if name == "compressed-tensors" else ""
    if odd_class and not _ODD_CLASS.holds(release):
        odd_class = ""
    linears = tuple(_walk(model, block, name, release))
    late, made = False, False
    seen = set()
    if block.renamed and question.quantization is not None:
        renamed = rename_entries(question.quantization, block.renamed)
        question = question._replace(quantization=renamed)
    try:
        reader = reader_of(question, read_declared(model.declared, release), name)
        if reader is None:
            return
        for group, number, linear, place in linears:
            late = block.experts_first or number > first or (number == first and linear.late)
            whole = linear if mapped else linear._replace(shards=(linear.path,))
            projection = linear.path.rpartition(".")[2]
            packed = group == "tower" and projection == _TOWER_QKV and not linear.is_fused
            if packed or projection in own_shards or projection == odd_class:
                odd = projection == odd_class
                whole = whole._replace(is_own_shard=not odd, has_odd_class=odd)
            stored = reader(whole, place)
            made = made or stored is not None
            if stored is not None and stored.kind and (group, linear.path, stored) not in seen:
                seen.add((group, linear.path, stored))
                yield Step(group, linear.path, stored, late)
    except MethodRefused as refused:
        if refused.refusal.stage == "model":
            found = LinearRefusal(refused.refusal, late, not made)
            yield Step("", "", None, found=found)
    except (TypeError, ValueError, KeyError):
        return  # a declaration that cannot be read: the experts' method says so


def _walk(
    model: ModelSpec, block: Block, name: str, release: Release
) -> Iterator[tuple[str, int, Linear, Place]]:
    """Every linear layer that may differ from those before it: group, layer, itself, place."""
    groups = {
        group: _linears(group, model, block, name, 1, release) for group in ("tower", *_GROUPS)
    }
    for linear in groups["tower"]:
        yield "tower", 0, linear, _tower_place
    routed = {number for kind in model.moe_layers for number in kind.layers}
    declared = model.declared
    named = frozenset() if declared is None else named_layers(declared, model.num_layers)
    softmax = model.widths.softmax_layers if block.delta else None
    unnamed: set[str] = set()
    for number in range(model.num_layers):
        group = "routed" if number in routed else "dense"
        if softmax is not None and number not in softmax:
            group += " delta"
        # Layers that no list speaks of are alike: the first of a kind stands for them.
        if number not in named and group in unnamed:
            continue
        if number not in named:
            unnamed.add(group)
        place = _layer_place(number, nested=bool(model.text_architecture))
        for linear in groups[group]:
            yield group, number, linear, place


def _linears(
    group: str,
    model: ModelSpec,
    block: Block,
    name: str,
    ranks: int,
    release: Release,
    *,
    shares: bool = True,
) -> list[Linear]:
    if group == "tower":
        return tower_linears(model, name, ranks, release)
    has_experts, softmax = _GROUPS[group]
    return layer_linears(
        model, block, ranks, has_experts=has_experts, softmax=softmax, shares=shares
    )


def _sizes(
    group: str,
    model: ModelSpec,
    block: Block,
    name: str,
    ranks: int,
    release: Release,
    *,
    shares: bool,
) -> dict[str, Linear]:
    """A group's linear layers by path."""
    rest = (group, block, name, ranks, shares)
    known = _SIZES.find(model, rest)
    if known is None:
        known = _SIZES.keep(model, rest, ByEra())
    return known.ask(
        release,
        lambda one: {
            linear.path: linear
            for linear in _linears(group, model, block, name, ranks, one, shares=shares)
        },
    )


def _tower_place(path: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{path}" for prefix in _TOWER)


def _layer_place(number: int, *, nested: bool) -> Place:
    known = NESTED if nested else PLAIN
    prefixes = tuple(f"{prefix}layers.{number}." for prefix in known)
    return lambda path: tuple(prefix + path for prefix in prefixes)
