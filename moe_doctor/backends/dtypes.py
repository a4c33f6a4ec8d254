"""Constraints on the types of hidden states and router logits, and on top_k.

A layer that names no type for its router logits has them in the type of its hidden states
(fused_moe/config.py, FusedMoEConfig).
"""

from __future__ import annotations

from typing import ClassVar

from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import record


@record
class FirstInputTypes:
    """Types of the hidden states, asked before anything else."""

    names: frozenset[str]
    """Accepted torch dtypes."""

    stage: ClassVar[int] = -1

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the layer runs in another type."""
        dtype = situation.query.in_dtype
        if dtype in self.names:
            return None
        return Rejection(
            f"kernel does not support torch.{dtype} input/output dtype",
            f"needs {' or '.join(sorted(self.names))}; this layer runs in {dtype}",
        )


@record
class InputTypes:
    """Types of the hidden states, asked after all general conditions."""

    names: tuple[str, ...]
    """Accepted torch dtypes."""
    engine: str
    """How the engine lists them."""

    stage: ClassVar[int] = 13

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the layer runs in another type."""
        dtype = situation.query.in_dtype
        if dtype in self.names:
            return None
        return Rejection(
            f"kernel requires {self.engine} activations",
            f"needs {' or '.join(self.names)}; this layer runs in {dtype}",
        )


@record
class Float32Logits:
    """A monolithic kernel takes float32 router logits for some routing methods alone."""

    methods: frozenset[str]
    """Routing methods that may have float32 logits."""

    stage: ClassVar[int] = 8

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the router hands over float32 for another method."""
        query = situation.query
        if _logits_type(query) != "float32" or query.routing_method in self.methods:
            return None
        return Rejection(
            "kernel does not support router logits dtype torch.float32",
            f"takes float32 router logits for {' or '.join(sorted(self.methods))} alone; "
            f"this layer's method is {query.routing_method}",
        )


@record
class LogitsTypes:
    """The types of router logits that a monolithic kernel reads."""

    names: tuple[str, ...]
    """Accepted torch dtypes."""

    stage: ClassVar[int] = 8

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the router hands over another type."""
        dtype = _logits_type(situation.query)
        if dtype in self.names:
            return None
        return Rejection(
            f"kernel does not support router logits dtype torch.{dtype}",
            f"takes router logits in {' or '.join(self.names)}; this layer's are {dtype}",
        )


@record
class TopKAtLeast:
    """The kernel has no path for fewer experts per token."""

    minimum: int
    """Smallest top_k."""

    stage: ClassVar[int] = 14

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when top_k is smaller."""
        top_k = situation.query.top_k
        if top_k >= self.minimum:
            return None
        return Rejection(
            f"kernel requires experts_per_token >= {self.minimum}",
            f"top_k is {top_k}; needs at least {self.minimum}",
        )


def _logits_type(query: MoEQuery) -> str:
    return query.router_logits_dtype or query.in_dtype
