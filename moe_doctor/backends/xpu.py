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
from moe_doctor.backends.fp8_formats import BLOCK, TENSOR_DYNAMIC
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import PLAIN, pairs, quantized_only, schemes

_GATED = frozenset({"silu", "gelu", "swigluoai"})

_TENSOR_WEIGHTS = ("kFp8StaticTensorSym", None)

# Until 0.17.1 in fused_moe/xpu_fused_moe.py.
_SOURCE = "fused_moe/experts/xpu_moe.py"

XPU_ROWS: tuple[Row, ...] = (
    row(Device(("xpu",))),
    # Until 0.19.1 the unquantized oracle returns XPU without asking the class.
    row(quantized_only(GatedOnly()), until="0.19.1"),
    row(GatedOnly(), since="0.20.0", until="0.20.2"),
    row(quantized_only(Activations(_GATED)), until="0.19.1"),
    row(Activations(_GATED), since="0.20.0", until="0.20.2"),
    row(Activations(_GATED | {"relu2_no_mul"}), since="0.21.0", until="0.22.1"),
    row(Activations(_GATED | {"gelu_tanh", "relu2_no_mul"}), since="0.23.0"),
    row(quantized_only(Format("standard")), until="0.19.1"),
    row(Format("standard"), since="0.20.0"),
    row(NotBatchInvariant(), since="0.20.0"),
    row(NoLoRA(), since="0.20.0"),
)
"""What every XPU class asks but for its formats."""

XPU_EXPERTS = Kernel(
    name="XPUExperts",
    source=_SOURCE,
    rows=(*XPU_ROWS, row(schemes(pairs(PLAIN, _TENSOR_WEIGHTS, TENSOR_DYNAMIC)))),
)

XPU_EXPERTS_FP8 = Kernel(
    name="XPUExpertsFp8",
    source=_SOURCE,
    rows=(
        *XPU_ROWS,
        row(schemes(pairs(PLAIN, _TENSOR_WEIGHTS, TENSOR_DYNAMIC)), until="0.21.0"),
        row(schemes(pairs(_TENSOR_WEIGHTS, TENSOR_DYNAMIC)), since="0.22.0"),
    ),
)

_MXFP8_ROWS: tuple[Row, ...] = (
    *XPU_ROWS,
    row(schemes(pairs(("kMxfp8Static", None), ("kMxfp8Static", "kMxfp8Dynamic")))),
)

# 0.22.0 and 0.22.1 spell it this way
XPU_EXPERTS_MXFP8_0_22 = Kernel(name="XPUExpertsMxfp8", source=_SOURCE, rows=_MXFP8_ROWS)
XPU_EXPERTS_MXFP8 = Kernel(name="XPUExpertsMxFp8", source=_SOURCE, rows=_MXFP8_ROWS)

XPU_EXPERTS_BLOCK_FP8 = Kernel(
    name="XPUExpertsBlockFp8",
    source=_SOURCE,
    rows=(*XPU_ROWS, row(schemes(pairs(BLOCK)))),
)

_MXFP4 = ("kMxfp4Static", None)

# 0.19.0 to 0.22.1 call it XPUExpertsMXFp4
XPU_EXPERTS_MXFP4 = tuple(
    Kernel(
        name=name,
        source=_SOURCE,
        rows=(
            *XPU_ROWS,
            row(schemes(pairs(_MXFP4)), until="0.26.0"),
            row(schemes(pairs(_MXFP4, ("kMxfp4Static", "kMxfp4Dynamic"))), since="0.27.0"),
        ),
    )
    for name in ("XPUExpertsMXFp4", "XPUExpertsMxFp4")
)
