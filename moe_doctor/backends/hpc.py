"""Tencent's HPC-Ops experts in FP8, from 0.25.0."""

from __future__ import annotations

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoLoRA,
    NotBatchInvariant,
)
from moe_doctor.backends.fp8_formats import BLOCK, TENSOR_STATIC
from moe_doctor.backends.kernel import Kernel, row
from moe_doctor.backends.schemes import pairs, schemes
from moe_doctor.backends.shapes import HiddenMultiple

HPC_EXPERTS = Kernel(
    name="HPCExperts",
    source="fused_moe/hpc_moe.py",
    rows=(
        row(Device(("cuda",), exact=((9, 0),), majors=(10,), feature="hpc"), until="0.27.1"),
        row(Device(("cuda",), exact=((9, 0),), feature="hpc"), since="0.28.0"),
        row(GatedOnly()),
        row(Activations(frozenset({"silu"}))),
        row(schemes(pairs(TENSOR_STATIC, BLOCK))),
        row(HiddenMultiple(128)),
        row(Format("standard")),
        row(NotBatchInvariant()),
        row(NoLoRA()),
    ),
)
