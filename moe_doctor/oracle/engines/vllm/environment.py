"""Which `VLLM_*` variables each release knows: `environment_names.txt`, name and releases a line.

Source: every such name that stands as a string in the .py files of vLLM 0.16.0 to 0.33.0, above
all the keys of `environment_variables` in vllm/envs.py. An open end is an end of those releases.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from moe_doctor.core.errors import nearest_names
from moe_doctor.core.release import Span, span

PREFIX = "VLLM_"
"""How vLLM's own variables begin; since 0.17.0 it warns about others that do."""

_LIKE_PREFIX = re.compile(r"(?i)(v+l*|l+)m+_*")
# Kubernetes sets these for a service that is named vllm-something; nobody typed them.
_SERVICE = re.compile(
    r"VLLM_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def find_readers(name: str) -> Span | None:
    """The releases that know a variable; None where no release does."""
    return _spans().get(name)


def nearest_variables(name: str) -> tuple[str, ...]:
    """Variables of any release whose names resemble it, best first, at most three."""
    if not name.startswith(PREFIX):
        # Only a slip in the prefix or the case makes another name one of vLLM's.
        found = nearest_names(name.upper(), _spans(), 3, 0.85)
        return tuple(found) if _LIKE_PREFIX.match(name) else ()
    # Without the prefix, which all share, the rest decides.
    rests = {known.removeprefix(PREFIX): known for known in _spans()}
    found = nearest_names(name.removeprefix(PREFIX), rests, 3, 0.75)
    return tuple(rests[near] for near in found)


def is_service_link(name: str) -> bool:
    """Whether Kubernetes made the variable for a service beside the server."""
    return _SERVICE.fullmatch(name) is not None


@lru_cache(maxsize=1)
def _spans() -> dict[str, Span]:
    # importlib.resources takes 6 ms to import, a fiftieth of what `select` may take.
    text = Path(__file__).with_name("environment_names.txt").read_text("utf-8")
    table: dict[str, Span] = {}
    for line in text.splitlines():
        name, _, bounds = line.partition(" ")
        since, _, until = bounds.partition("-")
        table[name] = span(since, until)
    return table
