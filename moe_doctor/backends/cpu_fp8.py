"""vLLM's FP8 experts on x86 processors: block-scaled weights, with or without native AMX-FP8."""

from __future__ import annotations

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoLoRA,
    NotBatchInvariant,
    RoutingMethods,
)
from moe_doctor.backends.fp8_formats import BLOCK
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import pairs, schemes

_SOURCE = "fused_moe/experts/cpu_moe.py"
_SOFTMAX = frozenset({"Default", "Renormalize", "RenormalizeNaive"})

_COMMON: tuple[Row, ...] = (
    row(GatedOnly()),
    row(schemes(pairs(BLOCK))),
    row(RoutingMethods(_SOFTMAX), until="0.29.0"),
    row(RoutingMethods(_SOFTMAX | {"DeepSeekV3", "DeepseekV4"}), since="0.30.0"),
    row(Activations(frozenset({"silu"})), until="0.32.0"),
    row(Format("standard")),
    row(NotBatchInvariant()),
    row(NoLoRA()),
)

CPU_EXPERTS_FP8 = Kernel(
    # from 0.21.0: bfloat16 inputs
    name="CPUExpertsFp8",
    source=_SOURCE,
    rows=(
        row(Device(("cpu",)), until="0.27.1"),
        row(
            Device(("cpu",), cpu_archs=("x86_64", "AMD64", "i686"), feature="amx_tile"),
            since="0.28.0",
        ),
        *_COMMON,
        row(Activations(frozenset({"silu", "gelu", "gelu_tanh"})), since="0.33.0"),
    ),
)

CPU_EXPERTS_FP8_W8A8 = Kernel(
    # from 0.31.0
    name="CPUExpertsFp8W8A8",
    source=_SOURCE,
    rows=(
        row(Device(("cpu",), feature="amx_fp8")),
        *_COMMON,
        row(Activations(frozenset({"silu", "gelu_tanh"})), since="0.33.0"),
    ),
)
