"""The grammars of ignore lists: exact paths, globs, `re:` expressions, and bare substrings.

Expressions come from a file that anyone can write, so only those that match in bounded time are
tried; the rest are reported as skipped.
"""

from __future__ import annotations

import re
from fnmatch import translate

from moe_doctor.core.record import record

SUBSTRING_METHODS = frozenset({"awq", "awq_marlin", "bitsandbytes"})
"""Methods whose patterns match anywhere in a module's path (vLLM awq.py, bitsandbytes.py)."""

MAX_LENGTH = 256
MAX_QUANTIFIERS = 2
"""Repeats inside an expression (not counting `.*` at its ends) that are tried."""

_ELSEWHERE = ("attn", "shared_expert", "lm_head", "embed", "norm", "vision", "visual")
"""Words of modules that are never routed experts."""

_ENDS = r"^\^?(?:\.\*)+|(?:\.\*)+\$?$"  # compiled with the first expression: few lists have one
_LAYER = re.compile(r"(?:^|\.)layers\.(?:\d+|\*)(.*)$")
_GLOB_LAYER = re.compile(r"(?:^|\.)layers\.[\d*?\[\]!-]+(.*)$")


@record
class Matcher:
    """One pattern that may reach experts."""

    pattern: re.Pattern[str]
    """What to search for."""
    single: bool
    """Whether it may name one projection of one expert, which takes the fused module out too."""

    def matches(self, names: tuple[str, ...], paths: tuple[str, ...]) -> bool:
        """Whether it takes out any of the modules (or, where it may, of their projections)."""
        search = self.pattern.search
        return any(search(name) for name in names) or (
            self.single and any(search(path) for path in paths)
        )


def compile_pattern(method: str, pattern: str, block: str, skipped: list[str]) -> Matcher | None:
    """A pattern of an ignore list; None when it cannot reach the experts in `block`."""
    if pattern.startswith("re:"):
        if says_elsewhere(pattern):
            return None
        return compile_regex(pattern[3:], skipped)
    if any(mark in pattern for mark in "*?["):
        if len(pattern) > MAX_LENGTH or not _reaches(_GLOB_LAYER, pattern, block):
            return None
        return Matcher(re.compile(translate(pattern)), single=_says_experts(pattern))
    if method in SUBSTRING_METHODS:
        return Matcher(re.compile(re.escape(pattern)), single=False) if pattern else None
    if not _reaches(_LAYER, pattern, block):
        return None
    return Matcher(re.compile(rf"^{re.escape(pattern)}(?:\.|$)"), single=True)


def says_elsewhere(pattern: str) -> bool:
    """Whether an expression can only mean modules that are never routed experts."""
    return "|" not in pattern and any(word in pattern for word in _ELSEWHERE)


def compile_regex(rule: str, skipped: list[str]) -> Matcher | None:
    """An expression that is matched from the start of a path; None when it is not tried."""
    inner = re.sub(_ENDS, "", rule)
    repeats = sum(inner.count(mark) for mark in "*+{") - inner.count("\\*") - inner.count("\\+")
    if len(rule) > MAX_LENGTH or repeats > MAX_QUANTIFIERS or len(skipped) > 16:
        skipped.append(rule[:80])
        return None
    try:
        compiled = re.compile(rf"^(?:{rule})")
    except (re.error, OverflowError, RecursionError):
        skipped.append(rule[:80])
        return None
    return Matcher(compiled, single=True)


def _reaches(layer: re.Pattern[str], pattern: str, block: str) -> bool:
    """Whether a path or glob can stand for experts: what follows `layers.N` leads to them."""
    if _says_experts(pattern):
        return True
    match = layer.search(pattern)
    if match is None:
        return pattern.startswith("*")
    rest = match.group(1).lstrip(".")
    parent = block.rpartition(".")[0]
    return rest in ("", "*", parent, f"{parent}.*", f"{parent}*")


def _says_experts(pattern: str) -> bool:
    return "experts" in pattern.replace("shared_experts", "")
