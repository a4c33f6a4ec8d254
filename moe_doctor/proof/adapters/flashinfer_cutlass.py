"""FlashInfer's CUTLASS fused MoE, where its compiled module is already on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.units import format_capability
from moe_doctor.kernels.schemes import NONE
from moe_doctor.proof.adapters.base import PlainAdapter, Question, has_gpu, missing_kernels
from moe_doctor.proof.adapters.flashinfer_modules import load_as_built, missing_module, no_build

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.inputs import Batch, Weights

# FlashInfer 0.6.13 fused_moe/core.py, get_cutlass_fused_moe_module; vLLM 0.20.0 asks for the same
# families (fused_moe/flashinfer_cutlass_moe.py, _supports_current_device).
_FAMILIES = (9, 10, 11, 12)


class FlashInferCutlassAdapter(PlainAdapter):
    """`flashinfer.fused_moe.cutlass_fused_moe` on unquantized weights."""

    options = ("flashinfer_cutlass",)
    implementation = "flashinfer.fused_moe.cutlass_fused_moe"

    def mode(self, machine: MachineSnapshot) -> str:
        """A GPU, always."""
        return "gpu"

    def unavailable(self, question: Question) -> str | None:
        """Needs a CUDA GPU of a known family, the package, its compiled module, and no LoRA."""
        machine = question.machine
        if question.lora:
            return "flashinfer.fused_moe.cutlass_fused_moe takes no LoRA adapters"
        if machine.platform != "cuda" or not has_gpu(machine):
            return f"needs a CUDA GPU; this machine's platform is {machine.platform}"
        capability = machine.capability
        if capability is None or capability[0] not in _FAMILIES or capability[1] > 9:
            seen = "unknown" if capability is None else format_capability(capability)
            return f"needs compute capability 9.0, 10.x, 11.x or 12.x; this GPU's is {seen}"
        if question.dtype not in ("bfloat16", "float16"):
            return f"needs bfloat16 or float16 weights; these are {question.dtype}"
        if (question.activation, question.gated) not in (("silu", True), ("relu2", False)):
            seen = f"{'gated' if question.gated else 'non-gated'} {question.activation}"
            return f"has gated silu and non-gated relu2; this layer is {seen}"
        if question.scheme != NONE or question.has_bias or question.limit is not None:
            what = [question.scheme] * (question.scheme != NONE)
            what += ["a bias"] * question.has_bias + ["a clamp"] * (question.limit is not None)
            return f"this adapter has plain weights alone; this layer has {' and '.join(what)}"
        missing = missing_kernels(machine, "torch")
        if missing is not None:
            return missing
        return missing_module(machine)

    def environment(self, machine: MachineSnapshot) -> dict[str, str]:
        """No build may start; nvcc must be found, because FlashInfer asks it for its release."""
        variables = no_build()
        nvcc = machine.toolkit.nvcc_path or "/usr/local/cuda/bin/nvcc"
        if shutil.which("nvcc") is None and Path(nvcc).exists():
            path = os.environ.get("PATH", os.defpath)
            variables["PATH"] = f"{path}{os.pathsep}{Path(nvcc).parent}"
        return variables

    def prepare(self, weights: Weights) -> Weights:
        """[up, gate] rows for SwiGLU, where everyone else has [gate, up]; the rest as it is."""
        from dataclasses import replace

        import torch

        load_as_built(torch.cuda.get_device_capability())
        if not weights.geometry.gated:
            return weights
        gate, up = weights.plain()[0].chunk(2, dim=1)
        return replace(weights, w13=torch.cat((up, gate), dim=1))

    def run(self, layout: Weights, batch: Batch, out: Tensor) -> Tensor:
        """One call, untuned: the fallback tactic gives the same numbers as a tuned one."""
        from flashinfer.fused_moe import cutlass_fused_moe
        from flashinfer.fused_moe.core import ActivationType

        w13, w2 = layout.plain()
        kind = ActivationType.Swiglu if layout.geometry.gated else ActivationType.Relu2
        cutlass_fused_moe(
            input=batch.hidden_states,
            token_selected_experts=batch.topk_ids.contiguous(),
            token_final_scales=batch.topk_weights.contiguous(),
            fc1_expert_weights=w13,
            fc2_expert_weights=w2,
            output_dtype=out.dtype,
            quant_scales=[],
            output=out,
            activation_type=kind,
        )
        return out
