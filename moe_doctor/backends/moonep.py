"""MoonEP: experts that own their layout and work only behind their own all2all."""

from __future__ import annotations

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
)
from moe_doctor.backends.kernel import Kernel, row

MOONEP_EXPERTS = Kernel(
    name="MoonEPExperts",
    source="fused_moe/experts/moonep_experts.py",
    rows=(
        row(Device(("cuda",))),
        row(GatedOnly()),
        row(Activations(frozenset({"silu"}))),
        row(
            ParallelSizes(needs_all2all=True, only_all2all=frozenset({"moonep"}), refuses_eplb=True)
        ),
        row(Format("standard")),
        row(NotBatchInvariant()),
        row(NoLoRA()),
    ),
)
