"""`moe-doctor select [MODEL]`: the engine's oracle alone, with its full trace."""

from __future__ import annotations

from moe_doctor.cli.options import (
    EngineOptions,
    LiveOptions,
    MachineOptions,
    ModelOptions,
    ReportOptions,
    ServerOptions,
    Target,
)
from moe_doctor.cli.output import answer
from moe_doctor.cli.request import build_request


def select(
    target: Target,
    engine: EngineOptions,
    live: LiveOptions,
    server: ServerOptions,
    machine: MachineOptions,
    source: ModelOptions,
    report: ReportOptions,
) -> None:
    """Which backend would the engine choose, and why not the others; nothing is run.

    Without MODEL: this machine, one row per quantization scheme.
    """
    answer(
        lambda: build_request(
            "select",
            model=target.model,
            model_options=source,
            engine=engine.engine,
            python=live.python,
            server=server,
            machine=machine,
            report=report,
        ),
        report,
    )
