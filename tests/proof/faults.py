"""Backends that go wrong in every way that a real one can; each is run in a real child."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe_doctor.proof.adapters.base import PlainAdapter

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.inputs import Batch, Weights


class Good(PlainAdapter):
    """Right numbers: the reference itself, in the model's dtype."""

    def prepare(self, weights: Weights) -> Weights:
        return weights

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        from moe_doctor.kernels.reference import fused_moe_reference

        result = fused_moe_reference(
            batch.hidden_states,
            layout.w13,
            layout.w2,
            batch.topk_weights,
            batch.topk_ids,
            **layout.arguments(),
            lora=batch.lora,
        )
        return out.copy_(result)


class Segfault(Good):
    """Reads address 0, as a kernel launch with a stale pointer does, after noise on stderr."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        os.write(2, b"libfancy: about to launch\n")
        ctypes.string_at(0)
        return out


class SegfaultInSecondCase(Segfault):
    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        if batch.hidden_states.shape[0] == 2:
            return Good.run(self, layout, batch, out)
        return super().run(layout, batch, out)


class RunsOutOfHostMemory(Good):
    """Python's own MemoryError, from a real limit on the address space."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + (64 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        bytearray(1 << 30)
        return out


class RunsOutOfTorchMemory(Good):
    """torch's allocator refuses: more than any machine has."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        import torch

        return torch.empty(1 << 50, dtype=torch.int8)


class Raises(Good):
    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        raise RuntimeError("Error occurred when running GEMM")


class RaisesOnce(Good):
    """A batch size that the backend has no kernel for."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        if batch.hidden_states.shape[0] == 2:
            raise RuntimeError("Error occurred when running GEMM")
        return super().run(layout, batch, out)


class LosesTheContext(Good):
    """As torch reports a device-side assert or an illegal access: every later call raises too."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        class AcceleratorError(RuntimeError):
            pass

        raise AcceleratorError("CUDA error: device-side assert triggered")


class DiffersInBits(Good):
    """Promises equal bits and adds in another order every time."""

    repeatable = True
    calls = 0

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        self.calls += 1
        return super().run(layout, batch, out).mul_(1 + self.calls * 2.0**-22)


class WrongNumbers(Good):
    """Gate and up swapped."""

    def prepare(self, weights: Weights) -> Any:
        from dataclasses import replace

        import torch

        gate, up = weights.plain()[0].chunk(2, dim=1)
        return replace(weights, w13=torch.cat((up, gate), dim=1))


class LeavesRowsUnwritten(Good):
    """Returns a fresh tensor of which the last row was never written."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        import torch

        fresh = torch.empty_like(out)
        fresh[:-1] = super().run(layout, batch, out)[:-1]
        return fresh


class IsKilled(Good):
    """As the kernel's OOM killer or an operator would."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return out


class ExitsEarly(Good):
    """A library that calls exit()."""

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        os._exit(7)


class HangsWithCompiler:
    """Starts a compiler that outlives it, says who they are, and never comes back."""

    def __init__(self) -> None:
        compiler = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["FAULTS_PIDS"]).write_text(f"{os.getpid()} {compiler.pid}")
        time.sleep(600)


class Compiles(Good):
    """Prints what ninja prints, for longer than a case may take."""

    def prepare(self, weights: Weights) -> Weights:
        for done in (1, 2, 3):
            os.write(1, f"[{done}/3] nvcc -c kernel_{done}.cu\n".encode())
            time.sleep(1.0)
        return weights


class HangsAfterCompiling(Good):
    """A build that never ends."""

    def prepare(self, weights: Weights) -> Weights:
        os.write(1, b"[1/2] nvcc -c kernel_1.cu\n")
        time.sleep(600)
        return weights


class IsShy:
    """A module that torch is not there for."""

    def __init__(self) -> None:
        raise ModuleNotFoundError("No module named 'fancykernels'")
