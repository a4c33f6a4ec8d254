"""FlashInfer's TRT-LLM fused MoE of Blackwell, with routes handed over (`trtllm_*_routed_moe`).

Written after FlashInfer 0.6.13 and vLLM 0.20.0's TrtLlm*Experts. No machine with such a GPU has run
it yet: tests on the CPU undo every layout and compare what is left with the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.units import format_capability
from moe_doctor.kernels.activations import SWIGLU_OAI
from moe_doctor.kernels.schemes import NONE
from moe_doctor.proof.adapters.base import PlainAdapter, Question, missing_kernels
from moe_doctor.proof.adapters.flashinfer_modules import PACKAGE, find_built, no_build

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.adapters.flashinfer_trtllm_layouts import TrtllmLayout
    from moe_doctor.proof.inputs import Batch, Weights

MODULE = "fused_moe_trtllm_sm100"
"""FlashInfer's name of the compiled module; it loads its kernels' machine code at run time."""
SCHEMES = (NONE, "fp8_block_128x128", "nvfp4", "mxfp4")
"""Schemes that have a function which takes routes; fp8 per tensor has only one that routes."""


class FlashInferTrtllmAdapter(PlainAdapter):
    """`flashinfer.fused_moe.trtllm_*_routed_moe`."""

    options = ("flashinfer_trtllm",)
    implementation = "flashinfer.fused_moe.trtllm_routed_moe"

    def mode(self, machine: MachineSnapshot) -> str:
        """A GPU, always."""
        return "gpu"

    def unavailable(self, question: Question) -> str | None:
        """Needs Blackwell's data-center GPUs, the package, its compiled module, and no LoRA."""
        machine = question.machine
        seen = machine.capability
        if seen is None or seen[0] != 10:
            here = "there is no GPU here"
            here = here if seen is None else f"this one is {format_capability(seen)}"
            return f"needs a GPU of compute capability 10.x; {here}"
        if question.lora:
            return "flashinfer's TRT-LLM MoE takes a LoRA delta, not adapters"
        missing = missing_kernels(machine, "torch")
        if missing is None and not machine.has(PACKAGE):
            missing = f"{PACKAGE} not installed: pip install 'moe-doctor[flashinfer]'"
        if missing is None and not question.build:
            missing = _not_built(machine)
        return _unfit_layer(question) or missing

    def environment(self, machine: MachineSnapshot) -> dict[str, str]:
        """No build may start where the module is compiled."""
        return {} if _not_built(machine) else no_build()

    def meant(self, weights: Weights) -> Weights:
        """nvfp4 with quantized activations; the rest as it was made."""
        from moe_doctor.proof.adapters.flashinfer_fp4 import with_activations

        return with_activations(weights)

    def prepare(self, weights: Weights) -> TrtllmLayout:
        """Rows in turns and shuffled, scales in tiles."""
        from moe_doctor.proof.adapters.flashinfer_trtllm_layouts import make_layout

        return make_layout(weights)

    def run(self, layout: TrtllmLayout, batch: Batch, out: Tensor) -> Tensor:
        """One call, untuned."""
        from flashinfer import fused_moe

        from moe_doctor.proof.adapters.flashinfer_trtllm_layouts import packed_routes

        function = getattr(fused_moe, layout.function)
        made = function(
            topk_ids=packed_routes(batch.topk_ids, batch.topk_weights),
            **layout.input(batch.hidden_states),
            **layout.arguments,
            top_k=batch.topk_ids.shape[1],
        )
        whole: Tensor = made[0] if isinstance(made, (list, tuple)) else made
        return whole[:, : out.shape[1]]


def _not_built(machine: MachineSnapshot) -> str | None:
    if find_built(MODULE, machine.version(PACKAGE) or "") is not None:
        return None
    return (
        f"{MODULE}.so is not built for this machine: --build lets FlashInfer compile it and fetch "
        "its kernels; or install the flashinfer-jit-cache and flashinfer-cubin wheels"
    )


def _unfit_layer(question: Question) -> str | None:
    scheme = question.scheme
    if scheme not in SCHEMES:
        return f"takes {', '.join(SCHEMES)}; these weights are {scheme}"
    if question.dtype != "bfloat16":
        return f"takes bfloat16 hidden states; these are {question.dtype}"
    kind = (question.activation, question.gated)
    words = f"{'gated' if question.gated else 'non-gated'} {question.activation}"
    if scheme == "mxfp4":
        fits = kind in (("silu", True), *((name, True) for name in SWIGLU_OAI))
        return None if fits else f"has gated silu and SwiGLU-OAI for mxfp4; this layer is {words}"
    known = (
        [("silu", True)] if scheme == "fp8_block_128x128" else [("silu", True), ("relu2", False)]
    )
    if kind not in known:
        return f"has {' and '.join(name for name, _ in known)} for {scheme}; this layer is {words}"
    what = ["a bias"] * question.has_bias + ["a clamp"] * (question.limit is not None)
    if what:
        return f"takes a bias and a clamp with mxfp4 alone; this layer has {' and '.join(what)}"
    return None
