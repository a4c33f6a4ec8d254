"""Kernels for MXFP8 weights by Triton and AITER: AMD's MX arithmetic, or imitated."""

from __future__ import annotations

from math import isclose
from typing import ClassVar

from moe_doctor.backends.constraints import Device, NotBatchInvariant, ParallelSizes
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import QuantSchemes, pairs, schemes
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.backends.triton import TRITON_EXPERTS
from moe_doctor.core.record import record

_ALPHA, _BETA = 1.702, 1.0
_OAI = "swigluoai_uninterleave"
# supports_mx() of platforms/rocm.py
_MX = Device(("rocm",), archs=("gfx95",))
_ARCHS = ("gfx95", "gfx1250")
_MX_0_27 = Device(("rocm",), archs=_ARCHS)
_ANY = Device(("cuda", "rocm", "xpu", "cpu", "tpu", "oot"))


@record
class NeedsFlyDsl:
    """AITER's MXFP8 kernels are written in FlyDSL (is_aiter_mxfp8_moe_available)."""

    stage: ClassVar[int] = 20

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the package is not installed."""
        if "aiter_flydsl" in situation.facts.features:
            return None
        return Rejection(
            "kernel requires the aiter flydsl package, which is not installed",
            situation.facts.missing.get("aiter_flydsl", "needs flydsl, which is not installed"),
        )


@record
class SwigluOaiOnly:
    """The kernel has SwiGLU-OAI's constants inside."""

    silu_too: bool = False
    """Whether plain SiLU is taken as well (from 0.33.0)."""

    stage: ClassVar[int] = 21

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the layer has another activation or other constants."""
        query = situation.query
        activation, alpha, beta = query.activation, query.swiglu_alpha, query.swiglu_beta
        if self.silu_too and activation == "silu":
            return None
        if activation != _OAI:
            engine = (
                f"kernel hardcodes SwiGLU-OAI activation and requires activation={_OAI}; "
                f"got activation={activation}"
            )
            if self.silu_too:
                engine = (
                    "kernel supports only SiLU or SwiGLU-OAI activation; "
                    f"got activation={activation}"
                )
            also = " or silu" if self.silu_too else ""
            return Rejection(engine, f"implements {_OAI}{also} alone; this layer has {activation}")
        if alpha is None or beta is None or not (isclose(alpha, _ALPHA) and isclose(beta, _BETA)):
            return Rejection(
                f"kernel hardcodes SwiGLU-OAI with alpha={_ALPHA} and beta={_BETA}; got "
                f"swiglu_alpha={alpha} and swiglu_beta={beta}",
                f"has alpha {_ALPHA} and beta {_BETA} inside; this layer has {alpha} and {beta}",
            )
        return None


# Subclasses of TritonExperts; the order of its conditions is theirs.
_BASE: tuple[Row, ...] = (
    *(
        one
        for one in TRITON_EXPERTS.rows
        if not isinstance(one.constraint, (Device, QuantSchemes, ParallelSizes))
    ),
    row(schemes(pairs(("kMxfp8Static", "kMxfp8Dynamic")))),
)
_PARALLEL = tuple(one for one in TRITON_EXPERTS.rows if isinstance(one.constraint, ParallelSizes))

MXFP8_KERNELS = (
    Kernel(
        "Mxfp8NativeTritonExperts",
        "fused_moe/experts/mxfp8_native_moe.py",
        (row(_MX, until="0.26.0"), row(_MX_0_27, "0.27.0"), *_BASE, *_PARALLEL),
    ),
    Kernel(
        # expands the weights to bfloat16 once
        "Mxfp8EmulationTritonExperts",
        "fused_moe/experts/mxfp8_emulation_moe.py",
        (row(_ANY), *_BASE, *_PARALLEL),
    ),
    Kernel(
        # it takes any parallel configuration, unlike its base
        "AiterMxfp8Experts",
        "fused_moe/experts/aiter_mxfp8_moe.py",
        (
            row(_MX, until="0.26.0"),
            row(_MX_0_27, "0.27.0", "0.30.0"),
            row(Device(("rocm",), archs=_ARCHS, feature="aiter_fused_moe"), "0.31.0", "0.32.0"),
            row(Device(("rocm",), archs=_ARCHS, feature="aiter_gate_mode"), "0.33.0"),
            *_BASE,
            row(NotBatchInvariant(), "0.32.0"),
            row(NeedsFlyDsl(), until="0.30.0"),
            row(SwigluOaiOnly(), "0.27.0", "0.32.0"),
            row(SwigluOaiOnly(silu_too=True), "0.33.0"),
        ),
    ),
)
