from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from moe_doctor.cli.main import main
from moe_doctor.core.errors import UnknownNameError
from moe_doctor.core.request import MachineRequest, Request
from tests.cli.fake_doctor import FakeDoctor

MODEL = "org/model"


def ask(doctor: FakeDoctor, *arguments: str) -> Request:
    main(arguments)
    assert len(doctor.requests) == 1
    return doctor.requests[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-tp", "8", MODEL),
        (MODEL, "-tp", "8"),
        ("-tp=8", MODEL),
        (MODEL, "-tp=8"),
        (MODEL, "--tensor-parallel-size", "8"),
        (MODEL, "--tensor-parallel-size=8"),
        (MODEL, "--tensor_parallel_size", "8"),
        ("--tensor_parallel_size=8", MODEL),
    ],
)
def test_tensor_parallel_size_is_spelled_as_vllm_spells_it(
    doctor: FakeDoctor, arguments: tuple[str, ...]
) -> None:
    request = ask(doctor, "check", *arguments)
    assert request.deployment.tensor_parallel_size == 8
    assert request.model == MODEL


@pytest.mark.parametrize(
    "words", [("-q", "fp8"), ("-q=fp8",), ("-qfp8",), ("--quantization", "fp8")]
)
def test_quantization_has_vllms_short_option(doctor: FakeDoctor, words: tuple[str, ...]) -> None:
    for arguments in (("select", MODEL, *words), ("select", *words, MODEL)):
        doctor.requests.clear()
        assert ask(doctor, *arguments).deployment.quantization == "fp8"


def test_every_option_reaches_the_request(doctor: FakeDoctor) -> None:
    line = (
        "check org/model -tp 2 -dp 3 -pcp 4 -pp 5 -ep --all2all-backend deepep_low_latency "
        '--enable-eplb --eplb-config={"num_redundant_experts":32} '
        "--moe-backend FlashInfer-CUTLASS -q fp8 --dtype float16 --enable-lora "
        "--max-lora-rank 64 --max-num-batched-tokens 8k --revision main --engine vllm@0.20.0 "
        "--gpu h100 --with a==1 --with b --without triton --env VLLM_A=1 --env VLLM_B=x=y "
        "--level 4 --timeout 7.5 --offline --build --require-proof --fail-on warning --quiet"
    )
    draft = '{"method": "mtp"}'
    request = ask(
        doctor, *line.split(), "--hf-overrides", '{"top_k": 4}', "--speculative-config", draft
    )
    assert request.command == "check"
    assert request.engine == "vllm@0.20.0"
    assert request.lora is True
    assert request.hf_overrides == {"top_k": 4}
    assert request.speculative_config == {"method": "mtp"}
    assert (request.level, request.timeout_s, request.fail_on) == (4, 7.5, "warning")
    assert (request.offline, request.require_proof) == (True, True)
    assert request.build
    assert request.revision == "main"
    assert request.deployment.to_dict() == {
        "tensor_parallel_size": 2,
        "data_parallel_size": 3,
        "prefill_context_parallel_size": 4,
        "pipeline_parallel_size": 5,
        "expert_parallel": True,
        "all2all_backend": "deepep_low_latency",
        "enable_eplb": True,
        "num_redundant_experts": 32,
        "moe_backend": "flashinfer_cutlass",
        "quantization": "fp8",
        "dtype": "float16",
        "max_num_batched_tokens": 8000,
        "max_lora_rank": 64,
    }
    assert request.machine == MachineRequest(
        gpu="h100",
        with_packages=("a==1", "b"),
        without_packages=("triton",),
        environment={"VLLM_A": "1", "VLLM_B": "x=y"},
    )


@pytest.mark.parametrize(
    ("words", "lora"),
    [
        ((), None),
        (("--lora",), True),
        (("--no-lora",), False),
        (("--enable-lora",), True),
        (("--enable_lora",), True),
        (("--no-enable-lora",), False),
    ],
)
def test_neither_lora_flag_means_both(
    doctor: FakeDoctor, words: tuple[str, ...], lora: bool | None
) -> None:
    assert ask(doctor, "select", MODEL, *words).lora is lora


def test_defaults_are_the_requests_own(doctor: FakeDoctor) -> None:
    assert ask(doctor, "check", MODEL) == Request(command="check", model=MODEL)
    doctor.requests.clear()
    assert ask(doctor, "select") == Request(command="select", level=2)
    doctor.requests.clear()
    assert ask(doctor, "env") == Request(command="env", level=2)


def test_prove_takes_backends_and_no_model(doctor: FakeDoctor) -> None:
    request = ask(doctor, "prove", "--backend", "triton", "--backend", "deep-gemm")
    assert request.backends == ("triton", "deep_gemm")
    assert request.model is None


