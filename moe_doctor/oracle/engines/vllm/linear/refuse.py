"""The front door: what a model's linear layers raise before or after its experts are built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.kept import Kept
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.release import Release
from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.expert_modules import PREFIXES
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.linear.blocks import Block, block_of
from moe_doctor.oracle.engines.vllm.linear.body import layer_linears, tower_linears
from moe_doctor.oracle.engines.vllm.linear.layer import Linear
from moe_doctor.oracle.engines.vllm.linear.readers import named_layers, reader_of
from moe_doctor.oracle.engines.vllm.linear.shapes import refuse_shape
from moe_doctor.oracle.engines.vllm.linear.stored import Place
from moe_doctor.oracle.engines.vllm.methods.declared import read_declared
from moe_doctor.oracle.engines.vllm.methods.names import registered_name
from moe_doctor.oracle.engines.vllm.methods.outcome import MethodRefused
from moe_doctor.oracle.engines.vllm.methods.question import Question

_TOWER = ("", "model.")


class LinearRefusal(NamedTuple):
    """A refusal of a linear layer."""

    refusal: EngineRefusal | None
    """What is raised; None where every layer is built."""
    late: bool = False
    """Whether the routed experts of the layer are built before."""


_NONE = LinearRefusal(None)
# One entry per model, release and way to divide it.
_KNOWN: Kept[LinearRefusal] = Kept(8192)


def refuse_linears(
    model: ModelSpec,
    source: str,
    query: MoEQuery,
    deployment: Deployment,
    machine: MachineSnapshot,
    release: Release,
) -> LinearRefusal:
    """What the model's linear layers raise; `source` is its class's row, `query` a layer's."""
    if model.declared is None:
        return _NONE
    rest = (
        release,
        machine.platform,
        machine.capability,
        deployment.tensor_parallel_size,
        deployment.quantization,
        query.in_dtype,
        query.parallel.sp_size,
        machine.environment.get("VLLM_BATCH_INVARIANT"),
    )
    known = _KNOWN.find(model, rest)
    if known is None:
        known = _refuse(model, source, query, deployment, machine, release)
        _KNOWN.keep(model, rest, known)
    return known


def _refuse(
    model: ModelSpec,
    source: str,
    query: MoEQuery,
    deployment: Deployment,
    machine: MachineSnapshot,
    release: Release,
) -> LinearRefusal:
    block, declared = block_of(source), model.declared
    if block is None or declared is None:
        return _NONE
    question = _question(model, query, deployment, machine, release)
    has_humming = machine.has("humming-kernels")
    ranks = deployment.tensor_parallel_size
    late = False
    try:
        read = read_declared(declared, release)
        name = registered_name(question, read)
        reader = None if name is None else reader_of(question, read, name)
        if reader is None:
            return _NONE
        tower = tower_linears(model, name or "", ranks, release)
        unmapped = release < block.mapped_since
        for linear, place in _walk(model, block, tower, ranks, query.parallel.sp_size == 1):
            late = linear.late
            if unmapped:
                linear = linear._replace(shards=(linear.path,))
            stored = reader(linear, place)
            if stored is None or machine.platform != "cuda":
                continue
            refused = refuse_shape(linear, stored, question, ranks, has_humming=has_humming)
            if refused is not None:
                raise refused
    except MethodRefused as refused:
        return LinearRefusal(refused.refusal, late)
    except (TypeError, ValueError, KeyError):
        return _NONE  # a declaration that cannot be read: the experts' method says so
    return _NONE


def _walk(
    model: ModelSpec, block: Block, tower: Sequence[Linear], ranks: int, shares: bool
) -> Iterator[tuple[Linear, Place]]:
    """Every linear layer that may differ from those before it, with its place."""
    for linear in tower:
        yield linear, _tower_place
    routed = {number for kind in model.moe_layers for number in kind.layers}
    declared = model.declared
    named = frozenset() if declared is None else named_layers(declared, model.num_layers)
    both: dict[bool, list[Linear]] = {}
    for number in sorted({0, min(routed), max(routed), *named}):
        has_experts = number in routed
        if has_experts not in both:
            both[has_experts] = layer_linears(
                model, block, ranks, has_experts=has_experts, shares=shares
            )
        place = _layer_place(number)
        for linear in both[has_experts]:
            yield linear, place


def _tower_place(path: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{path}" for prefix in _TOWER)


def _layer_place(number: int) -> Place:
    prefixes = tuple(f"{prefix}layers.{number}." for prefix in PREFIXES)
    return lambda path: tuple(prefix + path for prefix in prefixes)


def _question(
    model: ModelSpec,
    query: MoEQuery,
    deployment: Deployment,
    machine: MachineSnapshot,
    release: Release,
) -> Question:
    environment: Mapping[str, str] = machine.environment
    return Question(
        model.declared,
        deployment,
        release,
        machine.platform,
        machine.capability,
        False,
        model.moe_layers[0].spec,
        query,
        environment,
        model.model_type,
        model.architecture,
    )
