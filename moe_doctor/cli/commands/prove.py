"""`moe-doctor prove [MODEL] --backend NAME`: the tiny forward alone."""

from __future__ import annotations

from typing import Annotated

import typer

from moe_doctor.cli.options import (
    MachineOptions,
    ModelArgument,
    ModelOptions,
    ProofOptions,
    ReportOptions,
    ServerOptions,
)
from moe_doctor.cli.output import answer
from moe_doctor.cli.request import build_request
from moe_doctor.core.errors import UsageError
from moe_doctor.core.request import Request

BackendOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="NAME|all",
        help="Backend to prove, as --moe-backend spells it; repeatable.",
    ),
]


def prove(
    server: ServerOptions,
    machine: MachineOptions,
    source: ModelOptions,
    proof: ProofOptions,
    report: ReportOptions,
    model: ModelArgument = None,
    backend: BackendOption = None,
) -> None:
    """Run a tiny fused-MoE forward in a child process and compare it with fp32.

    With MODEL the widths are the model's own per-rank widths. A proof always runs on this machine.
    """

    def request() -> Request:
        if not backend:
            raise UsageError("prove needs --backend NAME", "for example: --backend triton, or all")
        return build_request(
            "prove",
            model=model,
            model_options=source,
            server=server,
            machine=machine,
            proof=proof,
            report=report,
            level=3,
            backends=tuple(name.lower().replace("-", "_") for name in backend),
        )

    answer(request, report)
