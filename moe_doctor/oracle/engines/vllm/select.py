"""One question to one vLLM release: the unquantized oracle's answer with its whole trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from moe_doctor.backends.registry import kernels_of
from moe_doctor.backends.situation import Facts, Situation
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.release import Release
from moe_doctor.core.selection import EngineError, Selection
from moe_doctor.oracle.engines.vllm import legacy, steps, unquantized
from moe_doctor.oracle.engines.vllm.aftermath import foresee
from moe_doctor.oracle.engines.vllm.parallel import (
    activation_format,
    active_all2all,
    parallel_text,
)
from moe_doctor.oracle.engines.vllm.routing_numbers import routing_numbers
from moe_doctor.oracle.walk import Refused, Walk, refused, selected

ORACLE = "unquantized"


def select_unquantized(
    query: MoEQuery,
    facts: Facts,
    release: Release,
    environment: Mapping[str, str],
    *,
    moe_layers: int = 0,
) -> Selection:
    """What `release` answers for `query` on the machine behind `facts`.

    Pure; the environment is what the engine's process would see. Raises LookupError for a platform
    that no release knows.
    """
    walk = _start(query, facts, release, environment)
    program: Sequence[steps.Step] = (
        legacy.PROGRAM if release <= (0, 19, 1) else steps.program(release)
    )
    try:
        for step in program:
            choice = step(walk)
            if choice is not None:
                chosen = selected(walk, choice, ORACLE, moe_layers=moe_layers, lora=query.lora)
                return foresee(chosen, walk)
    except Refused as refusal:
        return refused(walk, refusal.error, ORACLE, moe_layers=moe_layers, lora=query.lora)
    raise AssertionError("a program ends with a step that always answers")


def explain_error(error: EngineError) -> str:
    """`ValueError: ...` as the engine's traceback ends."""
    return f"{error.type}: {error.message}" if error.message else error.type


def _start(query: MoEQuery, facts: Facts, release: Release, environment: Mapping[str, str]) -> Walk:
    all2all = active_all2all(query.parallel, release)
    situation = Situation(
        query,
        facts,
        all2all,
        activation_format(all2all, release),
        parallel_text(query.parallel, release),
        routing_numbers(release).get(query.routing_method, query.routing_method),
    )
    if release >= (0, 27, 0) and query.moe_backend == "batched_triton":
        # 0.27.0: the explicit name alone switches the format
        situation = replace(situation, activation_format="batched")
    order = list(unquantized.base_order(facts.platform, release))
    shown = list(order)
    walk = Walk(
        situation,
        release,
        kernels_of(release),
        unquantized.backends(release),
        environment,
        order=order,
        shown=shown,
    )
    for demotion in unquantized.demotions(facts.platform, release):
        if demotion.when(situation):
            for member in demotion.members:
                order.remove(member)
                order.append(member)
    walk.shown = list(order)
    return walk
