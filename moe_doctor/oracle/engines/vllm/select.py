"""One question to one vLLM release: an oracle's answer with its whole trace."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, NamedTuple

from moe_doctor.backends.registry import settled_kernels
from moe_doctor.backends.situation import Facts, Situation
from moe_doctor.core.query import MoEQuery, Parallel
from moe_doctor.core.release import Release
from moe_doctor.core.selection import Selection
from moe_doctor.oracle.engines.vllm.aftermath import foresee
from moe_doctor.oracle.engines.vllm.oracle import MoEOracle, Step
from moe_doctor.oracle.engines.vllm.parallel import dispatch
from moe_doctor.oracle.engines.vllm.quant_keys import scheme_texts
from moe_doctor.oracle.engines.vllm.routing_numbers import routing_numbers
from moe_doctor.oracle.walk import Backend, Refused, Walk, refused, selected

# Oracle -> the module that states it as ORACLE (or as NAME); loaded when it is first asked.
ORACLES = {
    "unquantized": "unquantized.steps:ORACLE",
    "fp8": "fp8.steps:ORACLE",
    "legacy_mxfp4": "mxfp4.legacy:ORACLE",
    "mxfp4": "mxfp4.steps:MXFP4",
    "gpt_oss_mxfp4": "mxfp4.steps:GPT_OSS_MXFP4",
    "deepseek_v4_mxfp4": "mxfp4.steps:DEEPSEEK_V4_MXFP4",
    "nvfp4": "nvfp4.steps:ORACLE",
    "mxfp8": "mxfp8.steps:ORACLE",
    "int8": "int8.steps:ORACLE",
    "int_wna16": "int_wna16.steps:ORACLE",
    "w4a8": "w4a8.steps:ORACLE",
    "w4a8_int8": "w4a8.steps:INT8_ORACLE",
    "humming": "humming.steps:ORACLE",
}


@lru_cache(maxsize=32)
def load_oracle(name: str) -> MoEOracle:
    """The tables and the program of one oracle; raises KeyError for one that is not stated."""
    module, _, attribute = ORACLES[name].partition(":")
    oracle = getattr(import_module(f"{__package__}.{module}"), attribute)
    if not isinstance(oracle, MoEOracle):
        raise TypeError(f"{module}:{attribute} is a {type(oracle).__name__}")
    return oracle


def select_moe(
    name: str,
    query: MoEQuery,
    facts: Facts,
    release: Release,
    environment: Mapping[str, str],
    *,
    moe_layers: int = 0,
) -> Selection:
    """What `release`'s oracle `name` answers for `query` on the machine behind `facts`.

    Pure; the environment is what the engine's process would see. Raises LookupError for a platform
    that no release knows, KeyError for an oracle that is not in the tables.
    """
    stated = _stated(name, release)
    walk = _start(stated, query, facts, release, environment)
    try:
        for step in stated.steps:
            choice = step(walk)
            if choice is not None:
                chosen = selected(walk, choice, name, moe_layers=moe_layers, lora=query.lora)
                return foresee(chosen, walk)
    except Refused as refusal:
        return refused(walk, refusal.error, name, moe_layers=moe_layers, lora=query.lora)
    raise AssertionError(f"the program of {name} ended without an answer")


class _Stated(NamedTuple):
    """An oracle as one release has it."""

    oracle: MoEOracle
    backends: dict[str, Backend]
    steps: tuple[Step, ...]


@lru_cache(maxsize=512)
def _stated(name: str, release: Release) -> _Stated:
    oracle = load_oracle(name)
    return _Stated(oracle, *oracle.at(release))


@lru_cache(maxsize=16384)
def _rest(
    parallel: Parallel,
    weights: str | None,
    inputs: str | None,
    routing_method: str,
    arch: str,
    release: Release,
) -> tuple[Any, ...]:
    """The rest of the `Situation`: what a release makes of a question, and how it prints it."""
    all2all, format_, sizes = dispatch(parallel, release)
    scheme, unprintable = scheme_texts(weights, inputs, arch, release)
    routing = routing_numbers(release).get(routing_method, routing_method)
    return all2all, format_, sizes, scheme, routing, unprintable, release < (0, 17, 0)


# Half the time of the NamedTuple's own constructor (CPython 3.11, 2026-11-23).
_situation = partial(tuple.__new__, Situation)


def _start(
    stated: _Stated,
    query: MoEQuery,
    facts: Facts,
    release: Release,
    environment: Mapping[str, str],
) -> Walk:
    quant = query.quant
    weights, inputs = (None, None) if quant is None else quant[:2]
    rest = _rest(query.parallel, weights, inputs, query.routing_method, facts.arch, release)
    situation = _situation((query, facts, *rest))
    wants_batched = query.moe_backend == "batched_triton"
    if wants_batched and release >= (0, 27, 0) and stated.oracle.name == "unquantized":
        # 0.27.0: the explicit name alone switches the format, in this oracle alone
        situation = situation._replace(activation_format="batched")
    return Walk(
        situation,
        release,
        settled_kernels(situation, release),
        stated.backends,
        environment,
        stated.oracle.order(situation, release),
    )
