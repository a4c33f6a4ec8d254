"""Experts without a gate where they do not run: before 0.24.0 their method comes first."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor import select

NEMOTRON = "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"


def said(release: str, platform: str, **options: Any) -> str:
    report = select(
        NEMOTRON,
        engine=f"vllm@{release}",
        platform=platform,
        lora=False,
        level=2,
        offline=True,
        **options,
    )
    (error,) = (one.error for one in report.selections)
    assert error is not None
    return f"{error.type}: {error.message}"


@pytest.mark.parametrize(
    ("release", "platform", "message"),
    [
        (
            "0.20.2",
            "xpu",
            "NotImplementedError: No Unquantized MoE backend supports the deployment "
            "configuration.",
        ),
        (
            "0.19.1",
            "cpu",
            "NotImplementedError: is_act_and_mul=False is supported only for CUDA and ROCm for now",
        ),
        (
            "0.33.0",
            "cpu",
            "NotImplementedError: is_act_and_mul=False is supported only for CUDA, XPU and ROCm "
            "for now",
        ),
    ],
)
def test_the_oracle_answers_before_the_gate_is_looked_at_until_0_24(
    release: str, platform: str, message: str
) -> None:
    assert said(release, platform) == message


def test_the_config_is_read_before_the_gate_is_looked_at() -> None:
    message = said("0.33.0", "cpu", dtype="float32", quantization="fp8")
    assert message.startswith("ValidationError: 1 validation error for VllmConfig")
    assert "torch.float32 is not supported for quantization method fp8" in message
