"""Which row holds for an architecture in a release."""

from __future__ import annotations

from moe_doctor.core.eras import by_era
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.architectures import (
    biased,
    custom,
    deepseek,
    generic,
    newer,
    qwen,
    softmax,
)
from moe_doctor.oracle.engines.vllm.architectures.registered import (
    registered_name,
    serving_class,
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
    **generic.ROWS,
}


@by_era
def find_row(
    architecture: str, release: Release, backend: str, text_architecture: str = ""
) -> ClassRow | None:
    """The row of `architecture` in `release`, or the general rule.

    `backend` is how the registry serves it: `native`, or `transformers` for the generic class. A
    wrapper without a row is served as the language model in it; None: the release has no such.
    """
    for name in dict.fromkeys((architecture, registered_name(architecture, release))):
        rows = [row for row in TABLE.get(name, ()) if row.since <= release]
        if rows and (backend == "native" or "transformers" in rows[-1].source):
            return rows[-1]
    if backend != "transformers":
        if text_architecture in ("", architecture):
            return GENERAL
        inner = serving_class(text_architecture, release)
        return None if inner is None else find_row(text_architecture, release, inner)
    if release < (0, 19, 0):
        return generic.OLD_TRANSFORMERS
    fused = softmax.TRANSFORMERS_FUSED
    return fused if fused.since <= release else softmax.TRANSFORMERS
