"""Step 4: tiny forwards of the chosen or named backends, and what they leave open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from moe_doctor.core.errors import UnknownNameError, nearest_names
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.request import Request
from moe_doctor.core.spec import MoELayers
from moe_doctor.pipeline.surroundings import runs_proofs

if TYPE_CHECKING:
    from moe_doctor.checks.case import Case


def prove_case(case: Case, say: Callable[[str], None]) -> tuple[Proof, ...]:
    """The proofs that the case's request asks for; empty where it asks for none."""
    from moe_doctor.proof.schedule import Layer, plan_jobs, plan_named, run_jobs

    request = case.request
    if not runs_proofs(request):
        return ()
    layers = tuple(
        Layer(kind.spec, kind.count, query, index)
        for index, kind, query in _rank_layers(case)
        if query is not None
    )
    loras = (False, True) if request.lora is None else (request.lora,)
    if request.command == "prove":
        from moe_doctor.proof.prove import PROVABLE

        _refuse_unknown(request.backends)
        named = PROVABLE if "all" in request.backends or not request.backends else request.backends
        jobs = plan_named(named, loras, layers)
    else:
        jobs = plan_jobs(case.selections, layers) or plan_named(("triton",), loras, layers)
    return run_jobs(
        jobs,
        case.here,
        level=max(3, request.level),
        timeout_s=request.timeout_s,
        fall_back=request.command == "check",
        max_num_batched_tokens=request.deployment.max_num_batched_tokens,
        build=request.build,
        progress=say,
    )


def find_inconclusive(
    request: Request,
    machine: MachineSnapshot,
    here: MachineSnapshot | None,
    proofs: tuple[Proof, ...],
) -> str:
    """Why exit code 3 is due, or nothing."""
    if request.command == "prove" and "all" not in request.backends:
        for proof in proofs:
            if proof.outcome in (ProofOutcome.SKIPPED, ProofOutcome.NOT_RUN):
                return f"{proof.backend_option} was asked for and not run: {proof.reason}"
            if proof.outcome is ProofOutcome.TIMED_OUT and proof.mode != "gpu":
                return f"{proof.backend_option} was asked for and not proved: {proof.reason}"
    unrun = (ProofOutcome.SKIPPED, ProofOutcome.NOT_RUN)
    if request.command == "prove" and all(proof.outcome in unrun for proof in proofs):
        why = f": {proofs[0].reason}" if proofs else ""
        return f"nothing could be proved{why}"
    if not request.require_proof:
        return ""
    if not proofs:
        return "--require-proof was given and nothing could be proved"
    if machine.simulated:
        return "--require-proof was given, and a simulated machine cannot be proved"
    for proof in proofs:
        if proof.outcome is not ProofOutcome.PASSED or proof.mode != "gpu":
            return (
                f"--require-proof was given, and {proof.backend_option} "
                f"{'with' if proof.lora else 'without'} LoRA was {proof.outcome.value} "
                f"({proof.mode})"
            )
    return ""


def _refuse_unknown(backends: tuple[str, ...]) -> None:
    """Raise UnknownNameError for a backend that neither a proof nor any release knows."""
    from moe_doctor.oracle.support import option_names
    from moe_doctor.proof.prove import PROVABLE

    known = sorted({*PROVABLE, *option_names(), "all", "cpu"})
    for name in backends:
        if name not in known:
            near = nearest_names(name, known, 3, 0.4)
            raise UnknownNameError(
                "backend", name, near, "" if near else f"known: {', '.join(known)}"
            )


def _rank_layers(case: Case) -> list[tuple[int, MoELayers, MoEQuery | None]]:
    """Each kind of layer with the sizes of one rank.

    They are the first question's; where the engine refused before it built one (a CPU, a release
    that is too old), those that it would build on a GPU.
    """
    from moe_doctor.oracle.answer import PLAIN_MODEL, rank_query

    model = case.model or PLAIN_MODEL
    found: dict[int, MoEQuery] = {}
    for selection, query in zip(case.selections, case.queries, strict=True):
        if query is not None:
            found.setdefault(selection.moe_layers, query)
    deployment = case.request.deployment
    return [
        (index, kind, found.get(index) or rank_query(model, index, deployment))
        for index, kind in enumerate(model.moe_layers)
    ]
