from __future__ import annotations

import pytest

from moe_doctor.cli.main import main
from moe_doctor.cli.pasted import is_pasted, parse_pasted
from moe_doctor.cli.signature import kinds_of
from moe_doctor.cli.vllm_flags import CARRIED, FLAGS, LISTS, SHORT
from moe_doctor.core.errors import UnknownNameError, UsageError
from tests.cli.fake_doctor import FakeDoctor


def parse(line: str) -> tuple[str, ...]:
    return parse_pasted(line.split()).arguments


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("vllm serve m -tp 8", ("m", "--tensor-parallel-size", "8")),
        ("vllm serve -tp 8 m", ("m", "--tensor-parallel-size", "8")),
        ("vllm serve --model m --tensor_parallel_size=8", ("m", "--tensor-parallel-size", "8")),
        ("/opt/venv/bin/vllm serve m -ep", ("m", "--enable-expert-parallel")),
        ("python3 -m vllm.entrypoints.openai.api_server --model m", ("m",)),
        ("A=1 VLLM_X=2 vllm serve m", ("--env", "A=1", "--env", "VLLM_X=2", "m")),
        ("env A=1 nohup uv run vllm serve m &", ("--env", "A=1", "m")),
        ("vllm serve m --no-enable-expert-parallel", ("m", "--no-enable-expert-parallel")),
        ("vllm serve m | tee log -tp 4", ("m",)),
        ("vllm serve m 2>&1 -tp 4", ("m",)),
        (
            "docker run --gpus all -e A=1 --env=B=2 vllm/vllm-openai:v0.20.0 --model m -dp 2",
            (
                "--env",
                "A=1",
                "--env",
                "B=2",
                "--engine",
                "vllm@0.20.0",
                "m",
                "--data-parallel-size",
                "2",
            ),
        ),
        ("docker run registry.local/vllm/vllm-openai:latest m", ("m",)),
        (
            "docker run vllm/vllm-openai-rocm:v0.18.0 vllm serve m",
            ("--engine", "vllm@0.18.0", "m"),
        ),
        (
            "export A=1; B=2; cd x && C=3 vllm serve m; echo -tp 4",
            ("--env", "A=1", "--env", "C=3", "m"),
        ),
        ("vllm serve m;", ("m",)),
        (
            "vllm serve m --eplb_config.num_redundant_experts 32 --eplb-config.window_size=9",
            ("m", "--eplb-config", '{"num_redundant_experts": 32, "window_size": 9}'),
        ),
        (
            "vllm serve m --hf-overrides.a.b x --hf-overrides.c+ x,y -sc.method mtp",
            (
                "m",
                "--hf-overrides",
                '{"a": {"b": "x"}, "c": ["x", "y"]}',
                "--speculative-config",
                '{"method": "mtp"}',
            ),
        ),
        ("vllm serve m --kernel-config.moe_backend triton", ("m", "--moe-backend", "triton")),
        (
            'vllm serve m --kernel-config {"moe_backend":"triton"} --moe-backend auto',
            ("m", "--moe-backend", "auto", "--moe-backend", "triton"),
        ),
        (
            'vllm serve m --moe-backend marlin --kernel-config {"moe_backend":"triton"}',
            ("m", "--moe-backend", "triton", "--moe-backend", "marlin"),
        ),
    ],
)
def test_a_pasted_line_becomes_our_options(line: str, arguments: tuple[str, ...]) -> None:
    assert parse(line) == arguments


def test_what_is_not_judged_is_named_and_takes_its_values_along() -> None:
    text = (
        "vllm serve --trust-remote-code --max-model-len 4096 --served-model-name a b "
        "--speculative-config {} --port=80 --enforce-eager --seed -1 --no-enable-log-requests "
        "--model m -tp 2"
    )
    line = parse_pasted(text.split())
    assert line.arguments == ("m", "--speculative-config", "{}", "--tensor-parallel-size", "2")
    assert line.ignored == (
        "--trust-remote-code",
        "--max-model-len",
        "--served-model-name",
        "--port",
        "--enforce-eager",
        "--seed",
        "--no-enable-log-requests",
    )


