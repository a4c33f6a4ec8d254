"""Whole processes: what happens to the streams cannot be seen from inside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tests.cli.fake_doctor")
FULL = Path("/dev/full")


def run(
    *arguments: str, stdout: object = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, **environment},
        stdin=subprocess.DEVNULL,
        stdout=stdout,  # type: ignore[call-overload]
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )


def test_a_report_goes_to_stdout_and_nothing_else_does() -> None:
    result = run("check", "m", "--format", "json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["verdict"] == "warn"
    assert result.stderr == b"moe-doctor: looking at m\n"


@pytest.mark.parametrize(("fake", "code"), [("", 0), ("crash", 1)])
@pytest.mark.parametrize("arguments", [("check", "m"), ("check", "m", "--format", "json")])
def test_a_reader_that_goes_away_changes_nothing(
    arguments: tuple[str, ...], fake: str, code: int
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = run(*arguments, "--quiet", stdout=writer, FAKE=fake)
    os.close(writer)
    assert (result.returncode, result.stderr) == (code, b"")


def test_help_into_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for arguments in (("--help",), ("check", "--help"), ("--version",)):
        result = run(*arguments, stdout=writer)
        assert result.stderr == b"", arguments
    os.close(writer)


def test_piping_into_head_ends_well() -> None:
    line = f"set -o pipefail; {' '.join(COMMAND)} check m --quiet -v 2>&1 | head -n 1"
    result = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert result.returncode == 2  # --quiet and -v exclude each other: one error line
    assert result.stdout.startswith(b"error: --quiet and --verbose")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [("check", "m"), ("--version",), ("check", "--help")])
def test_a_full_disk_under_stdout_is_exit_3_and_one_line(arguments: tuple[str, ...]) -> None:
    with FULL.open("wb") as full:
        result = run(*arguments, stdout=full)
    assert result.returncode == 3
    assert b"error: standard output cannot be written: No space left on device" in result.stderr
    assert b"Traceback" not in result.stderr


def test_a_closed_stdout_is_an_error_and_no_traceback() -> None:
    line = f"{' '.join(COMMAND)} check m --quiet >&-"
    result = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert result.returncode == 3
    assert b"standard output" in result.stderr
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "latin-1:strict"},
    ],
)
@pytest.mark.parametrize("form", ["text", "json", "github", "junit", "markdown"])
def test_any_locale_carries_any_report(locale: dict[str, str], form: str) -> None:
    result = run("check", "m\u00f6\u4e16", "--format", form, **locale)
    assert result.returncode == 0
    assert result.stdout
    assert b"Traceback" not in result.stderr


def test_an_undecodable_argument_is_shown_and_not_fatal() -> None:
    result = subprocess.run(
        [*(part.encode() for part in COMMAND), b"check", b"m", b"--gpu", b"", b"\xff\xfe"],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert b"Traceback" not in result.stderr


def test_no_home_is_needed() -> None:
    assert run("check", "m").returncode == 0
    assert run("check", "m", HOME="/nonexistent").returncode == 0


@pytest.mark.parametrize(
    ("environment", "colored"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_a_pipe_gets_colours_only_when_forced(environment: dict[str, str], colored: bool) -> None:
    assert (b"\x1b[" in run("check", "m", **environment).stdout) is colored


def test_forty_columns_are_enough() -> None:
    lines = run("check", "m", COLUMNS="40").stdout.decode().splitlines()
    assert [line for line in lines if len(line) > 40] == []


def test_under_github_actions_the_default_stays_text() -> None:
    result = run("check", "m", GITHUB_ACTIONS="true", CI="true")
    assert result.stdout.startswith(b"NVIDIA-Nemotron-3-Nano")
    assert b"\r" not in result.stderr


@pytest.mark.parametrize(("error", "code"), [("fetch", 3), ("bug", 4), ("interrupt", 130)])
def test_every_failure_has_its_code_and_no_traceback(error: str, code: int) -> None:
    result = run("check", "m", FAKE_ERROR=error)
    assert result.returncode == code
    assert result.stdout == b""
    assert b"Traceback" not in result.stderr


WAITS = (
    "import sys, time, moe_doctor\n"
    "from tests.cli.fake_doctor import install\n"
    "from moe_doctor.core.scratch import scratch_folder\n"
    "doctor = install()\n"
    "def run(request, progress):\n"
    "    with scratch_folder() as folder:\n"
    "        print(folder, flush=True)\n"
    "        time.sleep(60)\n"
    "doctor.run = run\n"
    "from moe_doctor.cli.main import main\n"
    "sys.exit(main(['check', 'm', '--quiet']))\n"
)


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        (signal.SIGINT, 130, b"interrupted\n"),
        (signal.SIGTERM, 143, b"terminated\n"),
        (signal.SIGHUP, 129, b"terminated\n"),
    ],
)
def test_a_signal_ends_the_process_with_its_code_and_leaves_no_folder(
    ending: signal.Signals, code: int, said: bytes
) -> None:
    # As a terminal starts it: nohup, or a shell's `&`, may have started the tests.
    heard = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
    )
    with subprocess.Popen(
        [sys.executable, "-c", heard + WAITS],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().decode().strip())
        assert folder.is_dir()
        process.send_signal(ending)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (code, said)
    assert not folder.exists()


def test_a_closed_terminal_does_not_end_what_nohup_started() -> None:
    with subprocess.Popen(
        ["nohup", sys.executable, "-c", WAITS],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 143
