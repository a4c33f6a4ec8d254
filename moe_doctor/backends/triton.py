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
from moe_doctor.backends.fp8_formats import (
    ADA_UP,
    FP8_0_20,
    FP8_0_27,
    FP8_0_28,
    FP8_0_33,
    MI,
    W8A8,
)
from moe_doctor.backends.kernel import Kernel, row
from moe_doctor.backends.schemes import PLAIN, pairs, refined_blocks, schemes
from moe_doctor.backends.shapes import PaddedExpertsBelow

_PLAIN = frozenset({"silu_no_mul", "gelu_no_mul", "relu2_no_mul"})
_TANH = frozenset({"gelu_tanh", "gelu_tanh_no_mul"})
_GATED = frozenset({"silu", "gelu", "swigluoai"})
_FP8_0_16 = Device(("cuda", "rocm"), minimum=ADA_UP, archs=MI)
_FP8_0_18 = Device(("cuda", "rocm", "xpu"), minimum=ADA_UP, archs=MI)
_MASKED_FP8_0_27 = Device(("cuda", "rocm"), minimum=ADA_UP, archs=("gfx942", "gfx950", "gfx1250"))
_MASKED_FP8_0_28 = Device(
    ("cuda", "rocm"),
    minimum=ADA_UP,
    archs=("gfx942", "gfx950", "gfx1250", "gfx1200", "gfx1201"),
)
_INT8 = ("kInt8StaticChannelSym", "kInt8DynamicTokenSym")
_INT8_TENSOR = ("kInt8StaticTensorSym", "kInt8DynamicTensorSym")
_INT8_0_20 = pairs(_INT8, device=Device(("cuda",), minimum=(7, 5)))
_INT8_0_27 = pairs(_INT8, _INT8_TENSOR, device=Device(("cuda", "rocm"), minimum=(7, 5)))
_INT8_0_31 = pairs(_INT8, _INT8_TENSOR, device=Device(("cuda", "rocm", "xpu"), minimum=(7, 5)))
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
        row(schemes(pairs(PLAIN), pairs(*W8A8, device=_FP8_0_16)), until="0.17.1"),
        row(schemes(pairs(PLAIN), pairs(*W8A8, device=_FP8_0_18)), "0.18.0", "0.19.1"),
        row(schemes(pairs(PLAIN), _INT8_0_20, pairs(*W8A8, device=FP8_0_20)), "0.20.0", "0.26.0"),
        row(schemes(pairs(PLAIN), _INT8_0_27, pairs(*W8A8, device=FP8_0_27)), "0.27.0", "0.27.1"),
        row(schemes(pairs(PLAIN), _INT8_0_27, pairs(*W8A8, device=FP8_0_28)), "0.28.0", "0.28.0"),
        # from 0.29.0 also blocks that were refined to fit a shard
        row(
            schemes(
                pairs(PLAIN), _INT8_0_27, pairs(*W8A8, device=FP8_0_28), refined_blocks(FP8_0_28)
            ),
            "0.29.0",
            "0.30.0",
        ),
        row(
            schemes(
                pairs(PLAIN), _INT8_0_31, pairs(*W8A8, device=FP8_0_28), refined_blocks(FP8_0_28)
            ),
            "0.31.0",
            "0.32.0",
        ),
        row(
            schemes(
                pairs(PLAIN), _INT8_0_31, pairs(*W8A8, device=FP8_0_33), refined_blocks(FP8_0_33)
            ),
            "0.33.0",
        ),
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
        row(schemes(pairs(PLAIN), pairs(*W8A8, device=_FP8_0_16)), until="0.26.0"),
        row(schemes(pairs(PLAIN), pairs(*W8A8, device=_MASKED_FP8_0_27)), "0.27.0", "0.27.1"),
        row(schemes(pairs(PLAIN), pairs(*W8A8, device=_MASKED_FP8_0_28)), "0.28.0"),
        row(Format("batched")),
        row(NotBatchInvariant(), since="0.20.0"),
        row(NoLoRA(), since="0.20.0"),
    ),
)
