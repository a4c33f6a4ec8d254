"""100,000 selections in one process, each model parsed once.

    python -m tests.benchmarks.throughput [SELECTIONS]

Aim: at most 5 s on one core. Every selection is asked afresh: the questions are models x
deployments x machines x releases x LoRA, none of them twice; what is not MoE is left out. There are
two orders, each in a process of its own: one model after another, as `matrix` asks, and shuffled,
which keeps nothing together. The garbage collector looks as rarely as in the command. A selection's
trace is worked out when it is first read; what that adds is measured on the last tenth of the
selections.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import time
from array import array
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from moe_doctor.cli.main import collect_rarely
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.report import Engine
from moe_doctor.core.request import MachineRequest
from moe_doctor.core.selection import Selection
from moe_doctor.models.load import load_model
from moe_doctor.oracle.answer import select_layers
from moe_doctor.oracle.engines.vllm.releases import RELEASES, image_packages
from moe_doctor.probes.simulate import simulate_machine
from tests.benchmarks.configs import all_configs

MACHINES = (
    MachineRequest(gpu="a100"),
    MachineRequest(gpu="h100"),
    MachineRequest(gpu="l40s"),
    MachineRequest(gpu="b200"),
    MachineRequest(gpu="rtx-pro-6000"),
    MachineRequest(gpu="mi300x"),
    MachineRequest(gpu="mi355x"),
    MachineRequest(platform="cpu"),
    MachineRequest(
        gpu="h100", environment={"VLLM_USE_FLASHINFER_MOE_FP8": "1", "VLLM_USE_DEEP_GEMM": "0"}
    ),
    MachineRequest(gpu="mi300x", environment={"VLLM_ROCM_USE_AITER": "1"}),
)
DEPLOYMENTS = (
    Deployment(),
    Deployment(tensor_parallel_size=2),
    Deployment(tensor_parallel_size=8),
    Deployment(tensor_parallel_size=8, expert_parallel=True),
    Deployment(data_parallel_size=2, expert_parallel=True, all2all_backend="deepep_low_latency"),
    Deployment(tensor_parallel_size=4, moe_backend="triton"),
)


class Throughput(NamedTuple):
    """What was measured."""

    models: int
    """MoE models."""
    parse_seconds: float
    """Wall time of reading and parsing all configs, dense ones included."""
    machine_seconds: float
    """Wall time of simulating every machine under every release."""
    possible: int
    """Distinct questions that there are."""
    selections: int
    """Answers, one for each kind of layer."""
    seconds: float
    """Wall time of all answers."""
    cpu_seconds: float
    """Processor time of all answers."""
    traced: int
    """Selections whose trace was read as well, after the clock had stopped."""
    trace_seconds: float
    """Wall time of reading those traces for the first time."""
    by_oracle: dict[str, tuple[int, float]]
    """Oracle -> answers and wall time; `refused` and `no oracle` beside them."""


def measure_selections(wanted: int, folder: Path, *, shuffled: bool) -> Throughput:
    """Ask `wanted` times and more, up to the end of a model's kinds of layer."""
    collect_rarely()
    start = time.perf_counter()
    read = [load_model(str(path)) for path in all_configs(folder)]
    models = [model for model in read if model.is_moe]
    parsed = time.perf_counter()
    machines = _machines()
    simulated = time.perf_counter()
    possible = list(itertools.product(models, DEPLOYMENTS, machines, (False, True)))
    if shuffled:
        random.Random(1).shuffle(possible)
    made, last_tenth = 0, wanted * 0.9
    unread: list[Selection] = []
    # Only noted while the clock runs: what each question was, how many answers, and when.
    kinds, counts, stamps = [], array("l"), array("d")
    clock, cpu = time.perf_counter, time.process_time()
    ready = clock()
    for model, deployment, (machine, engine), lora in itertools.cycle(possible):
        answers = select_layers(model, deployment, machine, engine, lora=lora)
        made += len(answers)
        last = answers[-1]
        kinds.append(last.selection.oracle or last.refusal is not None)
        counts.append(len(answers))
        stamps.append(clock())
        if made >= last_tenth:
            unread += [answer.selection for answer in answers]
            if made >= wanted:
                break
    seconds, cpu = clock() - ready, time.process_time() - cpu
    count: Counter[str] = Counter()
    spent: defaultdict[str, float] = defaultdict(float)
    for kind, answered, before, after in zip(kinds, counts, [ready, *stamps], stamps, strict=False):
        name = kind if isinstance(kind, str) else ("refused" if kind else "no oracle")
        count[name] += answered
        spent[name] += after - before
    begin = clock()
    for selection in unread:
        _ = selection.trace
    trace_seconds = clock() - begin
    return Throughput(
        models=len(models),
        parse_seconds=parsed - start,
        machine_seconds=simulated - parsed,
        possible=len(possible),
        selections=made,
        seconds=seconds,
        cpu_seconds=cpu,
        traced=len(unread),
        trace_seconds=trace_seconds,
        by_oracle={name: (count[name], spent[name]) for name in sorted(count)},
    )


def print_throughput(found: Throughput) -> None:
    """The figures, a line each."""
    each = 1e6 * found.seconds / found.selections
    cpu_each = 1e6 * found.cpu_seconds / found.selections
    print(f"models parsed     {found.models} MoE models in {found.parse_seconds:.3f} s")
    print(f"machines          {len(MACHINES) * len(RELEASES)} in {found.machine_seconds:.3f} s")
    print(f"questions         {found.possible} distinct ones, each asked once before any again")
    print(
        f"selections        {found.selections} in {found.seconds:.3f} s "
        f"({each:.1f} us each; processor {cpu_each:.1f} us)"
    )
    print(f"100,000           {0.1 * each:.2f} s (processor {0.1 * cpu_each:.2f} s)")
    traces = 1e6 * found.trace_seconds / found.traced
    print(f"reading a trace   {traces:.1f} us more ({found.traced} traces)")
    for name, (count, seconds) in found.by_oracle.items():
        print(f"  {name:20}  {count:7}  {1e6 * seconds / count:6.1f} us each")


def print_orders(wanted: int, folder: Path) -> None:
    """Both orders, neither with what the other has left in memory."""
    for shuffled in (False, True):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(measure_selections, wanted, folder, shuffled=shuffled).result()
        print("order             " + ("shuffled" if shuffled else "one model after another"))
        print_throughput(found)


def _machines() -> list[tuple[MachineSnapshot, Engine]]:
    found = []
    for request, release in itertools.product(MACHINES, RELEASES):
        platform = request.platform or ("rocm" if (request.gpu or "").startswith("mi") else "cuda")
        packages = image_packages(release.version, platform)
        machine = simulate_machine(request, packages=packages)
        found.append((machine, Engine("vllm", release.version)))
    return found


def main(wanted: int) -> int:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        print_orders(wanted, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
