"""vLLM's CPU fused MoE for MXFP4 weights."""

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
from moe_doctor.backends.kernel import Kernel, row
from moe_doctor.backends.schemes import pairs, schemes

_SOFTMAX = frozenset({"Default", "Renormalize", "RenormalizeNaive"})
_SILU = frozenset({"silu", "swigluoai"})

CPU_MXFP4_EXPERTS = Kernel(
    # new in 0.22.0; monolithic until 0.29.0
    name="CPUExpertsMxfp4",
    source="fused_moe/experts/cpu_moe.py",
    rows=(
        row(Device(("cpu",)), until="0.27.1"),
        row(
            Device(("cpu",), cpu_archs=("x86_64", "AMD64", "i686"), feature="amx_tile"),
            since="0.28.0",
        ),
        row(GatedOnly()),
        row(Activations(_SILU), until="0.32.0"),
        row(Activations(_SILU | {"gelu", "gelu_tanh"}), since="0.33.0"),
        row(schemes(pairs(("kMxfp4Static", None)))),
        row(RoutingMethods(_SOFTMAX), until="0.29.0"),
        row(RoutingMethods(_SOFTMAX | {"DeepseekV4"}), since="0.30.0"),
        row(Format("standard")),
        row(NotBatchInvariant()),
        row(NoLoRA()),
    ),
)
