"""A plain line means the same with and without Typer, and the usual lines are plain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_doctor.cli.app import load_command
from moe_doctor.cli.binding import Kind, groups_of, kinds_in
from moe_doctor.cli.commands import COMMANDS, command_function
from moe_doctor.cli.plain import plain_values, read_plain
from moe_doctor.core.errors import DoctorError

KINDS = {name: kinds_in(groups_of(command_function(name))) for name in COMMANDS}
USUAL = [
    "select owner/name --gpu h100",
    "select owner/name --gpu=h100 --lora",
    "select --no-lora --engine vllm@0.33.0 -tp 8 --enable_expert_parallel",
    "select owner/name -q=fp8 --max-num-batched-tokens 8k --format json --output -",
    "check owner/name --level 2 --env VLLM_USE_FLASHINFER_MOE_FP16=1 --env A=B -v",
    "prove --backend triton --backend marlin",
    "env",
    "diff owner/name --from vllm@0.19.1 --to vllm@0.20.0 --gpu h100",
    "matrix one two three --gpu h100 --gpu b200 --format markdown",
    "explain MOE412",
]
TYPERS = [
    "",
    "--version",
    "selct owner/name",
    "select --help",
    "select owner/name -h",
    "select owner/name other/name",
    "select --gpu h100 --gpu b200",
    "select --gpu",
    "select --gpu --lora",
    "select --lora=yes",
    "select --gup h100",
    "select -tp8",
    "select -tp eight",
    "select --format yaml",
    "select -- vllm serve owner/name",
    "select -",
    "bench",
]


def typers(command: str, words: list[str]) -> dict[str, Any]:
    context = load_command(command).make_context(command, list(words))
    return {
        name: tuple(value or ()) if KINDS[command][name].many else value
        for name, value in context.params.items()
    }


def words_of(kinds: dict[str, Kind]) -> st.SearchStrategy[list[str]]:
    flags = [flag for kind in kinds.values() for each in kind.flags for flag in each.split("/")]
    values = ["1", "8", "8k", "h100", "json", "a=b", "", "-", "-1", "3.5", "auto", "owner/name"]
    return st.lists(
        st.one_of(
            st.sampled_from(flags),
            st.sampled_from(values),
            st.tuples(st.sampled_from(flags), st.sampled_from(values)).map("=".join),
            st.sampled_from(["--", "-h", "--tensor_parallel_size", "--no-such", "-q=fp8", "-v=x"]),
        ),
        max_size=5,
    )


@pytest.mark.parametrize("line", USUAL)
def test_usual_lines_are_plain_and_mean_what_typer_reads(line: str) -> None:
    command, *words = line.split()
    values = plain_values(words, KINDS[command])
    assert values is not None
    assert values == typers(command, words)
    assert read_plain(line.split(), {"PATH": "/bin"}, Path("/nowhere")) is not None


@pytest.mark.parametrize("line", TYPERS)
def test_all_else_is_left_to_typer(line: str) -> None:
    assert read_plain(line.split(), {}, Path("/nowhere")) is None


@pytest.mark.parametrize("name", ["MOE_DOCTOR_GPU", "MOE_DOCTOR_QUIET", "_MOE_DOCTOR_COMPLETE"])
def test_a_variable_that_is_an_option_is_left_to_typer(name: str) -> None:
    assert read_plain(["select"], {name: "1"}, Path("/nowhere")) is None


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("MOE_DOCTOR_DEBUG", ""),
        ("MOE_DOCTOR_LEVEL", ""),  # an option of check
        (
            "MOE_DOCTOR_GUP",
            "warning: MOE_DOCTOR_GUP is not read by any option; nearest: MOE_DOCTOR_GPU\n",
        ),
    ],
)
def test_any_other_variable_is_warned_of_where_no_option_reads_it(
    name: str, warning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_plain(["select"], {name: "1"}, Path("/nowhere")) is not None
    assert capsys.readouterr().err == warning
    assert read_plain(["select", "--quiet"], {name: "1"}, Path("/nowhere")) is not None
    assert capsys.readouterr().err == ""


def test_a_project_with_defaults_is_left_to_typer(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.moe-doctor]\ngpu = 'h100'\n")
    assert read_plain(["select"], {}, tmp_path) is None
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'moe-doctor'\n")
    assert read_plain(["select"], {}, tmp_path) is not None


@given(st.data())
def test_whatever_is_read_as_plain_is_what_typer_reads(data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(sorted(COMMANDS)))
    words = data.draw(words_of(KINDS[command]))
    try:
        values = plain_values(words, KINDS[command])
    except DoctorError as error:
        with pytest.raises(type(error)):
            typers(command, words)
        return
    if values is not None:
        assert values == typers(command, words)


def test_a_plain_line_loads_no_typer() -> None:
    code = (
        "import sys; from moe_doctor.cli.main import main; "
        "code = main(['select', '--gpu', 'h100']); "
        "print(code, sorted({'typer', 'click', 'inspect', 'dataclasses'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "0 []"
