"""How a release reads the parallel sizes: when an all2all is used, and which format follows.

Source: fused_moe/config.py, FusedMoEParallelConfig.
"""

from __future__ import annotations

from moe_doctor.core.eras import by_era
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.query import Parallel
from moe_doctor.core.release import Release, span

# Backends whose dispatch hands over [E, max tokens, H] (use_batched_activation_format).
_BATCHED = {
    "deepep_low_latency": span(),
    "pplx": span(until="0.16.99"),
    "nixl_ep": span("0.20.0"),
}


def active_all2all(parallel: Parallel, release: Release) -> str | None:
    """The all2all backend in use, or None: use_all2all_kernels of the release."""
    if not parallel.use_ep:
        return None
    wide = (
        parallel.dp_size > 1
        or (parallel.sp_size > 1 and release >= (0, 25, 0))
        or (parallel.pcp_size > 1 and release >= (0, 26, 0))
    )
    return parallel.all2all_backend if wide else None


def activation_format(all2all: str | None, release: Release) -> str:
    """`batched` or `standard`."""
    held = None if all2all is None else _BATCHED.get(all2all)
    return "batched" if held is not None and held.holds(release) else "standard"


class Dispatch(NamedTuple):
    """What a release makes of the parallel sizes."""

    all2all: str | None
    """The all2all backend in use, or None."""
    activation_format: str
    """`batched` or `standard`."""
    text: str
    """The sizes as the release prints them."""


@by_era
def dispatch(parallel: Parallel, release: Release) -> Dispatch:
    """How tokens travel with these sizes."""
    all2all = active_all2all(parallel, release)
    return Dispatch(all2all, activation_format(all2all, release), parallel_text(parallel, release))


def parallel_text(parallel: Parallel, release: Release) -> str:
    """The sizes as the release prints them in a reason, for rank 0."""
    fields: dict[str, object] = {
        "tp_size": parallel.tp_size,
        "pcp_size": parallel.pcp_size,
        "dp_size": parallel.dp_size,
        "ep_size": parallel.ep_size,
        "tp_rank": 0,
        "pcp_rank": 0,
        "dp_rank": 0,
        "ep_rank": 0,
    }
    if release >= (0, 17, 0):
        fields["sp_size"] = parallel.sp_size
    fields["use_ep"] = parallel.use_ep
    fields["all2all_backend"] = parallel.all2all_backend
    if release < (0, 17, 0):
        fields["is_sequence_parallel"] = parallel.sp_size > 1
    fields["enable_eplb"] = parallel.enable_eplb
    inside = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    return f"FusedMoEParallelConfig({inside})"
