"""Where an option's value may come from: command line, environment, config file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from moe_doctor.cli.main import main
from moe_doctor.core.errors import UnknownNameError
from moe_doctor.core.request import Request
from tests.cli.fake_doctor import FakeDoctor

MODEL = "org/model"


def ask(doctor: FakeDoctor, *arguments: str) -> Request:
    main(arguments)
    assert len(doctor.requests) == 1
    return doctor.requests[0]


def test_a_flag_beats_the_environment_which_beats_the_config_file(
    doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.moe-doctor]\ntensor-parallel-size = 2\ngpu = 'a100'\nengine = 'vllm@0.19.1'\n"
        "env = { VLLM_A = 1 }\nwith = ['x']\nhf-overrides = { top_k = 2 }\n"
    )
    monkeypatch.setenv("MOE_DOCTOR_TENSOR_PARALLEL_SIZE", "4")
    monkeypatch.setenv("MOE_DOCTOR_GPU", "h200")
    monkeypatch.setenv("MOE_DOCTOR_ENABLE_EXPERT_PARALLEL", "true")
    request = ask(doctor, "select", MODEL, "--gpu", "h100")
    assert request.machine.gpu == "h100"
    assert request.deployment.tensor_parallel_size == 4
    assert request.deployment.expert_parallel is True
    assert request.engine == "vllm@0.19.1"
    assert request.machine.environment == {"VLLM_A": "1"}
    assert request.machine.with_packages == ("x",)
    assert request.hf_overrides == {"top_k": 2}


def test_both_spellings_of_a_flag_stand_in_the_environment_and_in_the_config_file(
    doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.moe-doctor]\nenable-lora = true\n")
    assert ask(doctor, "select", MODEL).lora is True
    (tmp_path / "pyproject.toml").unlink()
    for name in ("MOE_DOCTOR_LORA", "MOE_DOCTOR_ENABLE_LORA"):
        doctor.requests.clear()
        with monkeypatch.context() as patched:
            patched.setenv(name, "1")
            assert ask(doctor, "select", MODEL).lora is True


def test_an_option_of_another_command_may_stand_in_the_config_file(
    doctor: FakeDoctor, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.moe-doctor]\nlevel = 1\nlora = true\n")
    assert ask(doctor, "env") == Request(command="env", level=2)
    doctor.requests.clear()
    assert ask(doctor, "check", MODEL) == Request(command="check", model=MODEL, level=1, lora=True)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (
            "[tool.moe-doctor]\ntensor-paralel-size = 2",
            "unknown key in [tool.moe-doctor] of pyproject.toml 'tensor-paralel-size'",
        ),
        ("[tool.moe-doctor\n", "pyproject.toml in the current directory is not valid TOML"),
        ("[tool]\nmoe-doctor = 3", "[tool.moe-doctor] in pyproject.toml is not a table"),
        ("[tool.moe-doctor]\ngpu = ['a']", "gpu in [tool.moe-doctor] is a list; expected a string"),
        ("[tool.moe-doctor]\nlevel = 9", "--level is '9'; expected 1..4"),
        ("[tool.moe-doctor]\nlevel = 'x'", "--level is 'x'; expected a whole number"),
    ],
)
def test_a_bad_config_file_is_a_clear_error(
    doctor: FakeDoctor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    toml: str,
    message: str,
) -> None:
    (tmp_path / "pyproject.toml").write_text(toml)
    assert main(["check", MODEL]) == 2
    assert doctor.requests == []
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_somebody_elses_broken_toml_is_no_business_of_ours(
    doctor: FakeDoctor, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"[tool.ruff\n\xff")
    assert main(["check", MODEL]) == 0


def test_the_source_of_a_bad_value_is_named(
    doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOE_DOCTOR_LEVEL", "deep")
    assert main(["check", MODEL]) == 2
    assert capsys.readouterr().err == (
        "error: --level is 'deep'; expected a whole number\n"
        "hint: the value came from the environment variable MOE_DOCTOR_LEVEL\n"
    )


def test_a_wrong_value_names_the_variable_that_it_came_from(
    doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOE_DOCTOR_MOE_BACKEND", "tritn")
    monkeypatch.setenv("MOE_DOCTOR_GPU", "h10")
    doctor.error = UnknownNameError("GPU", "h10", ("h100",))
    assert main(["select", "m", "--quiet"]) == 2
    assert (
        capsys.readouterr()
        .err.rstrip()
        .endswith("; --moe-backend came from the environment variable MOE_DOCTOR_MOE_BACKEND")
    )
    assert main(["select", "m", "--moe-backend", "triton", "--quiet"]) == 2
    assert capsys.readouterr().err == (
        "error: unknown GPU 'h10'\n"
        "hint: nearest: h100; --gpu came from the environment variable MOE_DOCTOR_GPU\n"
    )


def test_a_wrong_value_names_the_file_that_it_came_from(
    doctor: FakeDoctor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.moe-doctor]\nall2all-backend = "deepeep"\n', encoding="utf-8"
    )
    assert main(["select", "m", "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "unknown --all2all-backend value 'deepeep'" in err
    assert "--all2all-backend came from [tool.moe-doctor] in pyproject.toml" in err
    assert doctor.requests == []


def test_a_variable_of_ours_that_nothing_reads_is_a_warning(
    doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOE_DOCTOR_MOE_BACKENDS", "triton")
    monkeypatch.setenv("MOE_DOCTOR_QQ", "1")
    monkeypatch.setenv("MOE_DOCTOR_DEBUG", "1")
    monkeypatch.setenv("MOE_DOCTOR_FROM", "vllm@0.19.1")
    assert main(["select", "m"]) == 0
    err = capsys.readouterr().err
    assert (
        "warning: MOE_DOCTOR_MOE_BACKENDS is not read by any option; "
        "nearest: MOE_DOCTOR_MOE_BACKEND\n"
        "warning: MOE_DOCTOR_QQ is not read by any option\n"
    ) in err
    assert err.count("warning:") == 2
    assert main(["select", "m", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_pipe_named_pyproject_does_not_hang_and_a_deleted_folder_does_not_fail(
    doctor: FakeDoctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pyproject.toml")
    assert main(["select", "m", "--quiet"]) == 0
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["select", "m", "--quiet"]) == 0
    assert len(doctor.requests) == 2


def test_a_config_file_that_cannot_be_read_is_warned_of_once(
    doctor: FakeDoctor,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.moe-doctor]\ngpu = 'h100'\n")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert ask(doctor, "select", MODEL).machine.gpu is None
    warning = "warning: pyproject.toml cannot be read: Permission denied\n"
    assert capsys.readouterr().err.count(warning) == 1
