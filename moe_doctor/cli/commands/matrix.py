"""`moe-doctor matrix [MODEL...]`: releases x GPUs x LoRA."""

from __future__ import annotations

from moe_doctor.cli.console import Progress
from moe_doctor.cli.options import (
    GridOptions,
    MachineOptions,
    ManyTargets,
    ModelOptions,
    PackageOptions,
    PageOptions,
    ServerOptions,
)
from moe_doctor.cli.output import Answered, deliver
from moe_doctor.cli.request import build_request


def matrix(
    target: ManyTargets,
    grid: GridOptions,
    server: ServerOptions,
    packages: PackageOptions,
    source: ModelOptions,
    report: PageOptions,
) -> None:
    """What every release runs on every GPU, with and without LoRA; nothing is run.

    Releases that agree share a row. moe-doctor matrix MODEL --gpu h100 --gpu b200
    """

    def ask(progress: Progress) -> Answered:
        request = build_request(
            "matrix",
            model_options=source,
            server=server,
            machine=MachineOptions(
                with_packages=packages.with_packages,
                without_packages=packages.without_packages,
                env=packages.env,
            ),
            report=report,
        )
        from moe_doctor import survey
        from moe_doctor.render.matrix import render_matrix

        found = survey.run_matrix(request, target.models, grid.engine, grid.gpu, progress)
        return Answered(lambda layout: render_matrix(found, report.format, layout), 0)

    deliver(ask, report, target.models)