@pytest.mark.parametrize(
    ("text", "tokens"), [("8k", 8000), ("8K", 8192), ("1m", 1000000), ("4096", 4096)]
)
def test_token_counts_take_vllms_suffixes(doctor: FakeDoctor, text: str, tokens: int) -> None:
    request = ask(doctor, "select", MODEL, "--max-num-batched-tokens", text)
    assert request.deployment.max_num_batched_tokens == tokens


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


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("check", "check needs a MODEL", "for example: moe-doctor check nvidia/"),
        ("selct x", "unknown command 'selct'", "nearest: select"),
        ("frobnicate", "unknown command 'frobnicate'", "commands: check, select, prove"),
        (
            "check m --tensor-paralel 3",
            "unknown option '--tensor-paralel'",
            "nearest: --tensor-par",
        ),
        ("check m --zzz", "unknown option '--zzz'", "moe-doctor check --help lists what it takes"),
        ("check m --max-model-len 1", "unknown option '--max-model-len'", "vllm serve has it"),
        ("check m --trust-remote-code", "unknown option '--trust-remote-code'", "vllm serve has"),
        ("check m -tp", "option '-tp' requires an argument", "moe-doctor check --help"),
        ("check m -tp x", "--tensor-parallel-size is 'x'; expected a whole number", ""),
        ("check m -tp 0", "--tensor-parallel-size is '0'; expected 1..65536", ""),
        ("check m -tp 99999999999999999999", "--tensor-parallel-size is '9999", ""),
        ("check m --level 5", "--level is '5'; expected 1..4", ""),
        ("check m --timeout nan", "--timeout is 'nan'; expected a number", ""),
        ("check m --timeout -1", "--timeout is '-1'; expected 0.1..86400", ""),
        ("check m --format yaml", "--format is 'yaml'; expected text, json, github, junit or", ""),
        ("check m --platform vax", "--platform is 'vax'; expected cuda, rocm, xpu, cpu, tpu", ""),
        ("check m --max-num-batched-tokens 0", "--max-num-batched-tokens is '0'; expected at", ""),
        ("check m --env X", "--env is 'X'; expected NAME=VALUE", "for example: --env"),
        ("check m --env 1X=2", "--env is '1X=2'; expected NAME=VALUE", "for example: --env"),
        ("check m --gpu=", "--gpu is empty; expected a value", ""),
        ("check m --hf-overrides {", "--hf-overrides is not JSON", "quote it for the shell"),
        ("check m --hf-overrides [1]", "--hf-overrides is a JSON list; expected an object", ""),
        ("check m --quiet -v", "--quiet and --verbose exclude each other", "give one of them"),
        ("check m --snapshot f --gpu h100", "--snapshot and --gpu exclude each other", "give one"),
        ("check m --capability 9.0 --arch gfx942", "--capability and --arch exclude", "give one"),
        ("check a b", "unexpected argument: b", "a server's whole command line goes after two"),
        ("prove m", "prove needs --backend NAME", "for example: --backend triton"),
    ],
)
def test_a_bad_line_is_one_error_line_and_exit_2(
    doctor: FakeDoctor, capsys: pytest.CaptureFixture[str], line: str, message: str, hint: str
) -> None:
    assert main(line.split()) == 2
    assert doctor.requests == []
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0].startswith(f"error: {message}")
    assert len(lines) <= 2
    if hint:
        assert lines[1].startswith(f"hint: {hint}")


def test_deeply_nested_overrides_are_an_error_and_no_recursion(
    doctor: FakeDoctor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", MODEL, "--hf-overrides", '{"a":' * 100_000]) == 2
    assert capsys.readouterr().err.startswith("error: --hf-overrides is not JSON: ")


def test_the_source_of_a_bad_value_is_named(
    doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOE_DOCTOR_LEVEL", "deep")
    assert main(["check", MODEL]) == 2
    assert capsys.readouterr().err == (
        "error: --level is 'deep'; expected a whole number\n"
        "hint: the value came from the environment variable MOE_DOCTOR_LEVEL\n"
    )


@pytest.mark.parametrize("words", [("--help",), ("-h",), ()])
def test_help_lists_every_command(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    out = capsys.readouterr().out
    for command in ("check", "select", "prove", "env", "diff", "matrix", "explain"):
        assert re.search(rf"^  {command} ", out, re.MULTILINE)


def test_the_help_of_check_tells_the_cost_of_every_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "1: config and files, under a second, no torch." in words
    assert "4: + every accepted backend, all shapes, minutes." in words


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"moe-doctor \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("flags", "said", "hint"),
    [
        (
            ["--moe-backend", "tritn"],
            "unknown --moe-backend value 'tritn'",
            "nearest: triton, ",
        ),
        (["--dtype", "bf17"], "unknown --dtype value 'bf17'", "known: auto, half, float16"),
        (["-q", "fp9"], "unknown --quantization value 'fp9'", "nearest: fp8"),
        (["--platform", "cudda"], "--platform is 'cudda'; expected cuda, ", "nearest: cuda\n"),
        (["--fail-on", "errors"], "--fail-on is 'errors'; expected ", "nearest: error\n"),
    ],
)
def test_a_value_of_no_release_is_a_usage_error_with_the_nearest(
    flags: list[str], said: str, hint: str, doctor: FakeDoctor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", "m", *flags]) == 2
    err = capsys.readouterr().err
    assert f"error: {said}" in err
    assert hint in err
    assert doctor.requests == []


def test_a_value_of_another_release_is_left_to_the_engine(doctor: FakeDoctor) -> None:
    assert main(["select", "m", "--moe-backend", "HPC", "--engine", "vllm@0.20.0", "--quiet"]) == 0
    assert doctor.requests[0].deployment.moe_backend == "hpc"


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


@pytest.mark.parametrize("name", ["bench", "tune", "diagnose"])
def test_a_command_of_a_later_release_is_said_to_be_one(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "m"]) == 2
    err = capsys.readouterr().err
    assert f"has no {name} yet" in err
    assert "unknown command" not in err


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["env", "--gpu", "h100"], "moe-doctor env does not take it; check, select, prove, "),
        (["env", "extra"], "moe-doctor env --help lists what it takes"),
        (["check", "m", "extra"], "moe-doctor check -- vllm serve MODEL ..."),
        (["help"], "moe-doctor --help, or moe-doctor COMMAND --help"),
    ],
)
def test_a_slip_gets_a_hint_that_fits_the_command(
    line: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 2
    assert hint in capsys.readouterr().err


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
