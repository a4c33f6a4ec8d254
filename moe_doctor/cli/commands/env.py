"""`moe-doctor env`: the probe alone."""

from __future__ import annotations

from moe_doctor.cli.options import MachineOptions, ReportOptions
from moe_doctor.cli.output import answer
from moe_doctor.cli.request import build_request


def env(report: ReportOptions) -> None:
    """What this machine is: GPUs, driver, packages, compilers, variables that steer engines.

    Save it with --format json -o FILE; --snapshot FILE simulates it elsewhere.
    """
    answer(lambda: build_request("env", machine=MachineOptions(), report=report), report)
