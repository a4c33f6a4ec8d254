"""Asks one oracle about a literal layer on a literal GPU."""

from __future__ import annotations

from typing import Any

from moe_doctor.core.machine import Gpu, MachineSnapshot, Present
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.release import parse_release
from moe_doctor.core.selection import Selection
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.releases import image_packages
from moe_doctor.oracle.engines.vllm.select import select_moe


def ask(oracle: str, version: str, gpu: Gpu, query: MoEQuery, **more: Any) -> Selection:
    """One oracle's answer in a release's own image; `with_` names more packages."""
    release = parse_release(version)
    assert release is not None
    environment = more.get("environment", {})
    platform = "rocm" if gpu.arch else "cuda"
    packages = dict(image_packages(version, platform)) | dict.fromkeys(more.get("with_", ()), "1")
    machine = MachineSnapshot(
        platform,
        (gpu,),
        simulated=True,
        packages={name: Present(number) for name, number in packages.items()},
        environment=environment,
    )
    return select_moe(oracle, query, make_facts(machine, release), release, environment)


def reason_of(selection: Selection, kernel: str) -> str:
    """What the trace says of a class."""
    return next(one.reason for one in selection.trace if one.kernel == kernel)
