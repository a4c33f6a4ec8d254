"""Which backends to prove after a selection: pure choice, then one call of `prove` per job.

1. Every chosen backend, with the LoRA settings that chose it, on the commonest layer geometry.
2. Where a chosen backend cannot run here, Triton, so that something is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import record
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.core.spec import MoESpec

FALLBACK = "triton"


@record
class Layer:
    """One kind of layer as the proofs see it."""

    spec: MoESpec
    """Geometry."""
    count: int
    """How many layers have it."""
    query: MoEQuery
    """Per-rank sizes."""
    index: int
    """Index into `ModelSpec.moe_layers`."""


@record
class Job:
    """One backend on one kind of layer."""

    backend_option: str
    """Backend, as `--moe-backend` spells it."""
    loras: tuple[bool, ...]
    """LoRA settings to prove, each once."""
    layer: Layer
    """Where."""


def proved_option(selection: Selection) -> str:
    """The backend whose proof stands for a selection.

    BATCHED_TRITON is asked for as `triton` until 0.26.0, but it is another kernel.
    """
    if selection.backend == "BATCHED_TRITON":
        return "batched_triton"
    return selection.backend_option or (selection.backend or "").lower().replace(" ", "_")


def plan_jobs(selections: Sequence[Selection], layers: Sequence[Layer]) -> tuple[Job, ...]:
    """The chosen backends, each once, on the kind of layer that most layers have."""
    by_index = {layer.index: layer for layer in layers}
    wanted: dict[str, dict[bool, Layer]] = {}
    for selection in selections:
        layer = by_index.get(selection.moe_layers)
        if selection.outcome is not Outcome.SELECTED or layer is None:
            continue
        settings = wanted.setdefault(proved_option(selection), {})
        known = settings.get(selection.lora)
        if known is None or layer.count > known.count:
            settings[selection.lora] = layer
    jobs: list[Job] = []
    for option, settings in wanted.items():
        for layer in dict.fromkeys(settings.values()):
            loras = tuple(sorted(lora for lora, one in settings.items() if one == layer))
            jobs.append(Job(option, loras, layer))
    return tuple(jobs)


def plan_named(
    options: Sequence[str], loras: tuple[bool, ...], layers: Sequence[Layer]
) -> tuple[Job, ...]:
    """The named backends on the kind of layer that most layers have."""
    if not layers:
        return ()
    layer = max(layers, key=lambda one: one.count)
    return tuple(Job(option, loras, layer) for option in dict.fromkeys(options))


def run_jobs(
    jobs: Sequence[Job],
    machine: MachineSnapshot,
    *,
    level: int,
    timeout_s: float,
    fall_back: bool,
    max_num_batched_tokens: int | None = None,
    build: bool = False,
    progress: Callable[[str], None] | None = None,
) -> tuple[Proof, ...]:
    """Run them on `machine`, which is this process's; with `fall_back`, Triton for the skipped."""
    proofs: list[Proof] = []
    own = [job for job in jobs if job.backend_option == FALLBACK]
    for job in jobs:
        if job not in own:
            proofs += _run(job, machine, level, timeout_s, max_num_batched_tokens, build, progress)
    done = {proof.lora for proof in proofs if proof.outcome is not ProofOutcome.SKIPPED}
    done |= {lora for job in own for lora in job.loras}
    missing = {lora for job in jobs for lora in job.loras} - done if fall_back else set()
    if missing:
        # One call for both settings: their children run side by side.
        layer = own[0].layer if own else jobs[0].layer
        missing |= set(own[0].loras) if own else set()
        own = [Job(FALLBACK, tuple(sorted(missing)), layer), *own[1:]]
    for job in own:
        proofs += _run(job, machine, level, timeout_s, max_num_batched_tokens, build, progress)
    return tuple(proofs)


def _run(
    job: Job,
    machine: MachineSnapshot,
    level: int,
    timeout_s: float,
    max_num_batched_tokens: int | None,
    build: bool,
    progress: Callable[[str], None] | None,
) -> tuple[Proof, ...]:
    from moe_doctor.proof.prove import prove

    query = job.layer.query
    return prove(
        job.layer.spec,
        backend_option=job.backend_option,
        lora=job.loras,
        intermediate_size_per_partition=query.intermediate_size_per_partition,
        num_local_experts=query.num_local_experts,
        machine=machine,
        dtype=query.in_dtype,
        level=level,
        timeout_s=timeout_s,
        moe_layers=job.layer.index,
        quant=query.quant,
        max_num_batched_tokens=max_num_batched_tokens,
        build=build,
        progress=progress,
    )
