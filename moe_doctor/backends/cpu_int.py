"""vLLM's CPU kernels with integer weights: by processor, with and without zentorch."""

from __future__ import annotations

from typing import ClassVar

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoAdjustedRoutes,
    NoHashRouting,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
    RoutingMethods,
)
from moe_doctor.backends.dtypes import FirstInputTypes, InputTypes, TopKAtLeast
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import pairs, schemes
from moe_doctor.backends.shapes import Bfloat16Only
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.record import record

_SOURCE = "fused_moe/experts/cpu_moe.py"
_ARM = ("aarch64", "arm64")
_POWER = ("ppc64le", "ppc64")
_X86 = ("x86_64", "AMD64", "i686")
_PLAIN_ROUTING = frozenset({"Default", "Renormalize", "RenormalizeNaive"})
_FOUR = frozenset({"silu", "swigluoai", "gelu", "gelu_tanh"})
_W8A8 = pairs(("kInt8StaticChannelSym", "kInt8DynamicTokenSym"))
_INT4 = ("kInt4Static", None)
_INT4_32 = ("kInt4Static32", None)


@record
class ArmFirst:
    """The processor, asked before anything else."""

    stage: ClassVar[int] = -2

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the host is no Arm processor, or the platform no CPU."""
        facts = situation.facts
        if facts.platform == "cpu" and facts.cpu_arch in _ARM:
            return None
        seen = facts.cpu_arch if facts.platform == "cpu" else facts.platform
        return Rejection("kernel only supports Arm CPU", f"needs an Arm processor; this is {seen}")


@record
class DividesBy:
    """Sizes that the packed layout needs."""

    multiple: int
    """What they must be a multiple of."""
    shard: bool = True
    """Whether the intermediate size is asked too; it is padded otherwise."""

    stage: ClassVar[int] = 14

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when H or I / TP does not divide."""
        query = situation.query
        sizes = [("hidden", query.hidden_size)]
        if self.shard:
            sizes.append(("intermediate", query.intermediate_size_per_partition))
        for name, size in sizes:
            if size % self.multiple:
                return Rejection(
                    f"kernel requires {name} dim divisible by {self.multiple}",
                    f"the {name} size of an expert is {size}; needs a multiple of {self.multiple}",
                )
        return None


_COMMON: tuple[Row, ...] = (
    row(GatedOnly()),
    row(Format("standard")),
    row(NotBatchInvariant()),
    row(NoLoRA()),
)
_MONOLITHIC: tuple[Row, ...] = (
    row(NoHashRouting(), since="0.31.0"),
    row(NoAdjustedRoutes(), since="0.33.0"),
)
_NO_EP = ParallelSizes(refuses_ep=True)
_ARM_OPERATOR = Device(("cpu",), cpu_archs=_ARM)
_POWER_OPERATOR = Device(("cpu",), cpu_archs=_POWER)
_GROUPS = tuple((f"kInt4W4A8StaticGroup{size}Sym", None) for size in ("128", "64", "32", ""))
_CHANNEL = ("kInt4W4A8StaticChannelSym", None)

CPU_INT_KERNELS = (
    Kernel(
        "CPUExpertsInt4",
        _SOURCE,
        (
            *_COMMON,
            row(Device(("cpu",)), until="0.27.1"),
            row(Device(("cpu",), cpu_archs=_X86, feature="amx_tile"), since="0.28.0"),
            row(Activations(frozenset({"silu"})), until="0.32.0"),
            row(Activations(frozenset({"silu", "gelu_tanh"})), since="0.33.0"),
            row(schemes(pairs(_INT4))),
            row(RoutingMethods(_PLAIN_ROUTING)),
        ),
    ),
    Kernel(
        "CPUExpertsInt4",
        "fused_moe/experts/cpu_int4_moe.py",
        (
            *_COMMON,
            *_MONOLITHIC,
            row(ArmFirst(), since="0.25.0"),
            row(FirstInputTypes(frozenset({"float32", "bfloat16", "float16"})), since="0.25.0"),
            row(Device(("cpu",))),
            row(Activations(frozenset({"silu", "swigluoai", "swiglustep"}))),
            row(schemes(pairs(*_GROUPS)), until="0.24.0"),
            row(schemes(pairs(_CHANNEL, *_GROUPS)), since="0.25.0"),
            row(_NO_EP),
            row(RoutingMethods(_PLAIN_ROUTING)),
        ),
        key="CPUExpertsInt4 with int8 inputs",
    ),
    Kernel(
        "CPUExpertsInt8",
        _SOURCE,
        (
            *_COMMON,
            row(Device(("cpu",)), until="0.26.0"),
            row(Device(("cpu",), cpu_archs=_X86), since="0.27.0", until="0.27.1"),
            row(Device(("cpu",), cpu_archs=_X86, feature="amx_tile"), since="0.28.0"),
            row(Activations(frozenset({"silu"})), until="0.32.0"),
            row(Activations(frozenset({"silu", "gelu_tanh"})), since="0.33.0"),
            row(schemes(_W8A8)),
            row(RoutingMethods(_PLAIN_ROUTING)),
            row(DividesBy(32), since="0.28.0", until="0.32.0"),
            row(DividesBy(32, shard=False), since="0.33.0"),
        ),
    ),
    Kernel(
        "ArmCPUExpertsInt8",
        _SOURCE,
        (
            *_COMMON,
            row(_ARM_OPERATOR),
            row(Activations(_FOUR)),
            row(schemes(_W8A8)),
            row(_NO_EP),
            row(RoutingMethods(_PLAIN_ROUTING)),
            row(InputTypes(("float32", "float16", "bfloat16"), "float32, float16, or bfloat16")),
            row(DividesBy(32)),
        ),
    ),
    Kernel(
        "PowerCPUExpertsInt8",
        _SOURCE,
        (
            *_COMMON,
            row(_POWER_OPERATOR),
            row(Activations(_FOUR)),
            row(schemes(_W8A8)),
            row(_NO_EP),
            row(RoutingMethods(_PLAIN_ROUTING)),
            row(InputTypes(("float32", "bfloat16"), "float32 or bfloat16")),
            row(DividesBy(16)),
        ),
    ),
    Kernel(
        "ZenCPUExpertsInt8",
        _SOURCE,
        (
            *_COMMON,
            row(Device(("cpu",), feature="zentorch")),
            row(Activations(_FOUR)),
            row(schemes(_W8A8)),
            row(_NO_EP),
            row(RoutingMethods(_PLAIN_ROUTING)),
        ),
    ),
    Kernel(
        "ZentorchExpertsInt4",
        "fused_moe/experts/zentorch_moe.py",
        (
            *_COMMON,
            *_MONOLITHIC,
            row(Device(("cpu",), feature="zentorch")),
            row(Activations(_FOUR)),
            row(schemes(pairs(_INT4, _INT4_32))),
            row(_NO_EP),
            row(RoutingMethods(_PLAIN_ROUTING | {"Custom"})),
            row(Bfloat16Only()),
            row(TopKAtLeast(2)),
        ),
    ),
)
