"""Our own Triton kernels: on the GPU, or in Triton's interpreter on a machine without one."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.kernels.activations import SWIGLU_OAI
from moe_doctor.proof.adapters.base import PlainAdapter, Question, has_gpu, missing_kernels

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.inputs import Batch, Weights

ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "relu", "relu2", *SWIGLU_OAI)
"""What the kernels know; a test holds it equal to the kernels' own list."""


class TritonAdapter(PlainAdapter):
    """`moe_doctor.kernels.fused_moe`, the stand-in for an engine's Triton experts."""

    options = ("triton",)
    implementation = "moe_doctor.kernels.fused_moe"
    repeatable = True  # no atomic adds: every sum has one order

    def mode(self, machine: MachineSnapshot) -> str:
        """The GPU where there is one."""
        return "gpu" if has_gpu(machine) else "interpreter"

    def unavailable(self, question: Question) -> str | None:
        """Needs torch, triton and an activation that the kernels know."""
        if question.activation not in ACTIVATIONS:
            return (
                f"activation is {question.activation}; our Triton kernel has "
                f"{', '.join(ACTIVATIONS)}"
            )
        target = "" if question.machine.gpu is None else question.machine.gpu.target
        if question.scheme.startswith("fp8") and target.startswith("gfx94"):
            return f"{target} multiplies e4m3fnuz; our Triton kernel has e4m3"
        missing = missing_kernels(question.machine, "torch", "triton")
        if missing is None and not has_gpu(question.machine) and find_spec("numpy") is None:
            return (
                "numpy, which Triton's interpreter runs on, is not installed: "
                "pip install 'moe-doctor[kernels]'"
            )
        return missing

    def environment(self, machine: MachineSnapshot) -> dict[str, str]:
        """Triton decides at import whether it interprets."""
        if has_gpu(machine):
            return {"TRITON_INTERPRET": "0"}
        # Two children run side by side, and the interpreter's matrix products are small: threads
        # of one BLAS would only wait for those of the other (twice as slow on two cores).
        single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        return {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", **single}

    def prepare(self, weights: Weights) -> Weights:
        """The plain layout is the kernels' own; imported here, so that no case pays for it."""
        import moe_doctor.kernels.fused_moe  # noqa: F401

        return weights

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        """One call of the fused kernel."""
        from moe_doctor.kernels.fused_moe import fused_moe

        return fused_moe(
            batch.hidden_states,
            layout.w13,
            layout.w2,
            batch.topk_weights,
            batch.topk_ids,
            **layout.arguments(),
            lora=batch.lora,
            out=out,
        )
