"""vLLM's own Triton kernels: the standard and the batched activation format."""

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
from moe_doctor.backends.shapes import PaddedExpertsBelow

_PLAIN = frozenset({"silu_no_mul", "gelu_no_mul", "relu2_no_mul"})
_TANH = frozenset({"gelu_tanh", "gelu_tanh_no_mul"})
_GATED = frozenset({"silu", "gelu", "swigluoai"})
_ALL_0_28 = _GATED | _PLAIN | _TANH | frozenset({"situ", "swiglustep", "swigluoai_uninterleave"})

TRITON_EXPERTS = Kernel(
    name="TritonExperts",
    # 0.16.0 to 0.20.2 fused_moe/fused_moe.py, from 0.21.0 fused_moe/experts/triton_moe.py
    source="fused_moe/experts/triton_moe.py",
    rows=(
        row(Device(("cuda", "rocm")), until="0.17.1"),
        row(Device(("cuda", "rocm", "xpu")), since="0.18.0"),
        row(GatedOnly(), until="0.17.0"),
        row(Activations(_GATED | {"swiglustep"}), until="0.17.0"),
        row(Activations(_GATED | _PLAIN | {"swiglustep"}), since="0.17.1", until="0.20.2"),
        row(Activations(_GATED | _PLAIN | _TANH | {"swiglustep"}), since="0.21.0", until="0.23.0"),
        row(Activations(_ALL_0_28 - {"situ"}), since="0.24.0", until="0.26.0"),
        # from 0.28.0 the same set stands in fused_moe/activation.py
        row(Activations(_ALL_0_28), since="0.27.0"),
        row(ParallelSizes(refuses_all2all=frozenset({"flashinfer_all2allv"})), until="0.17.1"),
        row(
            ParallelSizes(
                refuses_all2all=frozenset(
                    {
                        "flashinfer_all2allv",
                        "flashinfer_nvlink_one_sided",
                        "flashinfer_nvlink_two_sided",
                    }
                )
            ),
            since="0.18.0",
        ),
        row(Format("standard")),
        row(PaddedExpertsBelow(), since="0.28.0"),
    ),
)

BATCHED_TRITON_EXPERTS = Kernel(
    name="BatchedTritonExperts",
    source="fused_moe/experts/fused_batched_moe.py",
    rows=(
        row(Device(("cuda", "rocm")), until="0.26.0"),
        row(Device(("cuda", "rocm", "xpu")), since="0.27.0"),
        row(GatedOnly(), until="0.17.0"),
        row(Activations(_GATED | _PLAIN), until="0.20.2"),
        row(Activations(_GATED | _PLAIN | _TANH), since="0.21.0", until="0.29.0"),
        # 0.30.0 asks the masked activation table; on XPU the list of 0.21.0 stays
        row(Activations(_ALL_0_28, platforms=("cuda", "rocm")), since="0.30.0"),
        row(Activations(_GATED | _PLAIN | _TANH, platforms=("xpu",)), since="0.30.0"),
        row(Format("batched")),
        row(NotBatchInvariant(), since="0.20.0"),
        row(NoLoRA(), since="0.20.0"),
    ),
)
