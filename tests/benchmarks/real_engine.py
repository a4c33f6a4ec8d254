"""The time that a real vLLM needs for the same answers, beside ours.

The unmodified release answers on an emulated GPU (../shared/truth); MOE_DOCTOR_TRUTH names the
folder that holds its `.truth`. Nothing is loaded or compiled there, so a real server takes longer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.core.request import MachineRequest
from moe_doctor.models.load import load_model
from moe_doctor.oracle.answer import Answer, select_layers
from moe_doctor.oracle.engines.vllm.releases import image_packages
from moe_doctor.probes.simulate import simulate_machine
from tests.benchmarks.configs import BY_SCHEME, SHARED
from tests.benchmarks.process import measure
from tests.oracle.recorded import answer
from tests.releases.conform import (
    CannotAskError,
    ask_real,
    differences,
    is_answer,
    known_releases,
    truth_folder,
)
from tests.releases.questions import Surroundings, questions

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
    start = time.perf_counter()
    ask_real(folder, RELEASE, H100, asked[:1])
    started = time.perf_counter()
    records = ask_real(folder, RELEASE, H100, asked)
    real = (time.perf_counter() - started - (started - start)) / (count - 1)
    known = [record for record in records if is_answer(record)]
    answer(known[0])  # the tables are read once, as the engine is imported once
    began = time.perf_counter()
    for record in known:
        answer(record)
    ours = (time.perf_counter() - began) / len(known)
    agree = sum(not differences(record) for record in known)
    print(f"oracle alone      vLLM {RELEASE} on {H100}, {count} random questions, after the start")
    print(f"  real vLLM       {1e6 * real:9.0f} us each ({started - start:.1f} s to start)")
    print(f"  moe-doctor      {1e6 * ours:9.0f} us each, machine and question built from JSON")
    print(f"  ratio           {real / ours:9.1f}; {agree} of {len(known)} answers agree")


def _print_models(folder: Path) -> None:
    """From config.json to the answer: a cold process each, then one deployment more."""
    print(f"whole way         vLLM {RELEASE} on {H100}, config.json to backend; cold = one process")
    for scheme, name in BY_SCHEME.items():
        if not (SHARED / name / "config.json").is_file():
            print(f"  {scheme:6}  {name} is not beside the checkout")
            continue
        cold, _ = _ask_models(folder, name, _DEPLOYMENTS[:1])
        all_, real = _ask_models(folder, name, _DEPLOYMENTS)
        warm = (all_ - cold) / (len(_DEPLOYMENTS) - 1)
        config = str(SHARED / name)
        command = ["-m", "moe_doctor", "select", config, "--gpu", "h100", "--no-lora"]
        our_cold = measure([*command, "--engine", f"vllm@{RELEASE}"]).seconds
        began = time.perf_counter()
        ours = [_ask_ours(config, asked) for asked in _DEPLOYMENTS]
        our_warm = (time.perf_counter() - began) / len(_DEPLOYMENTS)
        same = sum(_same(*pair) for pair in zip(real, ours, strict=True))
        print(
            f"  {scheme:6}  real vLLM cold {cold:5.1f} s, warm {1e3 * warm:6.0f} ms; "
            f"moe-doctor cold {our_cold:.2f} s, warm {1e3 * our_warm:5.2f} ms; ratio "
            f"{cold / our_cold:.0f} and {warm / our_warm:.0f}; {same} of {len(real)} answers agree"
        )


def _ask_models(
    folder: Path, name: str, deployments: Sequence[dict[str, Any]]
) -> tuple[float, list[dict[str, Any]]]:
    """Wall time of one process, and its answers; raises CannotAskError."""
    placed = folder / ".truth" / "m2" / name
    model = str(placed if placed.is_dir() else SHARED / name)
    command = [
        *(".truth/venv/bin/python", str(SHARED.parent / "truth" / "model_truth.py")),
        *("--src", f".truth/src/vllm-{RELEASE}", "--capability", H100.capability),
        *("--packages", H100.packages, "--batch", "--no-log"),
    ]
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        input="".join(json.dumps({"model": model} | one) + "\n" for one in deployments),
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(lines) < len(deployments):
        raise CannotAskError(f"{name}: {len(lines)} answers: {done.stderr[-600:]}")
    return seconds, [json.loads(line) for line in lines[: len(deployments)]]


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
    mine = {one.selection.backend for one in ours if one.selection.backend}
    return backends == mine if real["outcome"] == "ok" else not mine


def main(count: int) -> int:
    """Print the figures."""
    print_real(count)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
