"""`moe-doctor diff MODEL --from vllm@A --to vllm@B`: what an upgrade changes."""

from __future__ import annotations

from moe_doctor.cli.console import Progress
from moe_doctor.cli.options import (
    MachineOptions,
    ModelOptions,
    ReleaseOptions,
    ReportOptions,
    ServerOptions,
    Target,
)
from moe_doctor.cli.output import Answered, deliver
from moe_doctor.cli.request import build_request, require_model


def diff(
    target: Target,
    releases: ReleaseOptions,
    server: ServerOptions,
    machine: MachineOptions,
    source: ModelOptions,
    report: ReportOptions,
) -> None:
    """What changes for MODEL between two releases: backend, kernel, reasons, options, packages.

    moe-doctor diff MODEL --from vllm@0.19.1 --to vllm@0.20.0 --gpu h100
    """

    def ask(progress: Progress) -> Answered:
        request = build_request(
            "diff",
            model=require_model("diff", target.model),
            model_options=source,
            server=server,
            machine=machine,
            report=report,
        )
        from moe_doctor import survey
        from moe_doctor.render.diff import render_diff

        found = survey.run_diff(request, releases.from_engine, releases.to_engine, progress)
        return Answered(lambda layout: render_diff(found, report.format, layout), found.exit_code)

    deliver(ask, report, (target.model, machine.snapshot))
