"""Intel XPU's fused MoE."""

from __future__ import annotations

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoLoRA,
    NotBatchInvariant,
)
from moe_doctor.backends.kernel import Kernel, row

_GATED = frozenset({"silu", "gelu", "swigluoai"})

XPU_EXPERTS = Kernel(
    name="XPUExperts",
    # until 0.17.1 fused_moe/xpu_fused_moe.py
    source="fused_moe/experts/xpu_moe.py",
    rows=(
        row(Device(("xpu",))),
        # Until 0.19.1 the unquantized oracle returns XPU without asking the class.
        row(GatedOnly(), since="0.20.0", until="0.20.2"),
        row(Activations(_GATED), since="0.20.0", until="0.20.2"),
        row(Activations(_GATED | {"relu2_no_mul"}), since="0.21.0", until="0.22.1"),
        row(Activations(_GATED | {"gelu_tanh", "relu2_no_mul"}), since="0.23.0"),
        row(Format("standard"), since="0.20.0"),
        row(NotBatchInvariant(), since="0.20.0"),
        row(NoLoRA(), since="0.20.0"),
    ),
)
