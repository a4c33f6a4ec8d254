"""What a layer comes to is shared by releases; each gets what it would have got alone."""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.eras import NotedRelease
from moe_doctor.core.request import MachineRequest
from moe_doctor.models.load import load_model
from moe_doctor.oracle.engines.vllm.asked import ask_layer
from moe_doctor.oracle.engines.vllm.found import Layer, Ready, find_place
from moe_doctor.oracle.engines.vllm.layers import build_both
from moe_doctor.oracle.engines.vllm.releases import RELEASES, image_packages
from moe_doctor.probes.simulate import simulate_machine
from tests.benchmarks.configs import all_configs

DEPLOYMENTS = (
    Deployment(),
    Deployment(tensor_parallel_size=8),
    Deployment(tensor_parallel_size=3, moe_backend="triton"),
    Deployment(data_parallel_size=2, expert_parallel=True, all2all_backend="deepep_low_latency"),
    Deployment(tensor_parallel_size=2, quantization="fp8", dtype="float16"),
)
MACHINES = (
    MachineRequest(gpu="h100"),
    MachineRequest(gpu="t4"),
    MachineRequest(gpu="mi300x"),
    MachineRequest(platform="cpu"),
)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=str)
def test_each_release_gets_what_it_would_have_got_alone(
    deployment: Deployment, tmp_path: Path
) -> None:
    models = [load_model(str(path)) for path in all_configs(tmp_path)]
    compared, releases = 0, [one.release for one in RELEASES]
    for model in models[::3]:
        for index in range(len(model.moe_layers)):
            layer = Layer(model, index, deployment)
            # The newest first and then every other way round: an era is found from both ends.
            for release in (*reversed(releases[::2]), *releases[1::2]):
                for request in MACHINES:
                    platform = "rocm" if request.gpu == "mi300x" else request.platform or "cuda"
                    packages = image_packages(".".join(map(str, release)), platform)
                    machine = simulate_machine(request, packages=packages)
                    for setting in find_place(machine, release).settings:
                        shared = layer.ask(setting, release)
                        build = partial(build_both, model, index, deployment)
                        alone = ask_layer(model, index, deployment, release, setting, build)
                        assert (shared.asked if isinstance(shared, Ready) else shared) == alone
                        compared += 1
    assert compared > 1000
    gc.collect()
    assert not any(isinstance(one, NotedRelease) for one in gc.get_objects())
