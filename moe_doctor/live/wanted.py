"""Whether the installed engine is meant, and the machine as it sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.record import replace
from moe_doctor.core.report import Engine
from moe_doctor.core.request import Request
from moe_doctor.oracle.engines.registry import INSTALLED, nearest_releases, nothing_installed

if TYPE_CHECKING:
    from moe_doctor.live.interpreter import Installed


def find_wanted(engine: str | None, python: str | None) -> Installed | None:
    """The vLLM that `--engine` and `--python` mean; None where the tables are to answer.

    Raises UsageError where `installed` or a Python is named and there is no vLLM.
    """
    from moe_doctor.probes.packages import is_plainly_absent

    named = (engine or "vllm").strip().lower()
    if named not in ("vllm", INSTALLED):
        return None
    # The common case, no vLLM here, must not pay for what starts a child.
    if python or not is_plainly_absent("vllm"):
        from moe_doctor.live.interpreter import find_installed

        found = find_installed(python)
        if found is not None:
            return found
    if named == INSTALLED:
        raise nothing_installed()
    return None


def as_it_sees(
    request: Request, installed: Installed, here: MachineSnapshot | None
) -> tuple[Engine, MachineSnapshot]:
    """The tables to compare with, and the machine with the packages of that environment.

    The tables are those of its very release, else of the nearest one; `here` is this machine,
    read, where no other is simulated.
    """
    from moe_doctor.live.differences import exact_release
    from moe_doctor.probes.simulate import adjust_machine, simulate_machine

    version = installed.version
    known = exact_release(version) or nearest_releases(version.partition("+")[0])[0]
    if request.machine.simulates or here is None:
        machine = replace(
            simulate_machine(request.machine, packages={}), packages=installed.packages
        )
    else:
        machine = replace(here, packages=installed.packages) if request.python else here
    return Engine("vllm", known), adjust_machine(machine, request.machine)
