from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from moe_doctor.cli.app import COMMANDS, load_command
from moe_doctor.cli.config import read_defaults
from moe_doctor.cli.options import FORMATS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def marked(name: str) -> list[str]:
    """Lines of the code block under a marker."""
    block = re.search(rf"^<!-- {name} -->\n```sh\n(.*?)\n```$", README, re.MULTILINE | re.DOTALL)
    assert block is not None, name
    return block[1].splitlines()


@pytest.mark.parametrize("name", ["check-command", "test-command"])
def test_set_up_is_one_line_that_installs_torch_first(name: str) -> None:
    (line,) = marked(name)
    steps = line.split(" && ")
    assert steps[0] == "python3 -m venv .venv"
    assert steps[1] == ".venv/bin/pip install torch==2.13.0"
    assert steps[2].startswith(".venv/bin/pip install ")


def test_the_first_command_checks_the_model_with_the_proof() -> None:
    (line,) = marked("check-command")
    assert line.endswith(" check nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16 --gpu h100")
    assert "[kernels]" in line


def test_ci_runs_the_test_command_word_for_word() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    awk = re.search(r"awk '[^']*' README.md", script)
    assert awk is not None
    result = subprocess.run(
        ["bash", "-c", awk[0]], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert result.stdout.splitlines() == marked("test-command")
    assert 'eval "$test_command"' in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_every_command_has_a_row_and_no_other_does() -> None:
    rows = re.findall(r"^\| `moe-doctor (\w+)", README, re.MULTILINE)
    assert rows == list(COMMANDS)


def test_every_example_line_parses() -> None:
    lines = re.findall(r"^(?:- run: |\$ )?moe-doctor (.+)$", README, re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        name, *words = shlex.split(line, comments=True)
        command = load_command(name)
        context = command.make_context(name, words, resilient_parsing=False)
        named = context.params.get("model") or context.params.get("models")
        assert named or name in ("env", "explain"), line


def test_every_option_that_is_named_exists() -> None:
    known = {
        flag
        for name in COMMANDS
        for each in load_command(name).params
        for flag in (*each.opts, *each.secondary_opts)
    }
    # The tools for developers, in the last part, have options of their own.
    users = README.partition("\n## Develop")[0]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", users))
    assert "--level" in named
    assert named - known == set()


def test_every_format_and_exit_code_is_listed() -> None:
    for name in FORMATS:
        assert f"`{name}`" in README
    codes = re.findall(r"^\| (\d+) \|", README, re.MULTILINE)
    assert codes == ["0", "1", "2", "3", "4", "130", "143"]


def test_the_config_example_is_read(tmp_path: Path) -> None:
    toml = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert toml is not None
    (tmp_path / "pyproject.toml").write_text(toml[1])
    assert read_defaults(tmp_path, load_command("check").kinds) == {
        "engine": "vllm@0.20.0",
        "gpu": "h100",
        "tensor_parallel_size": 8,
        "env": ["VLLM_USE_FLASHINFER_MOE_FP16=1"],
    }
