"""One object for all equal questions: releases, machines and methods ask the same ones again.

It is memory that decides how fast mixed questions are answered: what is shared stays in the cache,
and the garbage collector has less to look at.
"""

from __future__ import annotations

from functools import lru_cache

from moe_doctor.backends.situation import Facts, Situation
from moe_doctor.core.kept import Interned, Kept
from moe_doctor.core.query import MoEQuery, Parallel, QuantQuery

_QUERIES: Interned[MoEQuery] = Interned(32768)
_SITUATIONS: Kept[Situation] = Kept(32768)
# Stands for the machine until a program puts its own there.
_NOWHERE = Facts("")

one_parallel = lru_cache(maxsize=4096)(Parallel)
"""`Parallel` of these values."""
one_quant = lru_cache(maxsize=4096)(QuantQuery)
"""`QuantQuery` of these values."""


def one_query(query: MoEQuery) -> MoEQuery:
    """The first query equal to this one."""
    return _QUERIES.first(query)


def one_situation(query: MoEQuery, *texts: str | None) -> Situation:
    """The situation of an interned query that is put nowhere yet, with what is printed of it."""
    known = _SITUATIONS.find(query, texts)
    if known is None:
        situation = Situation._make((query, _NOWHERE, *texts, False))
        known = _SITUATIONS.keep(query, texts, situation)
    return known
