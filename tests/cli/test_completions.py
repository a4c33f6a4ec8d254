from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from moe_doctor.cli.app import COMMANDS
from moe_doctor.cli.completions import generate, main

FOLDER = Path(__file__).parents[2] / "completions"
BASH = shutil.which("bash")
ZSH = shutil.which("zsh")
FISH = shutil.which("fish")


@pytest.mark.parametrize("name", sorted(generate()))
def test_the_checked_in_script_is_what_the_commands_generate(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text == generate()[name], "python -m moe_doctor.cli.completions completions"


def test_no_other_script_is_checked_in(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {path.name for path in FOLDER.iterdir()} == names == set(generate())


def bash(*words: str) -> list[str]:
    """What bash would offer for the last word."""
    script = (
        f'source {FOLDER / "moe-doctor.bash"}; COMP_WORDS=(moe-doctor "$@"); '
        "COMP_CWORD=$#; _moe_doctor; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    result = subprocess.run(
        [BASH or "", "-c", script, "bash", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd=FOLDER,
    )
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("",), [*COMMANDS, "--help", "--version"]),
        (("se",), ["select"]),
        (("check", "--tens"), ["--tensor-parallel-size"]),
        (("check", "-t"), ["-tp"]),
        (("check", "m", "--format", ""), ["text", "json", "github", "junit", "markdown"]),
        (("check", "m", "--format", "=", "j"), ["json", "junit"]),
        (("check", "m", "--level", ""), ["1", "2", "3", "4"]),
        (("prove", "--backend", "tri"), ["triton"]),
        (("select", "--gpu", "h10"), ["h100", "h100-pcie"]),
        (("check", "-tp", ""), []),
        (("check", "moe-doctor.b"), ["moe-doctor.bash"]),
        (("check", "-o", "moe-doctor.f"), ["moe-doctor.fish"]),
        (("explain", "MOE10"), ["MOE101", "MOE102", "MOE103"]),
        (("explain", "flashinfer_cu"), ["flashinfer_cutlass", "flashinfer_cutedsl"]),
        (("diff", "m", "--to", "vllm@0.19"), ["vllm@0.19.0", "vllm@0.19.1"]),
        (("diff", "m", "--to", "vllm", "@", "0.19"), ["0.19.0", "0.19.1"]),
        (("diff", "m", "--to", "=", "vllm", "@", "0.19"), ["0.19.0", "0.19.1"]),
        (("select", "m", "--engine", "vllm", "@"), ["0.16.0", "0.17.0"]),
        (("matrix", "--gpu", "h10"), ["h100", "h100-pcie"]),
        (("select", "--lev"), []),
        (("check", "--", "vllm", ""), []),
    ],
)
def test_bash_completes(words: tuple[str, ...], offered: list[str]) -> None:
    assert bash(*words)[: len(offered) or None] == offered


@pytest.mark.skipif(ZSH is None, reason="zsh is not installed")
def test_zsh_reads_its_script() -> None:
    command = [ZSH or "", "-n", str(FOLDER / "_moe-doctor")]
    result = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.skipif(FISH is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("moe-doctor se", "select"),
        ("moe-doctor check --tens", "--tensor-parallel-size"),
        ("moe-doctor check m --format j", "json"),
        ("moe-doctor explain MOE101", "MOE101"),
    ],
)
def test_fish_completes(line: str, offered: str, tmp_path: Path) -> None:
    script = f"source {FOLDER / 'moe-doctor.fish'}; complete -C '{line}'"
    result = subprocess.run(
        [FISH or "", "--no-config", "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert offered in [each.split("\t")[0] for each in result.stdout.splitlines()]
