"""Constraints on sizes, asked after all others."""

from __future__ import annotations

from math import lcm
from typing import ClassVar

from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.noted import look
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import record


@record
class MaxExperts:
    """An upper limit of a routing kernel."""

    limit: int
    """Largest num_experts."""

    stage: ClassVar[int] = 13

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when there are more experts."""
        experts = situation.query.num_experts
        if experts <= self.limit:
            return None
        return Rejection(
            f"FlashInfer TRTLLM routing supports at most {self.limit} experts, but got {experts}",
            f"num_experts is {experts}; its routing takes at most {self.limit}",
        )


@record
class HiddenMultiple:
    """A tile size of the kernel along the hidden dimension: its _supports_shape()."""

    multiple: int
    """hidden_size must be a multiple of this."""

    stage: ClassVar[int] = 9

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when H does not divide."""
        hidden = situation.query.hidden_size
        if hidden % self.multiple == 0:
            return None
        return Rejection(
            f"kernel does not support {hidden} hidden dim is not supported",
            f"hidden_size is {hidden}; needs a multiple of {self.multiple}",
        )


@record
class PaddedExpertsBelow:
    """moe_align_block_size keeps one counter per expert, padded to 32, in one block."""

    limit: int = 1024
    """The padded count must stay below this."""
    platforms: tuple[str, ...] = ("cuda", "rocm")
    """Where the limit is checked."""

    stage: ClassVar[int] = 13

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the padded count reaches the limit."""
        if look(situation.query, _pads_below, self.limit):
            return None
        if situation.facts.platform not in self.platforms:
            return None
        experts = situation.query.num_experts
        padded = _padded(experts)
        return Rejection(
            f"kernel's moe_align_block_size requires fewer than {self.limit} padded experts",
            f"num_experts is {experts}, {padded} when padded to 32; needs fewer than {self.limit}",
        )


@record
class Bfloat16Only:
    """The kernel's instruction set has no other input type."""

    stage: ClassVar[int] = 13

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when hidden states are not bfloat16."""
        dtype = situation.query.in_dtype
        if dtype == "bfloat16":
            return None
        return Rejection(
            "kernel requires bfloat16 activations", f"needs bfloat16; this layer runs in {dtype}"
        )


@record
class CpuTiles:
    """Tile sizes of a CPU kernel; the intermediate size is padded up where it can be."""

    output: int
    """Both dimensions must be a multiple of this."""
    reduction: int
    """Both dimensions must be a multiple of this when they are summed over."""

    stage: ClassVar[int] = 14

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when H or the padded I / TP does not divide."""
        query = situation.query
        hidden, shard = query.hidden_size, query.intermediate_size_per_partition
        if query.activation != "swigluoai":
            multiple = lcm(self.output, self.reduction)
            shard = -(-shard // multiple) * multiple
        for size, text in (
            (self.output, "hidden and intermediate dimensions"),
            (self.reduction, "reduction dimensions"),
        ):
            if hidden % size or shard % size:
                return Rejection(
                    f"kernel requires {text} divisible by {size}",
                    f"hidden_size is {hidden} and the expert shard {shard}; "
                    f"both must be multiples of {size}",
                )
        return None


def _pads_below(query: MoEQuery, limit: int) -> bool:
    return _padded(query.num_experts) < limit


def _padded(num_experts: int) -> int:
    return (num_experts + 31) // 32 * 32
