"""Lines that click or a quick look would misread are errors that say what to write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moe_doctor.cli.main import main

CONFIG = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 4,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "torch_dtype": "bfloat16",
}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(CONFIG))
    return "model"


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("select model -o --lora", "-o has no value: --lora is an option", "-o=--lora"),
        ("select --revision --gpu h100", "--revision has no value", "--revision=--gpu"),
        ("select model --lora=true", "--lora takes no value", "--lora or --no-lora"),
        ("select -v=1", "-v takes no value, got '-v=1'", "--verbose or -v"),
        ("select model -tp8", "unknown option '-tp8'", "write -tp 8"),
        ("select model --tp 2", "unknown option '--tp'", "nearest: -tp"),
        ("--gpu h100 select model", "unknown option '--gpu'", "options come after the command"),
        ("vllm serve model", "unknown command 'vllm'", "moe-doctor check -- vllm serve"),
        ("select -- vllm serve model -tp8", "in the pasted line '-tp8'", "nearest: -tp 8"),
        ("select -- vllm serve model --tp 2", "in the pasted line '--tp'", "nearest: -tp"),
        ("select -- vllm serve model -TP 2", "in the pasted line '-TP'", "nearest: -tp"),
        (
            "select --gpu h100 -- vllm serve model --tensor-parallel-size",
            "--tensor-parallel-size has no value in the pasted line",
            "write --tensor-parallel-size VALUE",
        ),
    ],
)
def test_the_error_names_the_word_and_what_to_write(
    model: str, capsys: pytest.CaptureFixture[str], line: str, error: str, hint: str
) -> None:
    assert main(line.split()) == 2
    told = capsys.readouterr().err
    assert error in told
    assert hint in told


def test_a_second_word_of_a_pasted_line_is_named(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", "--gpu", "h100", "--", "vllm", "serve", "model", "other"]) == 0
    assert "not judged in the pasted line: the word 'other'" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["model/config.json", "link.json"])
def test_a_report_is_not_written_over_what_it_is_made_from(
    model: str, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    Path("link.json").symlink_to("model/config.json")
    for command in ("select", "matrix", "diff"):
        line = f"{command} model --gpu h100 -o {target}"
        assert main(line.split()) == 3
        assert "is what the report is made from" in capsys.readouterr().err
        assert json.loads(Path("model/config.json").read_text()) == CONFIG


def test_a_bad_config_file_does_not_keep_the_help_away(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("pyproject.toml").write_text("[tool.moe-doctor]\nno-such = 1\n")
    assert main(["diff", "--help"]) == 0
    assert "--from" in capsys.readouterr().out
    assert main(["diff", "model"]) == 2


def test_every_command_s_options_may_stand_in_the_config_file(model: str) -> None:
    Path("pyproject.toml").write_text(
        "[tool.moe-doctor]\nfrom = 'vllm@0.19.1'\nto = 'vllm@0.20.0'\ngpu = 'h100'\n"
        "backend = 'triton'\n"
    )
    assert main(["diff", "model", "-o", "out.txt"]) == 0
    assert "0.19.1" in Path("out.txt").read_text()


@pytest.mark.parametrize(
    ("line", "is_json"),
    [
        ("--format json --format text --nope", False),
        ("--format text --format json --nope", True),
        ("--nope", True),
        ("--format text --nope", False),
    ],
)
def test_the_last_format_decides_also_about_an_error(
    model: str, capsys: pytest.CaptureFixture[str], line: str, is_json: bool
) -> None:
    Path("pyproject.toml").write_text("[tool.moe-doctor]\nformat = 'json'\n")
    assert main(["select", *line.split()]) == 2
    out = capsys.readouterr().out
    assert out.startswith('{\n  "schema": "moe-doctor.error/1"') is is_json


def test_ctrl_c_while_the_program_loads_is_told_as_ever() -> None:
    code = (
        "import sys, moe_doctor.__main__ as entry\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'moe_doctor.cli.main': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "sys.exit(entry.main())\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (130, "interrupted\n")


def test_the_help_names_an_argument_without_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("matrix", "select"):
        assert main([command, "--help"]) == 0
        assert "\n  MODEL  " in capsys.readouterr().out


def test_a_pipe_in_place_of_the_config_file_does_not_hold_an_error_up(model: str) -> None:
    os.mkfifo("pyproject.toml")
    assert main(["select", "--nope"]) == 2
