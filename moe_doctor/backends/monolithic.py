"""Constraints of kernels that route inside themselves: routing by format, early wordings."""

from __future__ import annotations

from typing import ClassVar

from moe_doctor.backends.schemes import PLAIN, Pair
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.record import record


@record
class RoutingByFormat:
    """Routing methods, where one format takes others than the rest."""

    names: frozenset[str]
    """What every other format takes: members of the engine's RoutingMethodType."""
    pair: Pair
    """The format with its own list."""
    own: frozenset[str]
    """Its list."""

    stage: ClassVar[int] = 7

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the layer's routing is not among those of its format."""
        query = situation.query
        quant = query.quant
        pair = PLAIN if quant is None else (quant.weight_key, quant.activation_key)
        names = self.own if pair == self.pair else self.names
        if query.routing_method in names:
            return None
        named = "" if situation.terse else f" {situation.routing_text}"
        return Rejection(
            f"kernel does not support routing method{named}",
            f"routes inside the kernel by {', '.join(sorted(names))} for this format; "
            f"this layer's method is {query.routing_method}",
        )


@record
class EarlyFormat:
    """The activation format as the FP8 and NVFP4 functions of 0.16.0 word it."""

    stage: ClassVar[int] = 10

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the dispatch hands over the batched format."""
        if situation.activation_format == "standard":
            return None
        return Rejection(
            "kernel does not support activation format",
            "takes the standard activation format; the dispatch hands over batched",
        )


@record
class EarlyFloat32Logits:
    """The router logits as the FP8 function of 0.16.0 asks for them, after the format."""

    stage: ClassVar[int] = 11

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the router hands over float32 for another method than DeepSeek's."""
        query = situation.query
        dtype = query.router_logits_dtype or query.in_dtype
        if dtype != "float32" or query.routing_method == "DeepSeekV3":
            return None
        return Rejection(
            "kernel does not support float32 router_logits with non-DeepSeekV3 routing",
            "takes float32 router logits for DeepSeekV3 alone; this layer's method is "
            f"{query.routing_method}",
        )
