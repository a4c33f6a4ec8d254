"""Which Python has the engine: this one, or the one that `--python` names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moe_doctor.core.errors import UsageError
from moe_doctor.core.machine import Present, Probe
from moe_doctor.core.record import record

OLDEST_PYTHON = (3, 9)
"""What the child's code needs."""

_DEADLINE_S = 60.0
_MARKER = "moe-doctor-python:"
_LOOK = f"import json, sys; print({_MARKER!r} + json.dumps([list(sys.version_info[:2]), sys.path]))"


@record
class Installed:
    """A vLLM that can be asked."""

    python: str
    """The interpreter that has it."""
    version: str
    """As its metadata says it: `0.20.0`, `0.33.0+cu130`, `0.34.1.dev3+gabc`."""
    packages: Mapping[str, Probe]
    """What else that interpreter has, by canonical name."""


def find_installed(python: str | None) -> Installed | None:
    """The vLLM of `python`, or of this interpreter where none is named; None if it has none.

    Raises UsageError where a named interpreter is not there, does not run, or has no vLLM.
    """
    if not python:
        return _here()
    path = _interpreter(python)
    version, search = _look(path, python)
    if version < OLDEST_PYTHON:
        raise UsageError(
            f"--python {python} is Python {version[0]}.{version[1]}; expected 3.9 or later"
        )
    from moe_doctor.probes.packages import probe_packages

    packages = probe_packages([entry for entry in search if entry])
    found = packages.get("vllm")
    if not isinstance(found, Present) or not found.value:
        raise UsageError(
            f"--python {python} has no vLLM: its {len(search)} path entries hold no metadata of it",
            "name the Python of the environment that runs vllm serve",
        )
    return Installed(path, found.value, packages)


def _here() -> Installed | None:
    from moe_doctor.probes.packages import is_plainly_absent, probe_package, probe_packages

    if is_plainly_absent("vllm"):
        return None
    found = probe_package("vllm")
    if not isinstance(found, Present) or not found.value:
        return None
    return Installed(sys.executable, found.value, probe_packages())


def _interpreter(named: str) -> str:
    """The absolute path; a virtual environment's folder means its Python."""
    path = Path(named).expanduser()
    if path.is_dir():
        path = path / "bin" / "python"
    # Not resolved: a virtual environment's Python is a link, and its place is what matters.
    path = Path(os.path.abspath(path))  # noqa: PTH100
    if not path.exists():
        raise UsageError(
            f"--python {named}: no such file",
            "name an interpreter, or the folder of a virtual environment",
        )
    if not os.access(path, os.X_OK):
        raise UsageError(f"--python {named} is not executable")
    return str(path)


def _look(path: str, named: str) -> tuple[tuple[int, int], list[str]]:
    """Its version and where it imports from."""
    try:
        done = subprocess.run(
            [path, "-c", _LOOK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE_S,
            cwd=os.sep,
            check=False,
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"--python {named} does not run: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"--python {named} did not answer within {_DEADLINE_S:.0f} s") from error
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith(_MARKER):
            answer: Any = json.loads(line[len(_MARKER) :])
            return (answer[0][0], answer[0][1]), [str(entry) for entry in answer[1]]
    tail = done.stderr.decode(errors="replace").strip()[-200:]
    raise UsageError(
        f"--python {named} is no Python: it ended with {done.returncode} and no answer"
        + (f" ({tail})" if tail else "")
    )
