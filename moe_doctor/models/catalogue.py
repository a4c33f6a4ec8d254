"""The bundled catalogue: facts about public checkpoints, for machines without a network.

The facts are derived by the parser from published configs (tests/models/build_catalogue.py);
they answer last, and the report says `source: catalogue`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Any

from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.catalogue_format import decode

FILE = Path(__file__).with_name("catalogue.json")


def find_in_catalogue(name: str) -> ModelSpec | None:
    """The model with this Hugging Face id (case does not matter), or None."""
    facts = _facts()
    known = name if name in facts else _folded().get(name.lower())
    return None if known is None else decode(known, facts[known])


def catalogue_names() -> tuple[str, ...]:
    """Every id, in alphabetical order."""
    return tuple(sorted(_facts(), key=str.lower))


def nearest_names(name: str, limit: int = 3) -> tuple[str, ...]:
    """Ids that resemble a name, best first; the part after the slash counts as much."""
    wanted = name.lower()[:200]
    tail = wanted.rpartition("/")[2]
    scored = [
        (
            max(
                SequenceMatcher(None, wanted, folded).ratio(),
                SequenceMatcher(None, tail, folded.rpartition("/")[2]).ratio(),
            ),
            known,
        )
        for folded, known in _folded().items()
    ]
    close = sorted(
        (item for item in scored if item[0] >= 0.6), key=lambda item: (-item[0], item[1])
    )
    return tuple(known for _, known in close[:limit])


@lru_cache(maxsize=1)
def _facts() -> Mapping[str, Any]:
    facts: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return facts


@lru_cache(maxsize=1)
def _folded() -> dict[str, str]:
    return {name.lower(): name for name in _facts()}
