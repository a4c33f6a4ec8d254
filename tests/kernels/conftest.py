"""Kernel tests run on the GPU when there is one, and in Triton's interpreter otherwise."""

from __future__ import annotations

import os

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'moe-doctor[kernels]'")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read by triton at import
pytest.importorskip("triton", reason="triton is not installed: pip install 'moe-doctor[kernels]'")


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where kernels run: the GPU, or the CPU through the interpreter."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(params=["float16", "float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest, device: torch.device) -> torch.dtype:
    """Every dtype that this device computes right."""
    if request.param == "bfloat16" and device.type == "cpu":
        pytest.skip("Triton's interpreter computes bfloat16 wrongly: numpy has no such type")
    return getattr(torch, request.param)
