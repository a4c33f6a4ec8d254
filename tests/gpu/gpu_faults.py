"""Backends that break a GPU's context, its memory or its time; each is run in a real child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from moe_doctor.proof.adapters.triton import TritonAdapter

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.inputs import Batch, Weights


class Good(TritonAdapter):
    """Our own kernels."""


class DeviceAssert(Good):
    """An expert id beyond the table, as a kernel's own assert reports it."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        import torch

        table = torch.zeros(4, device=out.device)
        out[0, 0] = table[batch.topk_ids.long() + 1_000_000].sum()
        torch.cuda.synchronize()
        return out


class IllegalAccess(Good):
    """A store to an address that is nobody's."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        import torch

        from tests.gpu.wild_store import store_far

        store_far[(1,)](out, 1 << 42)
        torch.cuda.synchronize()
        return out


class OutOfMemory(Good):
    """More than any GPU has."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        import torch

        return torch.empty(1 << 50, dtype=torch.int8, device=out.device)


class Hangs(Good):
    """A kernel that does not come back, and a compiler that it started."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        import torch

        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        torch.cuda._sleep(1 << 60)
        torch.cuda.synchronize()
        return out


class IsKilled(Good):
    """With work in flight."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        import torch

        torch.cuda._sleep(1 << 40)
        os.kill(os.getpid(), signal.SIGKILL)
        return out
