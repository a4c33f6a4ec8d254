"""vLLM's own kernels, where vLLM is installed beside moe-doctor: one adapter per backend option.

The parent only looks whether the package is there. The child imports it and lets vLLM's own oracle,
weight conversion and modular kernel do what a server would do (`vllm_modular`).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.proof.adapters.base import Build, PlainAdapter, Question, has_gpu, missing_kernels
from moe_doctor.proof.adapters.flashinfer_modules import (
    load_as_built,
    missing_module,
    needed_build,
    no_build,
)
from moe_doctor.proof.adapters.vllm_schemes import QUANTIZATIONS, WNA16

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.adapters.vllm_kernel import VllmKernel
    from moe_doctor.proof.inputs import Batch, Weights


def vllm_is_installed() -> bool:
    """Whether this environment has a package of that name; it is not imported."""
    return find_spec("vllm") is not None


class VllmAdapter(PlainAdapter):
    """What the server would launch for one `--moe-backend` value."""

    options: tuple[str, ...] = ()
    takes_strided = False

    def __init_subclass__(cls) -> None:
        cls.implementation = f"vllm ({cls.options[0]})"

    def mode(self, machine: MachineSnapshot) -> str:
        """A GPU, always."""
        return "gpu"

    def unavailable(self, question: Question) -> str | None:
        """Needs the package, a GPU and a scheme that is handed over."""
        if not vllm_is_installed():
            return "vllm is not installed in this environment"
        if not has_gpu(question.machine):
            return f"needs a GPU; this machine's platform is {question.machine.platform}"
        if question.scheme not in QUANTIZATIONS and question.scheme not in WNA16:
            return f"{question.scheme} weights are not handed to vLLM's own code"
        return missing_kernels(question.machine, "torch", "triton")

    def environment(self, machine: MachineSnapshot) -> dict[str, str]:
        """As the server's, without its reports home."""
        return {"VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1", "TRITON_INTERPRET": "0"}

    def prepare(self, weights: Weights) -> VllmKernel:
        """The modular kernel that vLLM makes of them."""
        from moe_doctor.proof.adapters.vllm_modular import build

        return build(weights, self.options[0])

    def meant(self, weights: Weights) -> Weights:
        """As they were made, but where vLLM rounds scales or leaves activations alone."""
        from moe_doctor.proof.adapters.vllm_rounding import as_rounded

        return as_rounded(weights, self.options[0])

    def run(self, layout: VllmKernel, batch: Batch, out: Tensor) -> Tensor:
        """One call of the modular kernel, which returns a tensor of its own."""
        return layout(batch)

    def hint(self, layout: Any, batch: Batch) -> str:
        """What is known about this release and such a batch."""
        return str(layout.hint(batch))

    def ran(self, layout: Any) -> str:
        """The experts class that the oracle chose."""
        return str(layout.name)


class VllmTriton(VllmAdapter):
    """`TritonExperts`."""

    options = ("triton",)


class VllmBatchedTriton(VllmAdapter):
    """`BatchedTritonExperts`, behind vLLM's own dispatch into the batched format."""

    options = ("batched_triton",)
    # vLLM 0.20 to 0.33 prepare_finalize/batched.py: a Python loop over experts that reads counts.
    no_graph = (
        "between these experts goes vLLM's BatchedPrepareAndFinalize, which waits for the GPU at "
        "every expert; a server's dispatch over several GPUs does not"
    )

    def run(self, layout: VllmKernel, batch: Batch, out: Tensor) -> Tensor:
        """As many calls as the format's buffers make necessary."""
        from moe_doctor.proof.adapters.batches import in_parts

        return in_parts(batch, layout)


class VllmFlashInferCutlass(VllmAdapter):
    """`FlashInferExperts`, where FlashInfer's module is compiled."""

    options = ("flashinfer_cutlass",)

    def unavailable(self, question: Question) -> str | None:
        """Needs what FlashInfer itself needs, beside vLLM."""
        return super().unavailable(question) or missing_module(question.machine, question.build)

    def environment(self, machine: MachineSnapshot) -> dict[str, str]:
        """No build may start."""
        return {**super().environment(machine), **no_build()}

    def build(self, machine: MachineSnapshot) -> Build | None:
        """FlashInfer's module, where it is not compiled."""
        return needed_build(machine)

    def meant(self, weights: Weights) -> Weights:
        """As for our own adapter: vLLM lifts scales of fp8 blocks as well."""
        from moe_doctor.proof.adapters.flashinfer_fp4 import with_activations
        from moe_doctor.proof.adapters.flashinfer_layouts import as_lifted

        return with_activations(as_lifted(weights))

    def prepare(self, weights: Weights) -> VllmKernel:
        """After FlashInfer was told where its module is."""
        import torch

        load_as_built(torch.cuda.get_device_capability())
        return super().prepare(weights)


class VllmFlashInferTrtllm(VllmAdapter):
    """`TrtLlm*Experts`, where one of them takes routes."""

    options = ("flashinfer_trtllm",)


class VllmDeepGemm(VllmAdapter):
    """`TritonOrDeepGemmExperts` or `DeepGemmExperts`."""

    options = ("deep_gemm",)


class VllmCutlass(VllmAdapter):
    """`CutlassExpertsFp8` and its like."""

    options = ("cutlass",)


class VllmMarlin(VllmAdapter):
    """`MarlinExperts`: weights are quantized, activations are not."""

    options = ("marlin",)

    def meant(self, weights: Weights) -> Weights:
        """The same weights with plain activations."""
        from moe_doctor.proof.adapters.vllm_rounding import weight_only

        return weight_only(weights)


class VllmTritonUnfused(VllmAdapter):
    """`UnfusedOAITritonExperts`: mxfp4 with adapters."""

    options = ("triton_unfused",)


class VllmEmulation(VllmAdapter):
    """`Nvfp4QuantizationEmulationTritonExperts`: 4-bit floats through 16-bit products."""

    options = ("emulation",)


class VllmAiter(VllmAdapter):
    """`AiterExperts`."""

    options = ("aiter",)


VLLM_ADAPTERS: tuple[VllmAdapter, ...] = (
    VllmTriton(),
    VllmBatchedTriton(),
    VllmFlashInferCutlass(),
    VllmFlashInferTrtllm(),
    VllmDeepGemm(),
    VllmCutlass(),
    VllmMarlin(),
    VllmTritonUnfused(),
    VllmEmulation(),
    VllmAiter(),
)
"""One per option; each goes before our own stand-in for the same option."""
