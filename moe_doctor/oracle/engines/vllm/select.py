"""One question to one vLLM release: an oracle's answer with its whole trace."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module

from moe_doctor.backends.registry import settled_kernels
from moe_doctor.backends.situation import Facts, Situation
from moe_doctor.core.alike import NOT_KNOWN, Alike
from moe_doctor.core.kept import Interned
from moe_doctor.core.later import later
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import of_fields
from moe_doctor.core.release import Release
from moe_doctor.core.selection import Candidate, EngineError, Selection
from moe_doctor.oracle.engines.vllm.aftermath import foresee
from moe_doctor.oracle.engines.vllm.interned import one_query, one_situation
from moe_doctor.oracle.engines.vllm.oracle import MoEOracle
from moe_doctor.oracle.engines.vllm.parallel import dispatch
from moe_doctor.oracle.engines.vllm.quant_keys import scheme_texts
from moe_doctor.oracle.engines.vllm.routing_numbers import routing_text
from moe_doctor.oracle.walk import Choice, Refused, Walk, refused, selected

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
# What a program reads one field at a time; a question need not have a quantization.
_PARTS = {"query": False, "parallel": False, "quant": True}
# Machines and releases give the same few answers.
_ANSWERS: Interned[Selection] = Interned(16384)


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
    situation = situate(name, one_query(query), facts.arch, release)
    return find_program(name, facts, release, environment).answer(situation, moe_layers)


def situate(name: str, query: MoEQuery, arch: str, release: Release) -> Situation:
    """An interned question to oracle `name` as `release` looks at it, put nowhere yet.

    The architecture decides how formats are printed, and no more.
    """
    quant = query.quant
    weights, inputs = (None, None) if quant is None else quant[:2]
    all2all, given, sizes = dispatch(query.parallel, release)
    scheme, unprintable = scheme_texts(weights, inputs, arch, release)
    routing = routing_text(query.routing_method, release)
    if query.moe_backend == "batched_triton" and name == "unquantized" and release >= (0, 27, 0):
        # 0.27.0: the explicit name alone switches the format, in this oracle alone
        given = "batched"
    return one_situation(query, all2all, given, sizes, scheme, routing, unprintable)


def find_program(
    name: str, facts: Facts, release: Release, environment: Mapping[str, str]
) -> Program:
    """`release`'s oracle `name` on the machine behind `facts`; made once for them."""
    found = facts.programs.get((name, release))
    if not isinstance(found, Program) or found.environment != environment:
        found = facts.programs[name, release] = Program(name, facts, release, environment)
    return found


class Program:
    """An oracle as one release runs it on one machine, with what it has answered there."""

    __slots__ = (
        "_backends",
        "_facts",
        "_kernels",
        "_known",
        "_oracle",
        "_release",
        "_steps",
        "environment",
    )

    def __init__(
        self, name: str, facts: Facts, release: Release, environment: Mapping[str, str]
    ) -> None:
        self._oracle = load_oracle(name)
        self._backends, self._steps = self._oracle.at(release)
        self._facts = facts
        self._release = release
        self._kernels = settled_kernels(facts, release)
        self._known: Alike[Situation, Selection] = Alike(_PARTS)
        self.environment = environment
        """What the engine's process would see."""

    def answer(self, situation: Situation, moe_layers: int) -> Selection:
        """The oracle's answer; questions that look the same to it are answered once.

        The trace looks at everything, so each answer has its own, made when it is read.
        """
        known = self._known.find(situation)
        if known is NOT_KNOWN:
            known = self._known.ask(situation, self._decide)
        fields = known.__dict__.copy()
        fields["moe_layers"] = moe_layers
        fields["lora"] = situation.query.lora
        fields["trace"] = later(self._trace, situation)
        return of_fields(Selection, fields)

    def _decide(self, situation: Situation) -> Selection:
        """The answer without its trace."""
        walk = self._start(situation)
        decided = self._run(walk)
        name = self._oracle.name
        if isinstance(decided, EngineError):
            return _ANSWERS.first(refused(walk, decided, name))
        return _ANSWERS.first(foresee(selected(walk, decided, name), walk))

    def _trace(self, situation: Situation) -> tuple[Candidate, ...]:
        walk = self._start(situation)
        decided = self._run(walk)
        if isinstance(decided, EngineError):
            return walk.trace(None, None)
        return walk.trace(decided.member, decided.kernel or decided.runs)

    def _start(self, situation: Situation) -> Walk:
        here = situation._replace(facts=self._facts, terse=self._release < (0, 17, 0))
        order = self._oracle.order(here, self._release)
        return Walk(here, self._release, self._kernels, self._backends, self.environment, order)

    def _run(self, walk: Walk) -> Choice | EngineError:
        try:
            for step in self._steps:
                choice = step(walk)
                if choice is not None:
                    return choice
        except Refused as refusal:
            return refusal.error
        raise AssertionError(f"the program of {self._oracle.name} ended without an answer")
