"""Kernel tests run on the GPU when there is one, and in Triton's interpreter otherwise."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch

MISSING = [name for name in ("torch", "triton") if importlib.util.find_spec(name) is None]
if MISSING:
    # Every module here imports them, so none can be collected: pip install 'moe-doctor[kernels]'.
    collect_ignore_glob = ["test_*.py"]
else:
    import torch as _torch

    # The matrices are small: on a busy machine threads wait for each other twenty times as long.
    _torch.set_num_threads(1)
    if not _torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # read by triton at import


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where kernels run: the GPU, or the CPU through the interpreter."""
    return _torch.device("cuda" if _torch.cuda.is_available() else "cpu")


@pytest.fixture(params=["float16", "float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest, device: torch.device) -> torch.dtype:
    """Every dtype that this device computes right."""
    if request.param == "bfloat16" and device.type == "cpu":
        pytest.skip("Triton's interpreter computes bfloat16 wrongly: numpy has no such type")
    return getattr(_torch, request.param)
