"""`--enable-dbo`: which all2all backends let two halves of a batch overlap, release by release."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor import select

HEAD = (
    "1 validation error for VllmConfig\n  Assertion failed, Microbatching currently only supports "
    "the deepep_low_latency"
)
MODEL = "Qwen/Qwen3-30B-A3B"


def said(release: str, **options: Any) -> str | None:
    asked = {"gpu": "h100", "data_parallel_size": 8, "expert_parallel": True, **options}
    asked = {name: value for name, value in asked.items() if value is not None}
    engine = f"vllm@{release}"
    report = select(MODEL, engine=engine, enable_dbo=True, lora=False, offline=True, **asked)
    (error,) = {one.error for one in report.selections}
    return None if error is None else error.message


@pytest.mark.parametrize(
    ("release", "rest"),
    [
        (
            "0.17.1",
            " and deepep_high_throughput all2all backend. allgather_reducescatter is not "
            "supported. To fix use --all2all-backend=deepep_low_latency or "
            "--all2all-backend=deepep_high_throughput and install the DeepEP kernels.",
        ),
        (
            "0.30.0",
            ", deepep_high_throughput, and nixl_ep all2all backends. allgather_reducescatter is "
            "not supported. To fix use --all2all-backend=deepep_low_latency, "
            "--all2all-backend=deepep_high_throughput, or --all2all-backend=nixl_ep and install "
            "the matching kernels.",
        ),
        (
            "0.33.0",
            ", deepep_high_throughput, nixl_ep all2all backends on this platform. "
            "allgather_reducescatter is not supported. To fix use one of "
            "--all2all-backend=deepep_low_latency, --all2all-backend=deepep_high_throughput, "
            "--all2all-backend=nixl_ep and install the matching kernels.",
        ),
    ],
)
def test_the_default_all2all_backend_does_not_overlap(release: str, rest: str) -> None:
    assert said(release) == HEAD + rest


def test_deepep_overlaps_and_nixl_from_0_24() -> None:
    assert said("0.17.1", all2all_backend="deepep_low_latency") is None
    assert HEAD in (said("0.23.0", all2all_backend="nixl_ep") or "")
    assert "Microbatching" not in (said("0.24.0", all2all_backend="nixl_ep") or "")


def test_amd_gathers_and_overlaps_from_0_33() -> None:
    amd = {"gpu": None, "platform": "rocm", "arch": "gfx942"}
    assert HEAD in (said("0.32.0", **amd) or "")
    assert said("0.33.0", **amd) is None
