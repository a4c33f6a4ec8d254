"""The parent's side of the child: start it, wait, and leave nothing of it behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import moe_doctor
from moe_doctor.core.scratch import scratch_folder

MARKER = "moe-doctor-answer:"
"""What the child writes before its answer."""

_TAIL = 2000
_REAP_S = 10.0
# The package's folder under the package's name: the child imports `moe_doctor.live.child` and
# nothing of the environment that moe-doctor is installed in.
_BOOT = (
    "import sys, types; package = types.ModuleType('moe_doctor'); "
    "package.__path__ = [sys.argv[1]]; sys.modules['moe_doctor'] = package; "
    "from moe_doctor.live.child.main import main; main()"
)


class LiveError(Exception):
    """The installed engine could not be asked; the message says why."""

    def __init__(self, message: str, tail: str = "") -> None:
        super().__init__(message)
        self.tail = tail
        """Last lines that the child and its libraries wrote."""


def ask_child(
    python: str,
    question: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    timeout_s: float,
) -> dict[str, Any]:
    """The child's answer to `question`; raises LiveError.

    The child has `timeout_s` from its start, imports included, and a process group of its own
    that does not outlive the call.
    """
    with scratch_folder() as home:
        outputs = [home / "stdout", home / "stderr"]
        work = home / "work"
        work.mkdir()
        with outputs[0].open("wb") as stdout, outputs[1].open("wb") as stderr:
            try:
                process = subprocess.Popen(
                    [python, "-c", _BOOT, str(Path(moe_doctor.__file__).absolute().parent)],
                    stdin=subprocess.PIPE,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                    # An empty folder: `-c` puts it on sys.path, and nothing may shadow torch.
                    cwd=work,
                    env={**environment, "VLLM_CACHE_ROOT": str(home / "cache")},
                )
            except OSError as error:
                raise LiveError(f"{python} does not start: {error}") from error
            overdue = _wait(process, json.dumps(dict(question)).encode(), timeout_s)
        said, tail = (each.read_bytes().decode(errors="replace") for each in outputs)
    tail = tail.strip()[-_TAIL:]
    if overdue:
        raise LiveError(f"no answer within {timeout_s:g} s", tail)
    return _answer(said, process.returncode or 0, tail)


def _wait(process: subprocess.Popen[bytes], question: bytes, timeout_s: float) -> bool:
    """Hand over the question and wait for the end; True when the deadline came first."""
    try:
        process.communicate(question, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return True
    finally:
        # Whatever happens here, an interrupt included, the group ends.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # A process that a GPU driver holds in the kernel does not even die of SIGKILL.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_REAP_S)
    return False


def _answer(said: str, returncode: int, tail: str) -> dict[str, Any]:
    for line in said.splitlines():
        if not line.startswith(MARKER):
            continue
        try:
            answer = json.loads(line[len(MARKER) :])
        except (ValueError, RecursionError) as error:
            raise LiveError(f"its answer is not JSON: {error}", tail) from error
        if isinstance(answer, dict) and isinstance(answer.get("builds"), list):
            return answer
        raise LiveError("its answer is JSON of another shape", tail)
    last = next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "")
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        raise LiveError(f"it was ended by {name}" + (f": {last}" if last else ""), tail)
    raise LiveError(
        f"it ended with {returncode} and no answer" + (f": {last}" if last else ""), tail
    )
