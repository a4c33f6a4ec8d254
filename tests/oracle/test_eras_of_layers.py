"""What a layer comes to is shared by releases; each gets what it would have got alone."""

from __future__ import annotations

import gc
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.eras import NotedRelease
from moe_doctor.core.report import Engine
from moe_doctor.core.request import MachineRequest
from moe_doctor.models.load import load_model
from moe_doctor.models.parse import parse_model
from moe_doctor.oracle.answer import select_layers
from moe_doctor.oracle.engines.vllm.asked import ask_layer
from moe_doctor.oracle.engines.vllm.found import Layer, Ready, find_place
from moe_doctor.oracle.engines.vllm.layers import build_both
from moe_doctor.oracle.engines.vllm.releases import RELEASES, image_packages
from moe_doctor.probes.simulate import simulate_machine
from tests.benchmarks.configs import all_configs
from tests.oracle.test_linears_of_families import BLOCKS
from tests.oracle.test_linears_of_hybrids import KIMI_LINEAR

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
                # A copy of the whole description: nothing is known of it from another release.
                fresh = pickle.loads(pickle.dumps(model))
                for request in MACHINES:
                    platform = "rocm" if request.gpu == "mi300x" else request.platform or "cuda"
                    packages = image_packages(".".join(map(str, release)), platform)
                    machine = simulate_machine(request, packages=packages)
                    for setting in find_place(machine, release).settings:
                        shared = layer.ask(setting, release)
                        build = partial(build_both, fresh, index, deployment)
                        alone = ask_layer(fresh, index, deployment, release, setting, build)
                        assert (shared.asked if isinstance(shared, Ready) else shared) == alone
                        compared += 1
    assert compared > 1000
    gc.collect()
    assert not any(isinstance(one, NotedRelease) for one in gc.get_objects())


HUNYUAN = {
    "architectures": ["HunYuanMoEV1ForCausalLM"],
    "model_type": "hunyuan_v1_moe",
    "hidden_size": 4096,
    "intermediate_size": 3072,
    "moe_intermediate_size": 3072,
    "num_hidden_layers": 4,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_experts": 64,
    "moe_topk": 8,
    "num_shared_expert": 1,
}
DOTS = {
    "architectures": ["Dots1ForCausalLM"],
    "model_type": "dots1",
    "hidden_size": 4096,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1408,
    "num_hidden_layers": 4,
    "num_attention_heads": 32,
    "n_routed_experts": 128,
    "num_experts_per_tok": 6,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
}


@pytest.mark.parametrize("config", [KIMI_LINEAR, HUNYUAN, DOTS], ids=lambda one: one["model_type"])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_class_that_moves_to_another_file_is_read_anew(
    config: dict[str, Any], backwards: bool
) -> None:
    # Kimi-Linear is served by Kimi-K3's file from 0.27.0 on, the others by the generic class.
    order = tuple(reversed(RELEASES)) if backwards else RELEASES
    shared = parse_model(config | {"quantization_config": BLOCKS}, id="m", source="directory")
    for ranks in (1, 2, 8):
        chosen = Deployment(tensor_parallel_size=ranks)
        for release in order:
            machine = simulate_machine(
                MachineRequest(gpu="h100"), packages=image_packages(release.version, "cuda")
            )
            engine = Engine("vllm", release.version)
            fresh = pickle.loads(pickle.dumps(shared))
            answers, alone = (
                [
                    (one.selection.error, one.selection.kernel, one.refusal)
                    for one in select_layers(model, chosen, machine, engine, lora=False)
                ]
                for model in (shared, fresh)
            )
            assert answers == alone, release.version
