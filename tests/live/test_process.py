"""The child may answer, hang, crash, print garbage or die: each is told apart, none stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from moe_doctor.live.process import LiveError, ask_child
from tests.live.fake_vllm import write_python


def ask(folder: Path, line: str, timeout_s: float = 20.0) -> dict[str, object]:
    return ask_child(
        str(write_python(folder, line)), {}, environment=dict(os.environ), timeout_s=timeout_s
    )


def test_the_marked_line_is_the_answer_whatever_else_is_printed(tmp_path: Path) -> None:
    line = """cat >/dev/null; echo noise; echo 'moe-doctor-answer:{"builds": [], "version": "1"}'"""
    assert ask(tmp_path, line) == {"builds": [], "version": "1"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("echo no such library >&2; exit 3", "it ended with 3 and no answer: no such library"),
        ("echo garbage", "it ended with 0 and no answer"),
        ("kill -SEGV $$", "it was ended by SIGSEGV"),
        ("echo 'moe-doctor-answer:{'", "its answer is not JSON"),
        ("echo 'moe-doctor-answer:[]'", "its answer is JSON of another shape"),
    ],
)
def test_a_child_without_an_answer_says_how_it_ended(
    tmp_path: Path, line: str, message: str
) -> None:
    with pytest.raises(LiveError) as caught:
        ask(tmp_path, line)
    assert message in str(caught.value)


def test_the_tail_of_stderr_is_kept(tmp_path: Path) -> None:
    with pytest.raises(LiveError) as caught:
        ask(tmp_path, "echo first >&2; echo last words >&2; exit 1")
    assert caught.value.tail == "first\nlast words"


def test_a_child_that_hangs_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(LiveError, match=r"no answer within 1 s"):
        ask(tmp_path, f"sleep 600 & echo $! > {pid}; wait", timeout_s=1)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid.read_text().strip()}").exists() and time.monotonic() < deadline:
        status = Path(f"/proc/{pid.read_text().strip()}/stat")
        if status.exists() and status.read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_an_interpreter_that_does_not_start_is_said_to(tmp_path: Path) -> None:
    with pytest.raises(LiveError, match="does not start"):
        ask_child(str(tmp_path / "none"), {}, environment={}, timeout_s=1)
