"""How many experts every token visits: small rules over a section."""

from __future__ import annotations

from collections.abc import Callable

from moe_doctor.models.fields import Fields

COUNT_KEYS = (
    "n_shared_experts",
    "num_shared_experts",
    "num_shared_expert",
    "moe_num_shared_experts",
)
WIDTH_KEYS = (
    "shared_expert_intermediate_size",
    "shared_intermediate_size",
    "share_expert_dim",
)


def standard_shared(fields: Fields) -> int:
    """A count where one is given; else one if a width for it is given and not zero."""
    count = fields.integer(*COUNT_KEYS)
    if count is not None:
        return count
    return 1 if fields.integer_or(0, *WIDTH_KEYS) > 0 else 0


def fixed_shared(count: int) -> Callable[[Fields], int]:
    """The same for every model of the family."""

    def rule(fields: Fields) -> int:
        del fields
        return count

    return rule
