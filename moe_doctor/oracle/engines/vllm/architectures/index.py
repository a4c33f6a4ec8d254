"""Which row holds for an architecture in a release."""

from __future__ import annotations

from functools import lru_cache

from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.architectures import (
    biased,
    custom,
    deepseek,
    newer,
    qwen,
    softmax,
)
from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow, Table

GENERAL = ClassRow(
    "",
    activation=None,
    assumed=(
        "the model class has no row; routing, activation and router dtype are what the "
        "checkpoint says",
    ),
)
"""For an architecture without a row: the checkpoint's own words, and nothing else."""

TABLE: Table = {
    **qwen.ROWS,
    **deepseek.ROWS,
    **softmax.ROWS,
    **biased.ROWS,
    **custom.ROWS,
    **newer.ROWS,
}


@lru_cache(maxsize=1024)
def find_row(architecture: str, release: Release, backend: str) -> ClassRow:
    """The row of `architecture` in `release`, or the general rule.

    `backend` is how the registry serves it: `native`, or `transformers` for the generic class.
    """
    rows = [row for row in TABLE.get(architecture, ()) if row.since <= release]
    if rows and (backend == "native" or "transformers" in rows[-1].source):
        return rows[-1]
    if backend != "transformers":
        return GENERAL
    fused = softmax.TRANSFORMERS_FUSED
    return fused if fused.since <= release else softmax.TRANSFORMERS
