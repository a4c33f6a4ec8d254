"""`moe-doctor prove [MODEL] --backend NAME`: the tiny forward alone."""

from __future__ import annotations

from moe_doctor.cli.options import (
    BackendOptions,
    EngineOptions,
    MachineOptions,
    ModelOptions,
    ProofOptions,
    ReportOptions,
    ServerOptions,
    Target,
)
from moe_doctor.cli.output import answer
from moe_doctor.cli.request import build_request
from moe_doctor.core.errors import UsageError
from moe_doctor.core.request import Request


def prove(
    target: Target,
    what: BackendOptions,
    engine: EngineOptions,
    server: ServerOptions,
    machine: MachineOptions,
    source: ModelOptions,
    proof: ProofOptions,
    report: ReportOptions,
) -> None:
    """Run a tiny fused-MoE forward in a child process and compare it with fp32.

    With MODEL the widths are the model's own per-rank widths. A proof always runs on this machine.
    """

    def request() -> Request:
        if not what.backend:
            raise UsageError("prove needs --backend NAME", "for example: --backend triton, or all")
        return build_request(
            "prove",
            model=target.model,
            model_options=source,
            engine=engine.engine,
            server=server,
            machine=machine,
            proof=proof,
            report=report,
            level=3,
            backends=tuple(name.lower().replace("-", "_") for name in what.backend),
        )

    answer(request, report)
