"""Telling cases of the MXFP8 oracle, by literals."""

from __future__ import annotations

import pytest

from moe_doctor.core.machine import Gpu
from moe_doctor.core.query import MoEQuery, QuantQuery
from moe_doctor.core.selection import EngineError
from tests.oracle.asking import ask, reason_of

W8A8 = QuantQuery("kMxfp8Static", "kMxfp8Dynamic")
MINIMAX = MoEQuery(
    256,
    8,
    3072,
    1536,
    256,
    activation="swigluoai_uninterleave",
    swiglu_alpha=1.702,
    swiglu_beta=1.0,
    quant=W8A8,
)
SILU = MoEQuery(128, 8, 2048, 768, 128, quant=W8A8)
H100 = Gpu("NVIDIA H100", (9, 0))
B200 = Gpu("NVIDIA B200", (10, 0))
MI300X = Gpu("AMD Instinct MI300X", None, "gfx942")
MI355X = Gpu("AMD Instinct MI355X", None, "gfx950")


def test_0_18_has_one_backend_and_asks_nothing() -> None:
    selection = ask("mxfp8", "0.18.0", H100, SILU)
    assert (selection.backend, selection.kernel) == ("FLASHINFER_TRTLLM", None)
    assert selection.engine_log == "Using 'FLASHINFER_TRTLLM' MxFp8 MoE backend."


def test_0_19_raises_the_only_backends_reason() -> None:
    assert ask("mxfp8", "0.19.0", H100, SILU).error == EngineError(
        "ValueError",
        "No supported MXFP8 expert class for FLASHINFER_TRTLLM: "
        "kernel does not support current device cuda",
    )


@pytest.mark.parametrize(
    ("version", "backend"), [("0.20.0", "MARLIN"), ("0.31.0", "MARLIN"), ("0.32.0", "HUMMING")]
)
def test_hopper_has_no_mx_arithmetic(version: str, backend: str) -> None:
    assert ask("mxfp8", version, H100, SILU).backend == backend


def test_lora_is_refused_until_0_20() -> None:
    lora = SILU._replace(lora=True)
    assert ask("mxfp8", "0.20.2", H100, lora).error == EngineError(
        "NotImplementedError", "LoRA is not supported for MXFP8 MoE."
    )
    assert ask("mxfp8", "0.21.0", H100, lora).backend == "MARLIN"


def test_an_explicit_name_is_told_in_the_info_line() -> None:
    selection = ask("mxfp8", "0.24.0", B200, SILU._replace(moe_backend="deep_gemm"))
    assert selection.kernel == "DeepGemmExperts"
    assert selection.engine_log == "Using 'DEEPGEMM' MxFp8 MoE backend (user-requested)."


@pytest.mark.parametrize(
    ("version", "gpu", "backend", "kernel"),
    [
        ("0.24.0", MI355X, "NATIVE_MXFP8", "Mxfp8NativeTritonExperts"),
        ("0.24.0", MI300X, "EMULATION", "Mxfp8EmulationTritonExperts"),
        ("0.25.0", MI355X, "TRITON_MXFP8", "Mxfp8NativeTritonExperts"),
        ("0.27.0", MI300X, "EMULATION", "Mxfp8EmulationTritonExperts"),
    ],
)
def test_amd_runs_tritons_kernels(version: str, gpu: Gpu, backend: str, kernel: str) -> None:
    selection = ask("mxfp8", version, gpu, SILU)
    assert (selection.backend, selection.kernel) == (backend, kernel)


def test_triton_by_name_means_emulation_where_mx_is_missing_until_0_26() -> None:
    triton = SILU._replace(moe_backend="triton")
    assert ask("mxfp8", "0.26.0", H100, triton).kernel == "Mxfp8EmulationTritonExperts"
    assert ask("mxfp8", "0.27.0", H100, triton).error == EngineError(
        "ValueError",
        "No supported MXFP8 expert class for TRITON_MXFP8: "
        "kernel does not support current device cuda",
    )


def test_aiter_has_minimaxs_constants_inside() -> None:
    enabled = {"VLLM_ROCM_USE_AITER": "1"}
    assert ask("mxfp8", "0.31.0", MI355X, MINIMAX, environment=enabled).backend == "AITER_MXFP8"
    other = MINIMAX._replace(swiglu_alpha=1.5)
    selection = ask("mxfp8", "0.31.0", MI355X, other, environment=enabled)
    assert selection.backend == "TRITON_MXFP8"
    assert reason_of(selection, "AiterMxfp8Experts") == (
        "has alpha 1.702 and beta 1.0 inside; this layer has 1.5 and 1.0"
    )


def test_aiter_needed_flydsl_until_0_30() -> None:
    selection = ask("mxfp8", "0.30.0", MI355X, MINIMAX)
    assert reason_of(selection, "AiterMxfp8Experts") == "needs flydsl, which is not installed"
    assert ask("mxfp8", "0.30.0", MI355X, MINIMAX, with_=("flydsl",)).backend == "AITER_MXFP8"
