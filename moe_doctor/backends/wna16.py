"""Kernels for integer weights with 16-bit inputs that serve no other format."""

from __future__ import annotations

from moe_doctor.backends.activation_sets import APPLIED_0_21, APPLIED_0_24, APPLIED_0_28
from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoAdjustedRoutes,
    NoHashRouting,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
    RoutingMethods,
)
from moe_doctor.backends.dtypes import Float32Logits
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import QuantSchemes, pairs, schemes
from moe_doctor.backends.triton import TRITON_EXPERTS
from moe_doctor.backends.xpu import XPU_EXPERTS

_INT4 = ("kInt4Static", None)
_INT4_32 = ("kInt4Static32", None)
_INT4_ASYM = ("kInt4StaticAsym", None)
_INT4_32_ASYM = ("kInt4Static32Asym", None)
_INT8 = ("kInt8Static", None)
_NVLINK = frozenset(
    {"flashinfer_all2allv", "flashinfer_nvlink_one_sided", "flashinfer_nvlink_two_sided"}
)
_ROUTING = frozenset({"Renormalize", "RenormalizeNaive", "DeepSeekV3", "Llama4"})


def _inherited(parent: Kernel, *overridden: type) -> tuple[Row, ...]:
    """The rows of a parent class but those of the methods that a subclass has itself."""
    return tuple(one for one in parent.rows if not isinstance(one.constraint, overridden))


TRITON_WNA16_EXPERTS = Kernel(
    name="TritonWNA16Experts",
    source="fused_moe/experts/triton_moe.py",
    # No oracle asks it before 0.27.0.
    rows=(
        *_inherited(TRITON_EXPERTS, Activations, QuantSchemes, GatedOnly),
        row(Activations(APPLIED_0_21), since="0.27.0", until="0.28.0"),
        row(Activations(APPLIED_0_24), since="0.29.0"),
        row(
            schemes(pairs(_INT4, _INT8, _INT4_32, any_activation=True)),
            since="0.27.0",
            until="0.28.0",
        ),
        row(
            schemes(pairs(_INT4, _INT8, _INT4_32, _INT4_ASYM, _INT4_32_ASYM, any_activation=True)),
            since="0.29.0",
        ),
    ),
)

INT4_EMULATION = Kernel(
    name="Int4EmulationTritonExperts",
    source="fused_moe/experts/int4_emulation_moe.py",
    rows=(
        *_inherited(TRITON_EXPERTS, Device, QuantSchemes),
        row(Device(("cuda", "rocm"))),
        row(schemes(pairs(_INT4, _INT4_32, _INT4_ASYM, _INT4_32_ASYM))),
    ),
)

XPU_WNA16_EXPERTS = Kernel(
    name="XPUExpertsWNA16",
    source="fused_moe/experts/xpu_moe.py",
    rows=(
        *_inherited(XPU_EXPERTS, QuantSchemes),
        row(schemes(pairs(_INT4)), until="0.23.0"),
        row(schemes(pairs(_INT4, _INT4_32)), since="0.24.0"),
    ),
)

TRTLLM_MXINT4_MONOLITHIC = Kernel(
    name="TrtLlmMxint4ExpertsMonolithic",
    source="fused_moe/experts/trtllm_mxint4_moe.py",
    rows=(
        row(Device(("cuda",), majors=(10,), feature="flashinfer_mxint4")),
        row(GatedOnly()),
        row(Activations(frozenset({"swigluoai"})), until="0.24.0"),
        row(Activations(frozenset({"silu", "swigluoai"})), since="0.25.0"),
        row(schemes(pairs(_INT4_32))),
        row(ParallelSizes(only_all2all=frozenset({"allgather_reducescatter"}), refuses_eplb=True)),
        row(NoHashRouting(), since="0.31.0"),
        row(NoAdjustedRoutes(), since="0.33.0"),
        row(RoutingMethods(_ROUTING | {"Simulated"}), until="0.32.0"),
        row(RoutingMethods(_ROUTING), since="0.33.0"),
        row(Float32Logits(frozenset({"DeepSeekV3", "Simulated"})), until="0.32.0"),
        row(Float32Logits(frozenset({"DeepSeekV3"})), since="0.33.0"),
        row(Format("standard")),
        row(NotBatchInvariant()),
        row(NoLoRA()),
    ),
)

RDNA3_WNA16_EXPERTS = Kernel(
    name="Rdna3WNA16Experts",
    source="fused_moe/experts/rdna3_moe.py",
    rows=(
        row(Device(("rocm",), archs=("gfx1100",), feature="rdna3_moe")),
        row(Activations(APPLIED_0_28)),
        row(schemes(pairs(_INT4, _INT4_32))),
        row(ParallelSizes(refuses_all2all=_NVLINK)),
        row(Format("standard")),
        row(NotBatchInvariant()),
        row(NoLoRA()),
    ),
)

WNA16_KERNELS = (
    TRITON_WNA16_EXPERTS,
    INT4_EMULATION,
    XPU_WNA16_EXPERTS,
    TRTLLM_MXINT4_MONOLITHIC,
    RDNA3_WNA16_EXPERTS,
)
