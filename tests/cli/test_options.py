from __future__ import annotations

import re

import pytest

from moe_doctor.cli.main import main
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
        '--enable-dbo --enable-eplb --eplb-config={"num_redundant_experts":32} '
        "--moe-backend FlashInfer-CUTLASS -q fp8 --dtype float16 --enable-lora "
        "--mm-encoder-tp-mode data "
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
        "enable_dbo": True,
        "num_redundant_experts": 32,
        "moe_backend": "flashinfer_cutlass",
        "quantization": "fp8",
        "dtype": "float16",
        "mm_encoder_tp_mode": "data",
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
        ("check m --engine=", "--engine is empty; expected a value", ""),
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
        (["--dtype", "bf17"], "unknown --dtype value 'bf17'", "known: auto, bfloat16, float, "),
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
        (["select", "--level", "1"], "moe-doctor select does not take it; check does"),
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
