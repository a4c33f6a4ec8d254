"""Whole processes: what a command leaves out of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINES = ("torch", "triton", "flashinfer", "vllm")
CONFIG = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "hidden_act": "silu",
    "torch_dtype": "bfloat16",
}
REPORT = """
import sys
from moe_doctor.cli.main import main
code = main(sys.argv[2:])
with open(sys.argv[1], "w") as stream:
    print(code, *sorted({name.split(".")[0] for name in sys.modules}), file=stream)
"""


def modules_after(folder: Path, *arguments: str) -> tuple[int, set[str]]:
    """Exit code and top-level modules of a process that ran one command line."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    listing = folder / "modules.txt"
    result = subprocess.run(
        [sys.executable, "-c", REPORT, str(listing), *arguments],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert listing.exists(), result.stderr.decode()
    code, *modules = listing.read_text().split()
    return int(code), set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("check", "--help"),
        ("explain",),
        ("explain", "MOE412"),
        ("explain", "flashinfer_cutlass"),
        ("diff", "config.json", "--from", "vllm@0.19.1", "--to", "vllm@0.20.0", "--gpu", "b200"),
        ("matrix", "config.json", "--gpu", "h100", "--gpu", "mi300x"),
        ("env",),
        ("env", "--format", "json"),
        ("check", "config.json", "--level", "1"),
        ("check", "config.json", "--level", "2", "--gpu", "h100", "--fail-on", "never"),
        ("select", "config.json", "--gpu", "b200", "--format", "markdown"),
        ("select", "config.json", "--fail-on", "never"),
        ("select", "--gpu", "mi300x"),
    ],
)
def test_a_command_without_a_proof_imports_no_engine(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    code, modules = modules_after(tmp_path, *arguments)
    assert code == 0
    assert modules.isdisjoint(ENGINES)


def test_a_selection_in_plain_text_needs_neither_pydantic_nor_rich(tmp_path: Path) -> None:
    code, modules = modules_after(tmp_path, "select", "config.json", "--gpu", "h100", "-tp", "2")
    assert code == 0
    assert modules.isdisjoint({"pydantic", "rich", "huggingface_hub", "httpx", "requests"})


def test_importing_the_package_imports_no_engine() -> None:
    script = "import sys, moe_doctor; print(*{name.split('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert set(result.stdout.split()).isdisjoint({*ENGINES, "typer", "huggingface_hub"})
