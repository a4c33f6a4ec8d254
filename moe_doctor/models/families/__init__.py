"""The family tables and how a config finds its row."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module

from moe_doctor.models.family import Family

TABLES = (
    "mixtral",
    "qwen",
    "deepseek",
    "glm",
    "kimi",
    "minimax",
    "nemotron",
    "llama",
    "openai",
    "google",
    "baidu",
    "tencent",
    "allenai",
    "ibm",
    "hybrids",
    "bailing",
    "stepfun",
    "newer",
    "encoders",
    "others",
)
"""Modules of this package; each has a tuple `FAMILIES`. A new family is one row or one file."""


@lru_cache(maxsize=1)
def all_families() -> tuple[Family, ...]:
    """Every row of every table, in the order of `TABLES`."""
    modules = (import_module(f"{__name__}.{table}") for table in TABLES)
    return tuple(family for module in modules for family in module.FAMILIES)


@lru_cache(maxsize=1)
def _index() -> tuple[dict[str, Family], dict[str, Family]]:
    by_type: dict[str, Family] = {}
    by_class: dict[str, Family] = {}
    for family in all_families():
        by_type.update(dict.fromkeys(family.model_types, family))
        by_class.update(dict.fromkeys(family.architectures, family))
    return by_type, by_class


def find_family(model_types: Iterable[str], architectures: Iterable[str]) -> Family | None:
    """Row of the first known model_type (innermost first), else of the first known class."""
    by_type, by_class = _index()
    for model_type in model_types:
        if model_type in by_type:
            return by_type[model_type]
    for architecture in architectures:
        if architecture in by_class:
            return by_class[architecture]
    return None
