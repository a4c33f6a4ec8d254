"""FlashInfer's MoE-EP megakernels: dispatch, experts and combine in one launch, from 0.32.0."""

from __future__ import annotations

from typing import ClassVar

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
from moe_doctor.backends.schemes import pairs, schemes
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.record import record

_DEEP_GEMM = "flashinfer_moe_ep_mega_deep_gemm"


@record
class MegakernelLimits:
    """Limits that are asked last and told together: flashinfer_moe_ep_unsupported_reasons()."""

    stage: ClassVar[int] = 20

    def rejects(self, situation: Situation) -> Rejection | None:
        """All that stands in the way."""
        query = situation.query
        quant = query.quant
        deep_gemm = query.moe_backend == _DEEP_GEMM
        is_nvfp4 = quant is not None and quant.weight_key == "kNvfp4Static"
        reasons = []
        if is_nvfp4 and deep_gemm:
            reasons.append("NVFP4 weights")
        if is_nvfp4 and quant is not None and quant.activation_key is None:
            reasons.append("A16 activations with NVFP4 weights")
        if query.in_dtype != "bfloat16":
            reasons.append(f"activation dtype torch.{query.in_dtype}")
        if query.has_bias:
            reasons.append("expert bias")
        if query.swiglu_alpha is not None or query.swiglu_beta is not None:
            reasons.append("custom SwiGLU alpha or beta")
        if deep_gemm and query.routing_method != "DeepseekV4":
            reasons.append(f"routing method {query.routing_method}")
        if deep_gemm and query.parallel.enable_eplb:
            reasons.append("EPLB")
        if not reasons:
            return None
        together = ", ".join(reasons)
        return Rejection(
            f"kernel does not support {together}",
            f"takes bfloat16 inputs without bias and, as {_DEEP_GEMM}, MXFP4 with DeepseekV4 "
            f"routing only; here: {together}",
        )


FLASHINFER_MOE_EP_EXPERTS = Kernel(
    name="FlashInferMoeEpExperts",
    source="fused_moe/experts/flashinfer_moe_ep.py",
    rows=(
        row(Device(("cuda",), exact=((10, 0), (10, 3)))),
        row(GatedOnly()),
        row(Activations(frozenset({"silu"}))),
        row(
            schemes(pairs(("kNvfp4Static", None), ("kMxfp4Static", None), any_activation=True)),
        ),
        row(
            ParallelSizes(
                needs_ep=True, refuses_all2all=frozenset({"deepep_low_latency", "nixl_ep"})
            )
        ),
        row(Format("standard")),
        row(NotBatchInvariant()),
        row(NoLoRA()),
        row(MegakernelLimits()),
    ),
)
