"""What a backend must answer and do to be proved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.record import record
from moe_doctor.kernels.schemes import NONE

if TYPE_CHECKING:
    from torch import Tensor

    from moe_doctor.proof.inputs import Batch, Weights


@record
class Question:
    """Can this layer be proved here: all that the parent knows without importing torch."""

    machine: MachineSnapshot
    """The machine of this process, never a simulated one."""
    dtype: str
    """Dtype of the model."""
    activation: str
    """Nonlinearity, as `MoESpec.activation` spells it."""
    gated: bool
    """Whether w13 holds gate and up rows."""
    lora: bool
    """Whether adapters are applied."""
    scheme: str = NONE
    """How weights and activations are quantized: a name of `moe_doctor.kernels.schemes`."""
    has_bias: bool = False
    """Whether both projections add a bias."""
    limit: float | None = None
    """Clamp before a gated activation, where the model has one."""
    build: bool = False
    """Whether the child may compile what is missing."""


@record
class Build:
    """What a child compiles before it can run."""

    what: str
    """Name of the library."""
    files: int | None
    """Files to compile; None where nobody counted them."""
    jobs: int
    """Compilers at the same time."""
    minutes: float
    """Estimate for this machine."""

    @property
    def words(self) -> str:
        """Files, minutes, memory and jobs, as one phrase."""
        files = "an unknown number of files" if self.files is None else f"{self.files} files"
        jobs = f"{self.jobs} jobs" if self.jobs > 1 else "1 job"
        return (
            f"{files}, about {self.minutes:.0f} minutes here with {jobs} of up to "
            f"{JOB_MEMORY_BYTES >> 30} GiB each"
        )

    @property
    def deadline_s(self) -> float:
        """Seconds after which it is given up: three times the estimate, ten minutes at least."""
        return max(600.0, 180.0 * self.minutes)


JOB_MEMORY_BYTES = 8 << 30
"""What one compiler of a CUTLASS MoE file may take: 3 to 8 GiB were seen (flashinfer#3634)."""


class UnfitError(Exception):
    """Raised by `prepare`: the backend is there, and this layer or this machine is not for it.

    The message says what was seen; the proof is skipped with it.
    """


class Adapter(Protocol):
    """One backend; stateless, so that parent and child can each make their own."""

    @property
    def options(self) -> tuple[str, ...]:
        """`--moe-backend` values that it proves, its own name first."""

    @property
    def implementation(self) -> str:
        """Whose kernel runs, such as `flashinfer.fused_moe.cutlass_fused_moe`."""

    @property
    def repeatable(self) -> bool:
        """Whether two runs with the same inputs are promised to be equal in every bit."""

    @property
    def takes_strided(self) -> bool:
        """Whether hidden states and routes may be slices of wider tensors."""

    @property
    def no_graph(self) -> str:
        """Why no CUDA graph can hold a call; empty where one can."""

    def mode(self, machine: MachineSnapshot) -> str:
        """`gpu`, `interpreter` or `cpu`: how it would run on this machine."""

    def unavailable(self, question: Question) -> str | None:
        """Why it cannot run here, with what was seen and what it needs; None when it can."""

    def environment(self, machine: MachineSnapshot) -> dict[str, str]:
        """Variables that its child needs, on top of the parent's."""

    def build(self, machine: MachineSnapshot) -> Build | None:
        """What its child would have to compile first; None when nothing."""

    def meant(self, weights: Weights) -> Weights:
        """The weights as the backend reads them: the reference computes with these."""

    def prepare(self, weights: Weights) -> Any:
        """Weights in the backend's own layout; raises UnfitError where it cannot run after all."""

    def ran(self, layout: Any) -> str:
        """Whose kernel `run` launches with this layout, where it was not known before."""

    def hint(self, layout: Any, batch: Batch) -> str:
        """What is known about wrong numbers with such a batch; empty where nothing is."""

    def run(self, layout: Any, batch: Batch, out: Tensor) -> Tensor:
        """Write the layer's output [T, H] into `out`, or return another tensor that holds it."""


class PlainAdapter:
    """What most backends answer to the questions that few have an answer of their own to."""

    implementation = ""
    repeatable = False
    takes_strided = True
    no_graph = ""

    def build(self, machine: MachineSnapshot) -> Build | None:
        """Nothing is missing."""
        return None

    def meant(self, weights: Weights) -> Weights:
        """As they were made."""
        return weights

    def hint(self, layout: Any, batch: Batch) -> str:
        """Nothing."""
        return ""

    def ran(self, layout: Any) -> str:
        """As it was announced."""
        return self.implementation


def has_gpu(machine: MachineSnapshot) -> bool:
    """Whether torch's CUDA interface (ROCm answers to it as well) has a device here."""
    return machine.platform in ("cuda", "rocm") and machine.gpu is not None


def missing_kernels(machine: MachineSnapshot, *names: str) -> str | None:
    """The sentence for a machine without torch or triton; None when all `names` are there."""
    missing = [name for name in names if not machine.has(name)]
    if "triton" in missing and machine.platform == "rocm" and machine.has("torch"):
        missing.remove("triton")  # comes as pytorch-triton-rocm or triton-rocm beside torch
    if not missing:
        return None
    return f"{' and '.join(missing)} not installed: pip install 'moe-doctor[kernels]'"