def test_what_a_file_or_another_key_holds_is_named_too() -> None:
    text = "vllm serve m --config c.yaml --kernel-config.linear_backend x -cc.mode 3"
    line = parse_pasted(text.split())
    assert line.arguments == ("m",)
    assert line.ignored == (
        "--config (the options in c.yaml are not read: paste them as well)",
        "-cc.mode",
        "--kernel-config.linear_backend",
    )


def test_one_quoted_line_is_split_as_a_shell_would() -> None:
    line = "A='x y' \\\n vllm serve m \\\n  --hf-overrides '{\"top_k\": 4}' # tuned"
    assert parse_pasted([line]).arguments == (
        "--env",
        "A=x y",
        "m",
        "--hf-overrides",
        '{"top_k": 4}',
    )


@pytest.mark.parametrize(
    ("words", "pasted"),
    [(["org/m"], False), (["vllm", "serve", "m"], True), (["vllm serve m"], True), ([], False)],
)
def test_a_plain_model_after_two_dashes_is_no_pasted_line(words: list[str], pasted: bool) -> None:
    assert is_pasted(words) is pasted


@pytest.mark.parametrize("words", [["vllm", "bench", "serve"], ["sglang", "launch"], ["a 'b"]])
def test_a_line_without_a_server_is_an_error(words: list[str]) -> None:
    with pytest.raises(UsageError, match="pasted line"):
        parse_pasted(words)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("--tensor-paralel-size 8", "--tensor-parallel-size"),
        ("--enable-loras", "--enable-lora"),
        ("--moe-backnd=marlin", "--moe-backend"),
        ("--quantisation fp8", "--quantization"),
    ],
)
def test_a_letter_off_an_option_that_we_judge_is_an_error(wrong: str, right: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        parse_pasted(["vllm", "serve", "m", *wrong.split()])
    assert right in caught.value.hint


def test_neighbours_of_our_options_are_left_to_vllm() -> None:
    words = "vllm serve m --data-parallel-size-local 2 --decode-context-parallel-size 2"
    others = (
        "--max-loras 4 --tokenizer-revision x --enable-tower-connector-lora --data-parallel-rank 0"
    )
    line = parse_pasted([*words.split(), *others.split()])
    assert len(line.ignored) == 6


def test_our_options_win_over_the_pasted_ones(
    doctor: FakeDoctor, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "check --gpu h100 -tp 2 -- vllm serve org/m -tp 8 --enable-lora --max-model-len 1"
    assert main(line.split()) == 0
    (request,) = doctor.requests
    assert request.model == "org/m"
    assert request.machine.gpu == "h100"
    assert request.deployment.tensor_parallel_size == 2
    assert request.lora is True
    note = "note: not judged in the pasted line: --max-model-len\n"
    assert capsys.readouterr().err.startswith(note)


def test_a_model_alone_may_follow_two_dashes(doctor: FakeDoctor) -> None:
    assert main(["check", "--gpu", "h100", "--", "org/m"]) == 0
    assert doctor.requests[0].model == "org/m"


def test_every_carried_option_is_one_of_ours() -> None:
    from moe_doctor.cli.app import load_command

    for name in ("check", "select", "prove"):
        command = load_command(name)
        flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        assert flags >= CARRIED
        assert set(SHORT) - {"-sc"} <= flags
        assert kinds_of(command.callback)


def test_the_tables_of_vllm_options_do_not_overlap() -> None:
    assert frozenset() == LISTS & FLAGS
    assert {
        "--enable-dbo",
        "--enable-eplb",
        "--enable-expert-parallel",
        "--enable-lora",
    } == CARRIED & FLAGS
