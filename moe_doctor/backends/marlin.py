"""Marlin: 16-bit inputs on quantized weights, for GPUs without the weights' own arithmetic."""

from __future__ import annotations

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
)
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import QuantSchemes, pairs, schemes

_ACTIVATIONS_0_16 = frozenset(
    {"silu", "gelu", "swigluoai", "silu_no_mul", "gelu_no_mul", "relu2_no_mul"}
)
_ACTIVATIONS_0_17 = _ACTIVATIONS_0_16 | {"swiglustep"}
_ACTIVATIONS_0_21 = _ACTIVATIONS_0_17 | {"gelu_tanh", "gelu_tanh_no_mul"}
_ACTIVATIONS_0_24 = _ACTIVATIONS_0_21 | {"swigluoai_uninterleave"}
_ACTIVATIONS_0_27 = _ACTIVATIONS_0_24 | {"situ"}

_FP8 = ("kFp8Static128BlockSym", "kFp8StaticChannelSym", "kFp8StaticTensorSym")
_WEIGHTS_0_16 = (*_FP8, "kNvfp4Static")
_WEIGHTS_0_19 = (*_WEIGHTS_0_16, "kMxfp4Static")
_WEIGHTS_0_20 = (*_WEIGHTS_0_19, "kMxfp8Static", "kInt4Static", "kInt8Static")
_WEIGHTS_0_23 = (*_WEIGHTS_0_20, "kInt4Static32", "kInt4StaticAsym", "kInt4Static32Asym")

_TWO_SIDED = frozenset({"flashinfer_all2allv", "flashinfer_nvlink_two_sided"})


def _weights(names: tuple[str, ...]) -> QuantSchemes:
    """Only the weights' format is looked at."""
    return schemes(pairs(*((name, None) for name in names), any_activation=True))


_ROWS: tuple[Row, ...] = (
    row(Device(("cuda",), minimum=(7, 5))),
    row(Activations(_ACTIVATIONS_0_16), until="0.16.0"),
    row(Activations(_ACTIVATIONS_0_17), since="0.17.0", until="0.20.2"),
    row(Activations(_ACTIVATIONS_0_21), since="0.21.0", until="0.23.0"),
    row(Activations(_ACTIVATIONS_0_24), since="0.24.0", until="0.26.0"),
    # from 0.28.0 the shared tables of fused_moe/activation.py
    row(Activations(_ACTIVATIONS_0_27), since="0.27.0"),
    row(_weights(_WEIGHTS_0_16), until="0.18.1"),
    row(_weights(_WEIGHTS_0_19), since="0.19.0", until="0.19.1"),
    row(_weights(_WEIGHTS_0_20), since="0.20.0", until="0.22.1"),
    row(_weights(_WEIGHTS_0_23), since="0.23.0"),
    row(ParallelSizes(refuses_all2all=frozenset({"flashinfer_all2allv"})), until="0.17.1"),
    row(
        ParallelSizes(refuses_all2all=_TWO_SIDED | {"flashinfer_nvlink_one_sided"}),
        since="0.18.0",
        until="0.26.0",
    ),
    row(ParallelSizes(refuses_all2all=_TWO_SIDED), since="0.27.0"),
    row(NotBatchInvariant(), since="0.20.0"),
)
_SOURCE = "fused_moe/experts/marlin_moe.py"

MARLIN_EXPERTS = Kernel(
    # until 0.20.2 fused_moe/fused_marlin_moe.py; from 0.20.0 it takes adapters
    name="MarlinExperts",
    source=_SOURCE,
    rows=(*_ROWS, row(Format("standard"))),
)

BATCHED_MARLIN_EXPERTS = Kernel(
    name="BatchedMarlinExperts",
    source=_SOURCE,
    rows=(*_ROWS, row(Format("batched")), row(NoLoRA(), since="0.20.0")),
)
