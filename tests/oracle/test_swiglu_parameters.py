"""Kernels that would ignore SwiGLU-OAI's own alpha and beta are passed over."""

from __future__ import annotations

from moe_doctor.core.machine import Gpu
from moe_doctor.core.query import MoEQuery, Parallel, QuantQuery
from tests.oracle.asking import ask, reason_of

B200 = Gpu("NVIDIA B200", (10, 0))
PER_TENSOR = QuantQuery("kFp8StaticTensorSym", "kFp8StaticTensorSym")
OAI = MoEQuery(
    128, 8, 2048, 768, 128, activation="swigluoai_uninterleave", quant=PER_TENSOR, swiglu_beta=1.0
)


def test_trtllm_reads_them_for_block_scaled_fp8_alone() -> None:
    selection = ask("fp8", "0.33.0", B200, OAI)
    assert selection.backend == "FLASHINFER_CUTLASS"
    assert reason_of(selection, "TrtLlmFp8ExpertsMonolithic") == (
        "the model sets swiglu_beta=1.0; the kernel reads that only for "
        "kFp8Static128BlockSym or kMxfp8Static weights"
    )
    plain = OAI._replace(swiglu_beta=None)
    assert ask("fp8", "0.33.0", B200, plain).backend == "FLASHINFER_TRTLLM"


def test_the_megakernels_take_neither() -> None:
    query = OAI._replace(
        activation="silu",
        parallel=Parallel(ep_size=8, use_ep=True),
        quant=QuantQuery("kNvfp4Static", "kNvfp4Dynamic"),
        moe_backend="flashinfer_moe_ep_cutedsl",
    )
    error = ask("nvfp4", "0.33.0", B200, query).error
    assert error is not None
    assert error.message == (
        "NvFp4 MoE backend 'FLASHINFER_MOE_EP_CUTEDSL' does not support the deployment "
        "configuration since kernel does not support custom SwiGLU alpha or beta."
    )
    fits = ask("nvfp4", "0.33.0", B200, query._replace(swiglu_beta=None))
    assert fits.kernel == "FlashInferMoeEpExperts"
