"""10,000 selections in one process, each model parsed once.

    python -m tests.benchmarks.throughput [SELECTIONS]

Aim: at most 1 s. Every selection is asked afresh: models x GPUs x releases x LoRA x deployments.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from pathlib import Path

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.core.request import MachineRequest
from moe_doctor.models.load import load_model
from moe_doctor.oracle.answer import select_layers
from moe_doctor.oracle.engines.vllm.releases import image_packages
from moe_doctor.probes.simulate import simulate_machine
from tests.benchmarks.configs import many_configs

GPUS = ("a100", "h100", "b200", "mi300x")
RELEASES = ("0.16.0", "0.19.1", "0.20.0", "0.33.0")
DEPLOYMENTS = (
    Deployment(),
    Deployment(tensor_parallel_size=2),
    Deployment(tensor_parallel_size=2, expert_parallel=True),
    Deployment(data_parallel_size=2, expert_parallel=True, all2all_backend="deepep_low_latency"),
)


def main(wanted: int) -> int:
    """Print the figures."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        models = [load_model(str(path)) for path in many_configs(Path(folder))]
    parsed = time.perf_counter()
    engines = {release: Engine("vllm", release) for release in RELEASES}
    machines = {
        (gpu, release): simulate_machine(
            MachineRequest(gpu=gpu),
            packages=image_packages(release, "rocm" if gpu.startswith("mi") else "cuda"),
        )
        for gpu, release in itertools.product(GPUS, RELEASES)
    }
    questions = itertools.cycle(
        itertools.product(models, DEPLOYMENTS, machines.items(), (False, True))
    )
    made = 0
    outcomes: dict[str, int] = {}
    ready = time.perf_counter()
    while made < wanted:
        model, deployment, ((_, release), machine), lora = next(questions)
        for answer in select_layers(model, deployment, machine, engines[release], lora=lora):
            made += 1
            outcome = answer.selection.backend or answer.selection.outcome.value
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    seconds = time.perf_counter() - ready
    print(f"models parsed     {len(models)} in {parsed - start:.3f} s")
    print(f"machines          {len(machines)} in {ready - parsed:.3f} s")
    print(f"selections        {made} in {seconds:.3f} s ({1e6 * seconds / made:.0f} us each)")
    print(f"10,000 selections {seconds * 10_000 / made:.3f} s")
    print("answers           " + ", ".join(f"{name} {n}" for name, n in sorted(outcomes.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
