"""Cases from literals: a request, a machine, and what the oracle answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from moe_doctor.checks.case import Case
from moe_doctor.checks.judge import judge
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.findings import Finding
from moe_doctor.core.machine import Gpu, MachineSnapshot, Present, Toolkit
from moe_doctor.core.report import Engine
from moe_doctor.core.request import MachineRequest, Request
from moe_doctor.core.spec import ModelSpec, MoELayers, MoESpec, RoutingSpec
from moe_doctor.oracle.answer import select_layers
from moe_doctor.oracle.engines.vllm.releases import image_packages

NEMOTRON = ModelSpec(
    id="nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    source="catalogue",
    architecture="NemotronHForCausalLM",
    model_type="nemotron_h",
    moe_layers=(
        MoELayers(
            MoESpec(
                128,
                6,
                2688,
                1856,
                activation="relu2",
                gated=False,
                routing=RoutingSpec(
                    "sigmoid",
                    num_expert_group=1,
                    topk_group=1,
                    has_correction_bias=True,
                    scaling_factor=2.5,
                ),
            ),
            tuple(range(23)),
        ),
    ),
)
QWEN = ModelSpec(
    id="Qwen/Qwen3-30B-A3B",
    source="catalogue",
    architecture="Qwen3MoeForCausalLM",
    model_type="qwen3_moe",
    moe_layers=(MoELayers(MoESpec(128, 8, 2048, 768), tuple(range(48))),),
)
CAPABILITIES = {
    "NVIDIA H100 80GB HBM3": (9, 0),
    "NVIDIA B200": (10, 0),
    "NVIDIA GeForce RTX 4090": (8, 9),
}


def make_machine(
    release: str = "0.20.0",
    gpu: str = "NVIDIA H100 80GB HBM3",
    environment: dict[str, str] | None = None,
) -> MachineSnapshot:
    return MachineSnapshot(
        platform="cuda",
        gpus=(Gpu(gpu, CAPABILITIES[gpu]),),
        simulated=True,
        packages={
            name: Present(version) for name, version in image_packages(release, "cuda").items()
        },
        toolkit=Toolkit(nvcc=Present("13.0"), ninja=Present("1.13")),
        environment=environment or {},
    )


def make_case(
    model: ModelSpec = NEMOTRON,
    release: str = "0.20.0",
    machine: MachineSnapshot | None = None,
    deployment: Deployment | None = None,
    **changes: Any,
) -> Case:
    machine = machine or make_machine(release)
    deployment = deployment or Deployment()
    engine = Engine("vllm", release)
    answers = [
        one
        for lora in (False, True)
        for one in select_layers(model, deployment, machine, engine, lora=lora)
    ]
    case = Case(
        request=Request(
            "check", model.id, deployment=deployment, machine=MachineRequest(gpu="h100")
        ),
        machine=machine,
        here=machine,
        engine=engine,
        model=model,
        selections=tuple(one.selection for one in answers),
        queries=tuple(one.query for one in answers),
    )
    return replace(case, **changes)


def codes(case: Case) -> list[str]:
    return [finding.code for finding in judge(case)]


def find(case: Case, code: str) -> Finding:
    return next(finding for finding in judge(case) if finding.code == code)
