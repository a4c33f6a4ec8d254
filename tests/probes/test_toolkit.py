from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moe_doctor.core.machine import Absent, Present, ProbeFailed
from moe_doctor.probes.redact import Redactor
from moe_doctor.probes.toolkit import probe_toolkit

REDACTOR = Redactor(home="/home/bob", user="bob", host="")
NVCC = "nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release 12.9, V12.9.86\n"


def _program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def _cuda(folder: Path) -> Path:
    _program(folder / "bin", "nvcc", f"cat <<'END'\n{NVCC}END")
    return folder


def test_cuda_home_names_the_nvcc(tmp_path: Path) -> None:
    home = _cuda(tmp_path / "cuda")
    toolkit = probe_toolkit({"CUDA_HOME": str(home), "PATH": ""}, REDACTOR)
    assert toolkit.nvcc == Present("12.9.86")
    assert toolkit.cuda_home == Present(str(home))
    assert toolkit.nvcc_path == str(home / "bin/nvcc")


def test_nvcc_on_path_tells_the_home(tmp_path: Path) -> None:
    home = _cuda(tmp_path / "cuda")
    toolkit = probe_toolkit({"PATH": str(home / "bin")}, REDACTOR)
    assert (toolkit.cuda_home, toolkit.nvcc) == (Present(str(home)), Present("12.9.86"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (":/usr/local/cuda", "which begins with ':'; it takes one directory, not a list"),
        ("/a:/b", "which contains ':'; it takes one directory, not a list"),
        ("/nonexistent/cuda", "which is not a directory"),
        ("/usr", "which holds no bin/nvcc"),
    ],
)
def test_a_malformed_cuda_home_is_told(value: str, reason: str) -> None:
    toolkit = probe_toolkit({"CUDA_HOME": value, "PATH": ""}, REDACTOR)
    assert toolkit.cuda_home == ProbeFailed(f"CUDA_HOME is {value!r}, {reason}")
    assert toolkit.nvcc == Absent()


def test_a_home_directory_is_cut_from_reasons() -> None:
    toolkit = probe_toolkit({"CUDA_PATH": "/home/bob/none", "PATH": ""}, REDACTOR)
    assert toolkit.cuda_home == ProbeFailed("CUDA_PATH is '~/none', which is not a directory")


def test_ninja_and_the_compiler_are_the_first_lines_they_print(tmp_path: Path) -> None:
    _program(tmp_path, "ninja", "echo 1.13.0")
    _program(tmp_path, "g++", "echo 'g++ (GCC) 13.3.0'; echo more")
    toolkit = probe_toolkit({"PATH": f"{tmp_path}"}, REDACTOR)
    assert toolkit.ninja == Present("1.13.0")
    assert toolkit.host_compiler == Present("g++ (GCC) 13.3.0")


def test_cxx_comes_first_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    _program(tmp_path, "c++", "echo wrong")
    _program(tmp_path, "clang++-18", "echo clang version 18.1.3")
    good = probe_toolkit({"PATH": str(tmp_path), "CXX": "clang++-18 -O2"}, REDACTOR)
    assert good.host_compiler == Present("clang version 18.1.3")
    bad = probe_toolkit({"PATH": str(tmp_path), "CXX": "icpx"}, REDACTOR)
    assert bad.host_compiler == ProbeFailed("CXX is 'icpx', which is not an executable on PATH")


@pytest.mark.parametrize(
    ("script", "reason"),
    [("exit 127", "exited with 127"), ("echo hello", "says no release: 'hello")],
)
def test_a_broken_nvcc_is_evidence(tmp_path: Path, script: str, reason: str) -> None:
    _program(tmp_path / "bin", "nvcc", script)
    nvcc = probe_toolkit({"PATH": "", "CUDA_HOME": str(tmp_path)}, REDACTOR).nvcc
    assert isinstance(nvcc, ProbeFailed)
    assert reason in nvcc.reason


def test_a_program_that_is_no_program_is_evidence(tmp_path: Path) -> None:
    broken = tmp_path / "c++"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(0o755)
    compiler = probe_toolkit({"PATH": str(tmp_path)}, REDACTOR).host_compiler
    assert isinstance(compiler, ProbeFailed)


def test_a_compiler_that_hangs_is_evidence(tmp_path: Path) -> None:
    _program(tmp_path, "c++", "exit 0")

    def run(program: str, argument: str) -> str:
        raise subprocess.TimeoutExpired([program, argument], 3.0)

    compiler = probe_toolkit({"PATH": str(tmp_path)}, REDACTOR, run).host_compiler
    assert isinstance(compiler, ProbeFailed)
    assert compiler.reason.endswith("--version gave no answer in 3 s")


def test_output_that_is_not_utf8_is_text(tmp_path: Path) -> None:
    _program(tmp_path, "c++", f"{sys.executable} -c \"import os; os.write(1, b'\\xffcc 1')\"")
    compiler = probe_toolkit({"PATH": str(tmp_path)}, REDACTOR).host_compiler
    assert compiler == Present("\N{REPLACEMENT CHARACTER}cc 1")
