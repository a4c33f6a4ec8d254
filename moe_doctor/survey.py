"""Several answers at once: `diff` asks two releases, `matrix` many releases and many GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from moe_doctor.core.comparison import Comparison, Matrix
from moe_doctor.core.errors import UsageError
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.record import replace
from moe_doctor.core.release import parse_release
from moe_doctor.core.report import Engine
from moe_doctor.core.request import Request

Progress = Callable[[str], None]

COMMON_GPUS = (
    "a100",
    "l40s",
    "rtx-4090",
    "h100",
    "h200",
    "b200",
    "b300",
    "rtx-pro-6000",
    "mi300x",
    "mi355x",
)
"""What `matrix` asks about when no GPU is named: one of each kind that is served from."""


def diff(
    model: str, *, from_: str | None = None, to: str | None = None, **options: Any
) -> Comparison:
    """Every change between two releases; the other keyword names are the options'."""
    from moe_doctor.core.arguments import check_argument
    from moe_doctor.doctor import make_request

    for name, value in (("from_", from_), ("to", to)):
        check_argument(name, value, name, "str | None")
    return run_diff(make_request("diff", model, options), from_, to)


def matrix(
    *models: str,
    engine: str | Sequence[str] = (),
    gpu: str | Sequence[str] = (),
    **options: Any,
) -> Matrix:
    """Releases x GPUs x LoRA; without names all releases and the common GPUs."""
    from moe_doctor.core.arguments import check_argument
    from moe_doctor.doctor import make_request

    several = "tuple[str, ...]"
    return run_matrix(
        make_request("matrix", None, options),
        tuple(check_argument("model", name, "model", "str") for name in models),
        check_argument("engine", engine, "engine", several),
        check_argument("gpu", gpu, "gpu", several),
    )


def run_diff(
    request: Request, before: str | None, after: str | None, progress: Progress | None = None
) -> Comparison:
    """`request.model` in two releases: `before` None = the installed vLLM, `after` = the newest.

    Raises UsageError without a model or where no vLLM is installed and `before` is None, and
    DoctorError as `run` does.
    """
    from moe_doctor.checks.comparison import judge_comparison
    from moe_doctor.oracle.compare import Side, compare_releases
    from moe_doctor.oracle.engines.registry import resolve_engine
    from moe_doctor.pipeline.fetch import fetch_model

    old, new = _first(before), resolve_engine(after, None)
    model = fetch_model(request, progress or _silent)
    if model is None:
        raise UsageError("diff needs a model", "moe-doctor diff MODEL --from vllm@0.19.1")
    sides = [Side(engine, _machine(request, engine)) for engine in (old, new)]
    found = compare_releases(
        model, request.deployment, *sides, loras=_loras(request), fail_on=request.fail_on
    )
    return replace(found, findings=judge_comparison(found))


def run_matrix(
    request: Request,
    models: tuple[str, ...],
    engines: tuple[str, ...],
    gpus: tuple[str, ...],
    progress: Progress | None = None,
) -> Matrix:
    """Every model on every GPU in every release; without models a plain layer.

    Raises DoctorError for unknown names and for what is no MoE model.
    """
    from moe_doctor.oracle.compare import compute_matrix
    from moe_doctor.pipeline.fetch import fetch_model
    from moe_doctor.probes.gpus import find_gpu

    if request.machine.simulates:
        raise UsageError("a matrix takes its machines by --gpu alone", "repeat --gpu NAME")
    keys = tuple(dict.fromkeys(find_gpu(name).key for name in gpus or COMMON_GPUS))
    releases = _releases(engines)
    loaded = [
        fetch_model(replace(request, model=name), progress or _silent)
        for name in dict.fromkeys(models)
    ]
    return compute_matrix(
        loaded or [None],
        keys,
        releases,
        request.deployment,
        lambda key, engine: _machine(
            replace(request, machine=replace(request.machine, gpu=key)), engine
        ),
        loras=_loras(request),
    )


def _silent(_: str) -> None:
    return None


def _first(named: str | None) -> Engine:
    """The release that an upgrade starts from."""
    from moe_doctor.oracle.engines.registry import INSTALLED, resolve_engine
    from moe_doctor.pipeline.surroundings import installed_vllm

    installed = installed_vllm()
    if named is not None:
        return resolve_engine(named, installed if named == INSTALLED else None)
    if installed is None:
        raise UsageError(
            "no vLLM is installed here, so diff needs --from",
            "for example: --from vllm@0.19.1 --to vllm@0.20.0",
        )
    return resolve_engine(None, installed)


def _releases(engines: tuple[str, ...]) -> tuple[Engine, ...]:
    """The releases asked for, oldest first; all that the tables hold without a name."""
    from moe_doctor.oracle.engines.registry import resolve_engine
    from moe_doctor.oracle.engines.vllm.releases import RELEASES

    if not engines:
        return tuple(Engine("vllm", release.version) for release in RELEASES)
    resolved = {resolve_engine(name, None) for name in engines}
    return tuple(sorted(resolved, key=lambda engine: parse_release(engine.version) or (0, 0, 0)))


def _machine(request: Request, engine: Engine) -> MachineSnapshot:
    """The machine as `engine` would find it: its own packages where it is simulated."""
    from moe_doctor.pipeline.surroundings import engine_and_machine

    return engine_and_machine(replace(request, engine=f"{engine.name}@{engine.version}"))[1]


def _loras(request: Request) -> tuple[bool, ...]:
    return (False, True) if request.lora is None else (request.lora,)
