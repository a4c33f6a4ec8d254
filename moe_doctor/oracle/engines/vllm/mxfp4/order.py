"""Which MXFP4 backends are tried, in which order, and about which inputs.

Source: fused_moe/oracle/mxfp4.py, _get_priority_backends*, _filter_by_activation,
_backend_activation_key.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from moe_doctor.backends.situation import Situation
from moe_doctor.core.query import QuantQuery
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.mxfp4 import tables
from moe_doctor.oracle.engines.vllm.quant_keys import pair_text
from moe_doctor.oracle.walk import Walk

_NO_QUANT = QuantQuery()


def general(situation: Situation, release: Release) -> list[str]:
    """The general order, filtered by the inputs that the checkpoint asks for (from 0.22.0)."""
    facts = situation.facts
    family = facts.capability[0] if facts.capability is not None else 0
    members = _ordered(tables.GENERAL, release, facts.platform, family, _is_hopper(situation))
    if release < (0, 22, 0):
        return list(members)
    return filter_by_inputs(members, requested(situation), release)


def mxfp8_first(situation: Situation, release: Release) -> list[str]:
    """DeepSeek-V4's order; in 0.20.x the general one."""
    platform = situation.facts.platform
    if platform == "rocm" and situation.query.routing_method == "DeepseekV4":
        for one in tables.DEEPSEEK_V4_ROCM:
            if one.span.holds(release):
                return list(one.order)
    return list(_ordered(tables.MXFP8_FIRST, release, platform, 0, _is_hopper(situation)))


def requested(situation: Situation) -> str | None:
    """The inputs' format that the checkpoint or the user asks for."""
    quant = situation.query.quant
    return None if quant is None else quant.activation_key


def filter_by_inputs(members: Iterable[str], wanted: str | None, release: Release) -> list[str]:
    """The members that take the wanted inputs; without a wish those that take bfloat16."""
    listed = list(members)
    plain = [one for one in listed if one not in tables.OWN_INPUTS]
    if wanted is None:
        return plain or listed
    matching = [one for one in listed if tables.OWN_INPUTS.get(one) == wanted or one == "EMULATION"]
    if release < (0, 32, 0):
        return matching
    # 0.32.0 falls back to bfloat16 inputs with a warning
    return matching + [one for one in plain if one not in matching]


def ask_about(walk: Walk, member: str, inputs: str | None) -> None:
    """Let `member` be judged for MXFP4 weights and these inputs."""
    walk.variants = {**walk.variants, member: _about(walk.situation, inputs)}


def ask_all(walk: Walk, inputs: dict[str, str | None]) -> None:
    """`ask_about` for every member of the table, one situation per format."""
    seen = {wanted: _about(walk.situation, wanted) for wanted in dict.fromkeys(inputs.values())}
    walk.variants = {
        **walk.variants,
        **{member: seen[wanted] for member, wanted in inputs.items()},
    }


def _about(situation: Situation, inputs: str | None) -> Situation:
    quant = situation.query.quant or _NO_QUANT
    query = situation.query._replace(
        quant=quant._replace(weight_key=tables.WEIGHT, activation_key=inputs)
    )
    text = pair_text(tables.WEIGHT, inputs, situation.facts.arch)
    return situation._replace(query=query, scheme_text=text, scheme_error="")


@lru_cache(maxsize=256)
def _ordered(
    priorities: tuple[tables.Priority, ...],
    release: Release,
    platform: str,
    family: int,
    is_hopper: bool,
) -> tuple[str, ...]:
    """The first order that holds; raises LookupError where none does."""
    for one in priorities:
        if (
            one.span.holds(release)
            and (not one.platforms or platform in one.platforms)
            and (not one.majors or family in one.majors)
        ):
            return _humming_before_marlin(one.order) if is_hopper else one.order
    raise LookupError(f"MXFP4 on {platform}")


def _is_hopper(situation: Situation) -> bool:
    return situation.facts.platform == "cuda" and situation.facts.capability == (9, 0)


def _humming_before_marlin(members: tuple[str, ...]) -> tuple[str, ...]:
    """prioritize_humming() of humming/priority.py, from 0.32.0: on compute capability 9.0."""
    if "HUMMING" not in members:
        return members
    rest = [one for one in members if one != "HUMMING"]
    rest.insert(rest.index("MARLIN"), "HUMMING")
    return tuple(rest)
