"""A whole process measured from outside: wall time and peak resident memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Measurement(NamedTuple):
    """One run."""

    seconds: float
    """Wall time from spawn to exit."""
    cpu_seconds: float
    """User and system time: what a busy machine disturbs less."""
    peak_mb: float
    """Largest resident set, in units of 10^6 bytes."""
    code: int
    """Exit code."""
    output: str
    """What it wrote on stdout."""


def measure(arguments: Sequence[str], **environment: str) -> Measurement:
    """Run `python ARGUMENTS` in an empty directory and wait for it.

    It may keep what Python compiles, whatever the environment says: installing compiles it too, and
    a process that compiles two hundred modules first takes half a second more. Variables that are
    options, or are none and are warned of, are left out, as most users have none.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MOE_DOCTOR_")}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={
                **kept,
                "PYTHONPATH": str(ROOT),
                "PYTHONDONTWRITEBYTECODE": "",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode("utf-8", errors="replace")
    return Measurement(
        seconds,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * 1024 / 1e6,
        process.returncode,
        text,
    )
