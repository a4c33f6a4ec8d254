"""`moe-doctor check MODEL`: fetch, probe, select, prove, judge."""

from __future__ import annotations

from moe_doctor.cli.options import (
    EngineOptions,
    LevelOptions,
    LiveOptions,
    MachineOptions,
    ModelOptions,
    ProofOptions,
    ReportOptions,
    ServerOptions,
    Target,
)
from moe_doctor.cli.output import answer
from moe_doctor.cli.request import build_request, require_model


def check(
    target: Target,
    engine: EngineOptions,
    live: LiveOptions,
    server: ServerOptions,
    machine: MachineOptions,
    source: ModelOptions,
    depth: LevelOptions,
    proof: ProofOptions,
    report: ReportOptions,
) -> None:
    """Which kernel will the engine run for MODEL, with and without LoRA, why, and does it work.

    A server's whole command line can be pasted: moe-doctor check -- vllm serve MODEL -tp 8
    """
    answer(
        lambda: build_request(
            "check",
            model=require_model("check", target.model),
            model_options=source,
            engine=engine.engine,
            python=live.python,
            server=server,
            machine=machine,
            proof=proof,
            report=report,
            level=depth.level,
        ),
        report,
    )
