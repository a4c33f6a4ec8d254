"""What a constraint looks at: the question, the machine's answers, and what follows from both."""

from __future__ import annotations

from typing import Any

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import field, record
from moe_doctor.core.release import Release


@record
class Facts:
    """What an engine release would find out about a machine, asked once and cached."""

    platform: str
    """`cuda`, `rocm`, `xpu`, `cpu`, `tpu`, `oot`."""
    capability: tuple[int, int] | None = None
    """CUDA compute capability."""
    arch: str = ""
    """ROCm architecture."""
    gpu_name: str = ""
    """For messages."""
    cpu_arch: str = "x86_64"
    """Host architecture, as `uname -m`."""
    features: frozenset[str] = frozenset()
    """What the release's own checks answer yes to: `flashinfer_cutlass`, `aiter_fused_moe`, ..."""
    missing: dict[str, str] = field(default_factory=dict, hash=False)
    """For a feature that is not there: why, one clause."""
    batch_invariant: bool = False
    """Whether VLLM_BATCH_INVARIANT is on."""
    humming_gemm: str = ""
    """VLLM_HUMMING_MOE_GEMM_TYPE in lower case; empty = not set."""
    verdicts: dict[tuple[int, bool], tuple[object, Rejection | None]] = field(
        default_factory=dict, hash=False, compare=False, repr=False
    )
    """What device conditions said before, terse or not: they look at nothing but these facts."""
    settled: dict[Release, object] = field(
        default_factory=dict, hash=False, compare=False, repr=False
    )
    """A release's kernels as these facts leave them (`registry.settled_kernels`)."""
    kernels: dict[tuple[int, bool], Any] = field(
        default_factory=dict, hash=False, compare=False, repr=False
    )
    """The same by the identity of what a release states, which releases share."""
    programs: dict[tuple[str, Release], object] = field(
        default_factory=dict, hash=False, compare=False, repr=False
    )
    """A release's oracles on this machine, with what they have answered."""

    @property
    def device(self) -> str:
        """How messages call the device: `sm_90`, `gfx942`, `cpu`."""
        if self.capability is not None:
            return f"sm_{self.capability[0]}{self.capability[1]}"
        return self.arch or self.platform


class Situation(NamedTuple):
    """One question on one machine under one release."""

    query: MoEQuery
    """The layer and its deployment."""
    facts: Facts
    """The machine."""
    all2all: str | None = None
    """The all2all backend in use, or None where the release uses none for these sizes."""
    activation_format: str = "standard"
    """`standard` or `batched`: what the dispatch hands to the experts."""
    parallel_text: str = ""
    """The parallel sizes as the engine prints them in its reasons."""
    scheme_text: str = ""
    """Weight and activation format as the engine prints them in its reasons."""
    routing_text: str = ""
    """The routing method as the engine prints it in its reasons."""
    scheme_error: str = ""
    """What printing the formats raises as KeyError in this release; empty where they print."""
    terse: bool = False
    """Whether the engine's reasons leave out what they saw (0.16.0)."""


class Rejection(NamedTuple):
    """Why a kernel cannot take it, twice."""

    engine: str
    """In the engine's own words."""
    doctor: str
    """With what was seen and what is needed."""
    raises: str = ""
    """The KeyError that ends the engine's oracle while it words this reason."""
