"""DeepGEMM's grouped fp8 GEMMs by themselves, where the package is importable without vLLM.

The layer around them is plain torch: rows sorted by expert, quantized by token and 128 values.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.units import format_capability
from moe_doctor.proof.adapters.base import PlainAdapter, Question, UnfitError, missing_kernels
from moe_doctor.proof.adapters.triton import ACTIVATIONS

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.adapters.deep_gemm_rows import GroupedGemm
    from moe_doctor.proof.inputs import Batch, Weights

_SCHEME = "fp8_block_128x128"


def deep_gemm_is_installed() -> bool:
    """Whether this environment has a package of that name; it is not imported."""
    return find_spec("deep_gemm") is not None


class DeepGemmAdapter(PlainAdapter):
    """`deep_gemm.m_grouped_fp8_gemm_nt_contiguous`, twice."""

    options = ("deep_gemm",)
    implementation = "deep_gemm.m_grouped_fp8_gemm_nt_contiguous"

    def mode(self, machine: MachineSnapshot) -> str:
        """A GPU, always."""
        return "gpu"

    def unavailable(self, question: Question) -> str | None:
        """Needs a Hopper GPU, the package, fp8 blocks, and no LoRA."""
        seen = question.machine.capability
        if seen is None or seen[0] != 9:
            # On Blackwell it wants scales that are powers of two, which these are not.
            here = "there is no GPU here"
            here = here if seen is None else f"this one is {format_capability(seen)}"
            return f"needs a GPU of compute capability 9.0; {here}"
        if question.lora:
            return "deep_gemm takes no LoRA adapters"
        if question.scheme != _SCHEME:
            return f"takes {_SCHEME} weights; these are {question.scheme}"
        if question.dtype != "bfloat16":
            return f"gives bfloat16; the hidden states are {question.dtype}"
        if question.has_bias:
            return "a bias is not added around deep_gemm"
        if question.activation not in ACTIVATIONS:
            return f"activation is {question.activation}; expected one of {', '.join(ACTIVATIONS)}"
        if not deep_gemm_is_installed():
            return (
                "deep_gemm is not installed in this environment (vLLM from 0.20.0 on brings its "
                "own, which a proof runs where vllm is)"
            )
        return missing_kernels(question.machine, "torch")

    def environment(self, machine: MachineSnapshot) -> dict[str, str]:
        """Nothing beside the parent's."""
        return {}

    def prepare(self, weights: Weights) -> GroupedGemm:
        """The weights are DeepGEMM's own layout; raises UnfitError for sizes without blocks."""
        from moe_doctor.proof.adapters.deep_gemm_rows import GroupedGemm

        deep_gemm = import_module("deep_gemm")
        geometry = weights.geometry
        sizes = geometry.hidden_size, geometry.intermediate_size_per_partition
        if any(size % 128 for size in sizes):
            raise UnfitError(
                "deep_gemm's blocks of 128 x 128 need hidden and expert sizes that are multiples "
                f"of 128; these are {sizes[0]} and {sizes[1]}"
            )
        function = getattr(deep_gemm, "m_grouped_fp8_gemm_nt_contiguous", None)
        if function is None:
            version = getattr(deep_gemm, "__version__", "of unknown release")
            raise UnfitError(f"deep_gemm {version} has no m_grouped_fp8_gemm_nt_contiguous")
        alignment = getattr(deep_gemm, "get_mk_alignment_for_contiguous_layout", lambda: 128)()
        return GroupedGemm(weights, function, int(alignment))

    def run(self, layout: GroupedGemm, batch: Batch, out: Tensor) -> Tensor:
        """Sort, GEMM, activation, GEMM, sum."""
        return out.copy_(layout(batch))
