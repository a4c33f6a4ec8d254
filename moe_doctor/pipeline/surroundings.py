"""Step 2: the engine that is asked about, the machine, and this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot, Present
from moe_doctor.core.report import Engine
from moe_doctor.core.request import MachineRequest, Request

if TYPE_CHECKING:
    from moe_doctor.live.interpreter import Installed


def runs_proofs(request: Request) -> bool:
    """Whether a forward is run, so that this machine has to be known."""
    return request.command == "prove" or (request.command == "check" and request.level >= 3)


def installed_to_ask(request: Request) -> Installed | None:
    """The vLLM that will be asked itself, or None where the tables answer."""
    if request.command not in ("check", "select") or request.level < 2:
        return None
    from moe_doctor.live.wanted import find_wanted

    return find_wanted(request.engine, request.python)


def engine_and_machine(
    request: Request, installed: Installed | None = None
) -> tuple[Engine, MachineSnapshot, MachineSnapshot | None]:
    """The tables' engine, the machine asked about, and this machine where it was probed.

    With `installed` the machine has that environment's packages, and the engine is its release, or
    the nearest that the tables hold.
    """
    from moe_doctor.oracle.engines.registry import resolve_engine
    from moe_doctor.probes.simulate import adjust_machine

    if installed is not None:
        from moe_doctor.live.wanted import as_it_sees

        simulates = request.machine.simulates
        here = _probe() if not simulates or runs_proofs(request) else None
        return *as_it_sees(request, installed, here), here
    if request.machine.simulates:
        named = "@" in (request.engine or "")
        engine = resolve_engine(request.engine, None if named else installed_vllm())
        machine = _simulated(request.machine, engine.version)
        return engine, machine, _probe() if runs_proofs(request) else None
    here = _probe()
    engine = resolve_engine(request.engine, here.version("vllm"))
    return engine, adjust_machine(here, request.machine), here


_SIMULATED: dict[str, MachineSnapshot] = {}
_MOST_SIMULATED = 1024


def _simulated(machine: MachineRequest, version: str) -> MachineSnapshot:
    """The machine with a release's image; one object for one description.

    What follows from a machine is kept with the object. A snapshot's file is read each time.
    """
    from moe_doctor.oracle.engines.vllm.releases import image_packages
    from moe_doctor.probes.simulate import simulate_machine

    description = f"{version} {machine!r}"
    found = _SIMULATED.get(description)
    if found is None:
        packages = image_packages(version, _platform(machine))
        found = simulate_machine(machine, packages=packages)
        if machine.snapshot is None:
            if len(_SIMULATED) >= _MOST_SIMULATED:
                _SIMULATED.clear()
            _SIMULATED[description] = found
    return found


def _probe() -> MachineSnapshot:
    from moe_doctor.probes.snapshot import probe_machine

    return probe_machine()


def _platform(machine: MachineRequest) -> str:
    """Which image the options mean; the simulation itself checks that they fit together."""
    if machine.platform:
        return machine.platform.strip().lower()
    if machine.arch:
        return "rocm"
    if machine.gpu:
        from moe_doctor.probes.gpus import find_gpu

        return find_gpu(machine.gpu).platform
    return "cuda"


def installed_vllm() -> str | None:
    """Version of the vLLM in this environment, or None."""
    from moe_doctor.probes.packages import is_plainly_absent, probe_package

    if is_plainly_absent("vllm"):
        return None
    probe = probe_package("vllm")
    return probe.value if isinstance(probe, Present) else None
