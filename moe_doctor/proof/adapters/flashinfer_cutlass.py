"""FlashInfer's CUTLASS fused MoE, where its compiled module is already on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.units import format_capability
from moe_doctor.kernels.activations import SWIGLU_OAI
from moe_doctor.kernels.schemes import NONE
from moe_doctor.proof.adapters.base import Build, PlainAdapter, Question, has_gpu, missing_kernels
from moe_doctor.proof.adapters.flashinfer_modules import (
    load_as_built,
    missing_module,
    needed_build,
    no_build,
)

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.adapters.flashinfer_layouts import Layout
    from moe_doctor.proof.inputs import Batch, Weights

# FlashInfer 0.6.13 fused_moe/core.py, get_cutlass_fused_moe_module; vLLM 0.20.0 asks for the same
# families (fused_moe/flashinfer_cutlass_moe.py, _supports_current_device).
_FAMILIES = (9, 10, 11, 12)
# The second: vLLM 0.33 FlashInferExperts._supports_quant_scheme; FlashInfer raises elsewhere.
SCHEMES = {
    NONE: _FAMILIES,
    "fp8_tensor_static": _FAMILIES,
    "fp8_block_128x128": (9,),
    "mxfp4": (9,),
    "nvfp4": (10, 11, 12),
}
"""Schemes that have a layout, with the major compute capabilities that each runs on."""


class FlashInferCutlassAdapter(PlainAdapter):
    """`flashinfer.fused_moe.cutlass_fused_moe`."""

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
        return (
            _unfit_layer(question, capability)
            or missing_kernels(machine, "torch")
            or missing_module(machine, question.build)
        )

    def environment(self, machine: MachineSnapshot) -> dict[str, str]:
        """No build may start; nvcc must be found, because FlashInfer asks it for its release."""
        variables = no_build()
        nvcc = machine.toolkit.nvcc_path or "/usr/local/cuda/bin/nvcc"
        if shutil.which("nvcc") is None and Path(nvcc).exists():
            path = os.environ.get("PATH", os.defpath)
            variables["PATH"] = f"{path}{os.pathsep}{Path(nvcc).parent}"
        return variables

    def build(self, machine: MachineSnapshot) -> Build | None:
        """The module, where it is not compiled."""
        return needed_build(machine)

    def meant(self, weights: Weights) -> Weights:
        """As they were made, but for lifted scales of fp8 blocks and nvfp4's activations."""
        from moe_doctor.proof.adapters.flashinfer_fp4 import with_activations
        from moe_doctor.proof.adapters.flashinfer_layouts import as_lifted

        return with_activations(as_lifted(weights))

    def prepare(self, weights: Weights) -> Layout:
        """[up, gate] rows for SwiGLU, where everyone else has [gate, up], and scales to match."""
        import torch

        from moe_doctor.proof.adapters.flashinfer_layouts import make_layout

        load_as_built(torch.cuda.get_device_capability())
        return make_layout(weights)

    def run(self, layout: Layout, batch: Batch, out: Tensor) -> Tensor:
        """One call, untuned: the fallback tactic gives the same numbers as a tuned one."""
        from flashinfer.fused_moe import cutlass_fused_moe
        from flashinfer.fused_moe.core import ActivationType

        num_tokens, width = out.shape
        kind = ActivationType.Swiglu if layout.geometry.gated else ActivationType.Relu2
        padded = layout.hidden_size > width
        whole = out.new_empty(num_tokens, layout.hidden_size) if padded else out
        cutlass_fused_moe(
            input=layout.input(batch.hidden_states),
            token_selected_experts=batch.topk_ids.contiguous(),
            token_final_scales=batch.topk_weights.contiguous(),
            fc1_expert_weights=layout.w13,
            fc2_expert_weights=layout.w2,
            output_dtype=out.dtype,
            quant_scales=layout.quant_scales,
            output=whole,
            activation_type=kind,
            **layout.options,
        )
        return whole[:, :width] if padded else out


def _unfit_layer(question: Question, capability: tuple[int, int]) -> str | None:
    """Why the layer, of whatever size, is not for the kernel on a GPU of this family."""
    scheme = question.scheme
    if scheme not in SCHEMES:
        return f"takes {', '.join(SCHEMES)}; these weights are {scheme}"
    if capability[0] not in SCHEMES[scheme]:
        where = ", ".join("9.0" if one == 9 else f"{one}.x" for one in SCHEMES[scheme])
        return (
            f"takes {scheme} weights on compute capability {where} alone; this GPU's is "
            f"{format_capability(capability)}"
        )
    kind = (question.activation, question.gated)
    if scheme == "mxfp4":
        if question.dtype != "bfloat16":
            return f"takes mxfp4 weights with bfloat16 inputs; these are {question.dtype}"
        if kind not in (("silu", True), *((name, True) for name in SWIGLU_OAI)):
            return f"has gated silu and SwiGLU-OAI for mxfp4; this layer is {_words(question)}"
        return None
    if kind not in (("silu", True), ("relu2", False)):
        return f"has gated silu and non-gated relu2; this layer is {_words(question)}"
    what = ["a bias"] * question.has_bias + ["a clamp"] * (question.limit is not None)
    if what:
        return f"takes a bias and a clamp with mxfp4 alone; this layer has {' and '.join(what)}"
    return None


def _words(question: Question) -> str:
    return f"{'gated' if question.gated else 'non-gated'} {question.activation}"
