"""The time that a real vLLM needs for the same answers, beside ours.

The unmodified release answers on an emulated GPU (../shared/truth); MOE_DOCTOR_TRUTH names the
folder that holds its `.truth`. Nothing is loaded or compiled there, so a real server takes longer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.report import Engine
from moe_doctor.core.request import MachineRequest
from moe_doctor.core.selection import Outcome
from moe_doctor.models.load import load_model
from moe_doctor.oracle.answer import Answer, release_of, select_layers
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.releases import image_packages
from moe_doctor.oracle.engines.vllm.select import select_moe
from moe_doctor.probes.simulate import simulate_machine
from tests.benchmarks.configs import BY_SCHEME, SHARED
from tests.benchmarks.process import measure
from tests.oracle.recorded import answer
from tests.oracle.test_recorded_models import recorded_methods
from tests.releases.conform import (
    CannotAskError,
    differences,
    is_answer,
    known_releases,
    truth_folder,
)
from tests.releases.questions import Surroundings, questions
from tests.truth import emulated_machine, query_of

RELEASE = "0.20.0"
H100 = Surroundings("cuda", "9.0", "docker")
_DEPLOYMENTS: tuple[dict[str, Any], ...] = (
    {"tp": 1},
    {"tp": 1, "lora": True},
    {"tp": 2},
    {"tp": 2, "lora": True},
    {"tp": 8, "ep": True},
    {"tp": 4},
)


def print_real(count: int) -> None:
    """Both times and their ratio, or why the real engine was not timed."""
    try:
        folder = truth_folder()
        if RELEASE not in known_releases(folder):
            raise CannotAskError(f"vLLM {RELEASE} is not among its sources")
        _print_oracle(folder, count)
        _print_models(folder)
    except CannotAskError as error:
        print(f"real vLLM         not timed: {error}")


def _print_oracle(folder: Path, count: int) -> None:
    """The oracle alone: the same random questions, one process each."""
    asked = questions("benchmark", count, H100.platform)
    options = ("--platform", H100.platform)
    real = _timed(folder, "oracle_truth.py", options, asked)
    head = {"v": RELEASE, "cap": H100.capability, "pk": H100.packages, "platform": H100.platform}
    records = [head | {"q": q} | found for q, found in zip(asked, real.answers, strict=True)]
    known = [record for record in records if is_answer(record)]
    answer(known[0])  # the tables are read once, as the engine is imported once
    release = release_of(Engine("vllm", RELEASE))
    began = time.perf_counter()
    machines: dict[tuple[tuple[str, str], ...], MachineSnapshot] = {}
    for record in known:
        q = record["q"]
        environment = q.get("env", {})
        key = tuple(sorted(environment.items()))
        machine = machines.get(key)
        if machine is None:
            machine = emulated_machine(RELEASE, H100.capability, H100.packages, environment)
            machines[key] = machine
        facts = make_facts(machine, release)
        select_moe(q["oracle"], query_of(q), facts, release, environment)
    ours = (time.perf_counter() - began) / len(known)
    agree = sum(not differences(record) for record in known)
    print(f"oracle alone      vLLM {RELEASE} on {H100}, {count} random questions")
    print(f"  real vLLM       {1e6 * real.later:9.0f} us each; first answer {real.first:.1f} s")
    print(f"  moe-doctor      {1e6 * ours:9.0f} us each, question built from the same JSON")
    print(
        f"  ratio           {real.later / ours:9.1f}; {agree} of {len(known)} answers agree "
        f"({count - len(known)} questions are none of this release)"
    )


def _print_models(folder: Path) -> None:
    """From config.json to the answer: the first in a fresh process, then other deployments."""
    print(f"whole way         vLLM {RELEASE} on {H100}, config.json to backend; cold = a process")
    options = ("--batch",)
    for scheme, name in BY_SCHEME.items():
        if not (SHARED / name / "config.json").is_file():
            print(f"  {scheme:6}  {name} is not beside the checkout")
            continue
        placed = folder / ".truth" / "m2" / name
        model = {"model": str(placed if placed.is_dir() else SHARED / name)}
        asked = [model | one for one in _DEPLOYMENTS]
        real = _timed(folder, "model_truth.py", options, asked)
        config = str(SHARED / name)
        command = ["-m", "moe_doctor", "select", config, "--gpu", "h100", "--no-lora"]
        our_cold = measure([*command, "--engine", f"vllm@{RELEASE}"]).seconds
        _ask_ours(config, _DEPLOYMENTS[0])
        began = time.perf_counter()
        ours = [_ask_ours(config, one) for one in _DEPLOYMENTS]
        our_warm = (time.perf_counter() - began) / len(_DEPLOYMENTS)
        same = sum(_same(*pair) for pair in zip(real.answers, ours, strict=True))
        print(
            f"  {scheme:6}  real vLLM cold {real.first:5.1f} s, warm {1e3 * real.later:6.0f} ms; "
            f"moe-doctor cold {our_cold:.2f} s, warm {1e3 * our_warm:5.2f} ms; ratio "
            f"{real.first / our_cold:.0f} and {real.later / our_warm:.0f}; "
            f"{same} of {len(ours)} answers agree",
            flush=True,
        )


class Timed(NamedTuple):
    """What the harness answered, and when."""

    answers: list[dict[str, Any]]
    """One for each question."""
    first: float
    """Seconds from the start of the process to the first answer."""
    later: float
    """Seconds for each answer after it."""


def _timed(
    folder: Path, script: str, options: Sequence[str], asked: Sequence[dict[str, Any]]
) -> Timed:
    """Ask a script of the harness in one process; raises CannotAskError when it fails."""
    command = [
        *(".truth/venv/bin/python", "-u", str(SHARED.parent / "truth" / script)),
        *("--src", f".truth/src/vllm-{RELEASE}", "--capability", H100.capability),
        *("--packages", H100.packages, "--no-log", *options),
    ]
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryFile("w+") as questions_, tempfile.TemporaryFile("w+") as errors:
        questions_.writelines(json.dumps(one) + "\n" for one in asked)
        questions_.seek(0)
        start = first = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, stdin=questions_, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        for line in process.stdout or ():
            if line.startswith("{") and len(found) < len(asked):
                first = first if found else time.perf_counter()
                found.append(json.loads(line))
                last = time.perf_counter()
        process.wait()
        errors.seek(0)
        if process.returncode or len(found) < len(asked):
            raise CannotAskError(f"{len(found)} answers of {script}: {errors.read()[-600:]}")
    return Timed(found, first - start, (last - first) / (len(asked) - 1))


def _ask_ours(config: str, asked: dict[str, Any]) -> list[Answer]:
    """Nothing is kept from one deployment to the next but what the program itself keeps."""
    machine = simulate_machine(MachineRequest(gpu="h100"), packages=image_packages(RELEASE, "cuda"))
    deployment = Deployment(
        tensor_parallel_size=asked["tp"], expert_parallel=asked.get("ep", False)
    )
    model = load_model(config)
    engine = Engine("vllm", RELEASE)
    return list(select_layers(model, deployment, machine, engine, lora=asked.get("lora", False)))


def _same(real: dict[str, Any], ours: list[Answer]) -> bool:
    """Whether both end alike: the backends of the layers, or a refusal on both sides."""
    backends = {one["backend"] for one in real.get("groups", ()) if one.get("backend")}
    if real["outcome"] == "ok":
        # Methods that ask no oracle in this release fix their backend themselves.
        backends |= {backend for _, backend in recorded_methods(real) if backend}
    chosen = (one.selection for one in ours if one.selection.outcome is Outcome.SELECTED)
    mine = {selection.backend for selection in chosen}
    return backends == mine if real["outcome"] == "ok" else not mine


def main(count: int) -> int:
    """Print the figures."""
    print_real(count)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
