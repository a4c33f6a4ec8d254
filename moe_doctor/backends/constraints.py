"""The vocabulary of constraints: each names what it saw and what it needs.

`stage` is the order in which vLLM asks (`fused_moe/modular_kernel.py`, is_supported_config): the
first constraint that rejects gives the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar, Protocol

from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.noted import look
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import record
from moe_doctor.core.units import format_capability


class Constraint(Protocol):
    """One condition of a kernel."""

    @property
    def stage(self) -> int:
        """When the engine asks it: small numbers first."""

    def rejects(self, situation: Situation) -> Rejection | None:
        """The reason, or None when the condition holds."""


Question = Callable[[Situation], Rejection | None]
"""A condition as it is asked."""


def settle(constraint: Constraint, situation: Situation) -> Rejection | Question | None:
    """What a condition comes to on the situation's machine, whatever the question.

    A rejection; None when it always holds; or what is left to ask. A condition that can say so
    before the question is known has a method of this name.
    """
    own: Callable[[Situation], Rejection | Question | None] | None
    own = getattr(constraint, "settle", None)
    return constraint.rejects if own is None else own(situation)


@record
class Device:
    """Platform, compute capability, and what the release's own availability check needs."""

    platforms: tuple[str, ...]
    """Platforms that the kernel runs on."""
    exact: tuple[tuple[int, int], ...] = ()
    """CUDA capabilities accepted one by one."""
    majors: tuple[int, ...] = ()
    """CUDA capability families accepted whole; with `exact` empty too, every capability is."""
    minimum: tuple[int, int] | None = None
    """Smallest CUDA capability, where that is all the release asks."""
    feature: str = ""
    """A check that must answer yes, or empty."""
    archs: tuple[str, ...] = ()
    """ROCm architectures by prefix (`gfx95`); empty = any."""
    cpu_archs: tuple[str, ...] = ()
    """Host architectures; empty = any."""
    appendix: str = ""
    """What this release adds to its reason when `feature` is the one missing."""

    stage: ClassVar[int] = 0

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the device or its software cannot run the kernel; found once per machine."""
        which = id(self), situation.terse
        known = situation.facts.verdicts.get(which)
        if known is None:
            # keeping the condition keeps its id from being given to another one
            known = self, self._rejection(situation)
            situation.facts.verdicts[which] = known
        return known[1]

    def settle(self, situation: Situation) -> Rejection | None:
        """It looks at nothing but the machine."""
        return self.rejects(situation)

    def _rejection(self, situation: Situation) -> Rejection | None:
        why = self._why(situation)
        if why is None:
            return None
        facts = situation.facts
        # 0.16.0 names no values in its reasons
        named = "" if situation.terse else f" {facts.platform}"
        text = f"kernel does not support current device{named}"
        if self.appendix and self.feature not in facts.features:
            text = f"{text}. {self.appendix}"
        return Rejection(text, why)

    def _why(self, situation: Situation) -> str | None:
        facts = situation.facts
        if facts.platform not in self.platforms:
            return f"needs {' or '.join(self.platforms)}; this is {facts.platform}"
        capability = facts.capability
        particular = self.exact or self.majors or self.minimum
        if capability is None and facts.platform == "cuda" and particular:
            return "needs a particular compute capability; no GPU is visible"
        if capability is not None and facts.platform == "cuda":
            if self.minimum is not None and capability < self.minimum:
                return (
                    f"needs compute capability {format_capability(self.minimum)} or newer; "
                    f"this GPU is {format_capability(capability)}"
                )
            if (
                (self.exact or self.majors)
                and capability not in self.exact
                and capability[0] not in self.majors
            ):
                wanted = [format_capability(one) for one in self.exact]
                wanted += [f"{major}.x" for major in self.majors]
                return (
                    f"needs compute capability {' or '.join(wanted)}; "
                    f"this GPU is {format_capability(capability)}"
                )
        if self.archs and facts.platform == "rocm" and not facts.arch.startswith(self.archs):
            return f"needs {' or '.join(self.archs)}; this GPU is {facts.arch or 'unknown'}"
        if self.cpu_archs and facts.cpu_arch not in self.cpu_archs:
            return f"needs a {self.cpu_archs[0]} processor; this one is {facts.cpu_arch}"
        if self.feature and self.feature not in facts.features:
            return facts.missing.get(self.feature, f"needs {self.feature}, which is not available")
        return None


@record
class GatedOnly:
    """The kernel multiplies gate and up; it has no path for one projection."""

    stage: ClassVar[int] = 1

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the layer is not gated."""
        if situation.query.is_act_and_mul:
            return None
        return Rejection(
            "kernel does not support no act_and_mul MLP layer",
            f"needs a gated activation; this layer has {situation.query.activation} without a gate",
        )


@record
class Activations:
    """The activations that the kernel implements."""

    names: frozenset[str]
    """Engine values, such as `silu` and `relu2_no_mul`."""
    platforms: tuple[str, ...] = ()
    """Platforms that this list holds for; empty = all."""

    stage: ClassVar[int] = 2

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the layer's activation is not among them."""
        if look(situation.query, _has_activation, self.names):
            return None
        activation = situation.query.activation
        if self.platforms and situation.facts.platform not in self.platforms:
            return None
        named = activation if situation.terse else f"MoEActivation.{activation.upper()}"
        return Rejection(
            f"kernel does not support {named} activation",
            f"needs one of {_listed(self.names)}; this layer has {activation}",
        )


