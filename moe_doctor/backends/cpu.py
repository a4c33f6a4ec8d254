"""vLLM's CPU fused MoE: classes since 0.28.0, one function without conditions before."""

from __future__ import annotations

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoLoRA,
    NotBatchInvariant,
)
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.shapes import Bfloat16Only, CpuTiles

_COMMON: tuple[Row, ...] = (
    row(GatedOnly()),
    row(Activations(frozenset({"silu", "swigluoai", "gelu", "gelu_tanh"}))),
    row(Format("standard")),
    row(NotBatchInvariant()),
    row(NoLoRA()),
)
_SOURCE = "fused_moe/experts/cpu_moe.py"
_ARM = ("aarch64", "arm64")
_POWER = ("ppc64le", "ppc64")
_X86 = ("x86_64", "AMD64", "i686")

CPU_KERNELS = (
    Kernel(
        "X86CPUUnquantizedExperts",
        _SOURCE,
        (
            row(Device(("cpu",), cpu_archs=_X86, feature="amx_tile")),
            *_COMMON,
            row(Bfloat16Only()),
            row(CpuTiles(output=32, reduction=32)),
        ),
    ),
    Kernel(
        "ArmCPUUnquantizedExperts",
        _SOURCE,
        (
            row(Device(("cpu",), cpu_archs=_ARM)),
            *_COMMON,
            row(Bfloat16Only()),
            row(CpuTiles(output=32, reduction=4)),
        ),
    ),
    Kernel(
        "PowerCPUUnquantizedExperts",
        _SOURCE,
        (
            row(Device(("cpu",), cpu_archs=_POWER)),
            *_COMMON,
            row(Bfloat16Only()),
            row(CpuTiles(output=16, reduction=2)),
        ),
    ),
    Kernel(
        "CPUUnquantizedExperts",
        _SOURCE,
        (row(Device(("cpu",))), *_COMMON, row(CpuTiles(output=32, reduction=1))),
    ),
)