@record
class ParallelSizes:
    """What the kernel needs of the deployment's groups."""

    refuses_all2all: frozenset[str] = frozenset()
    """All2all backends that it cannot work behind."""
    only_all2all: frozenset[str] = frozenset()
    """All2all backends that it can work behind; empty = any."""
    needs_all2all: bool = False
    """Whether it works only behind an all2all."""
    refuses_any_all2all: bool = False
    """Whether it works only without one."""
    refuses_eplb: bool = False
    """Whether expert rebalancing is out."""
    refuses_sequence_parallel: bool = False
    """Whether sequence parallelism is out."""
    needs_ep: bool = False
    """Whether it is used only with expert parallelism."""
    refuses_ep: bool = False
    """Whether expert parallelism is out."""
    refuses_dp: bool = False
    """Whether data parallelism is out."""

    stage: ClassVar[int] = 4

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the deployment does not fit."""
        why = self._why(situation)
        if why is None:
            return None
        named = "" if situation.terse else f" {situation.parallel_text}"
        return Rejection(f"kernel does not support parallel config{named}", why)

    def _why(self, situation: Situation) -> str | None:
        parallel, used = situation.query.parallel, situation.all2all
        if used is not None and used in self.refuses_all2all:
            return f"cannot work behind all2all backend {used}"
        if used is not None and self.only_all2all and used not in self.only_all2all:
            wanted = " or ".join(sorted(self.only_all2all))
            return f"needs all2all backend {wanted}; this deployment uses {used}"
        if used is not None and self.refuses_any_all2all:
            return f"works only without an all2all; this deployment uses {used}"
        if self.needs_all2all and used is None:
            return "works only behind an all2all; this deployment uses none"
        if self.refuses_eplb and parallel.enable_eplb:
            return "cannot work with --enable-eplb"
        if self.refuses_sequence_parallel and parallel.sp_size > 1:
            return f"cannot work with sequence parallelism; sp_size is {parallel.sp_size}"
        if self.needs_ep and not parallel.use_ep:
            return "used only with --enable-expert-parallel, which is off"
        if self.refuses_ep and parallel.use_ep:
            return f"cannot work with expert parallelism; ep_size is {parallel.ep_size}"
        if self.refuses_dp and parallel.dp_size > 1:
            return f"not used with data parallelism; dp_size is {parallel.dp_size}"
        return None


@record
class NoHashRouting:
    """A monolithic kernel routes by logits itself."""

    stage: ClassVar[int] = 5

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when experts are picked by a table."""
        if not situation.query.has_hash_routing:
            return None
        return Rejection(
            "kernel does not support hash routing",
            "routes by logits inside the kernel; this layer picks experts by a table",
        )


@record
class NoAdjustedRoutes:
    """A monolithic kernel cannot have its routes changed between routing and experts."""

    stage: ClassVar[int] = 6

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the deployment adjusts routes."""
        if not situation.query.require_decomposed_backend:
            return None
        return Rejection(
            "kernel does not support routes adjusted after routing",
            "routes inside the kernel; this deployment adjusts the routes afterwards",
        )


@record
class RoutingMethods:
    """The routing methods that a monolithic kernel implements."""

    names: frozenset[str]
    """Members of the engine's RoutingMethodType."""

    stage: ClassVar[int] = 7

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the layer's routing is not among them."""
        method = situation.query.routing_method
        if method in self.names:
            return None
        named = "" if situation.terse else f" {situation.routing_text}"
        return Rejection(
            f"kernel does not support routing method{named}",
            f"routes inside the kernel by {_listed(self.names)}; this layer's method is {method}",
        )


@record
class Format:
    """What the dispatch must hand over."""

    name: str = "standard"
    """`standard` ([T, H]) or `batched` ([E, max tokens, H])."""

    stage: ClassVar[int] = 10

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the dispatch hands over the other format."""
        given = situation.activation_format
        if given == self.name:
            return None
        because = f" ({situation.all2all})" if situation.all2all else ""
        engine = "standard" if given == "standard" else "batched_experts"
        return Rejection(
            f"kernel does not support ('{engine}',) activation format",
            f"takes the {self.name} activation format; the dispatch hands over {given}{because}",
        )


@record
class NotBatchInvariant:
    """The kernel's sums depend on the batch."""

    stage: ClassVar[int] = 11

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when batch-invariant mode is on."""
        if not situation.facts.batch_invariant:
            return None
        return Rejection(
            "kernel does not support batch invariance",
            "is not batch-invariant; VLLM_BATCH_INVARIANT is on",
        )

    def settle(self, situation: Situation) -> Rejection | None:
        """It looks at nothing but the machine's environment."""
        return self.rejects(situation)


@record
class NoLoRA:
    """The kernel has no place to add adapters."""

    stage: ClassVar[int] = 12

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when LoRA is on."""
        if not situation.query.lora:
            return None
        return Rejection("kernel does not support LoRA", "cannot apply LoRA adapters; LoRA is on")


def _has_activation(query: MoEQuery, names: frozenset[str]) -> bool:
    return query.activation in names


@lru_cache(maxsize=256)
def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
