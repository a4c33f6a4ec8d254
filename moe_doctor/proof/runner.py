"""The parent: start children, listen, enforce the deadline, leave nothing behind.

Children run side by side in process groups of their own; one that hangs, crashes or is killed
takes nothing with it but its own answer. Nothing of torch is imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import moe_doctor
from moe_doctor.core.record import record
from moe_doctor.core.scratch import scratch_folder
from moe_doctor.proof.events import Event, parse_events

Listener = Callable[[int, Event], None]
"""Called with the child's index and each event as it arrives."""

_TAIL_BYTES = 8192
_POLL_S = 0.2
_REAP_S = 10.0
_NINJA = re.compile(rb"^\[(\d+/\d+)\] ", re.MULTILINE)


@record
class ChildEnd:
    """Everything that is known about a child once it is gone."""

    events: tuple[Event, ...]
    """What it said, in order."""
    returncode: int | None
    """Exit code, -N for signal N; None when the deadline ended it."""
    timed_out: bool
    """Whether the deadline ended it."""
    elapsed_s: float
    """From start to end."""
    tail: str = ""
    """Last output of its libraries."""
    oom_kills: int = 0
    """How many processes the kernel killed for memory on this machine meanwhile."""

    @property
    def last_step(self) -> str:
        """What it was doing when it ended."""
        steps = [event["name"] for event in self.events if event["event"] == "step"]
        return str(steps[-1]) if steps else "starting Python"


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    events_fd: int
    output_fd: int
    started: float
    oom_before: int
    lines: bytearray = field(default_factory=bytearray)
    parsed: list[Event] = field(default_factory=list)
    output: bytearray = field(default_factory=bytearray)
    built: bytes = b""
    end: ChildEnd | None = None


def run_children(
    plans: Sequence[Mapping[str, Any]],
    *,
    environments: Sequence[Mapping[str, str]],
    timeout_s: float,
    build_s: Sequence[float] = (),
    listener: Listener | None = None,
) -> list[ChildEnd]:
    """Run one child per plan, all at once; return their ends in the order of `plans`.

    Each child has `timeout_s` from its start, imports included, and one that compiles first as many
    seconds more as its entry of `build_s` says. Whatever happens here, an
    interrupt included, no child outlives the call.
    """
    children: list[_Child] = []
    with scratch_folder() as folder:
        try:
            for plan, environment in zip(plans, environments, strict=True):
                children.append(_start(plan, environment, folder))
            extra = [*build_s, *[0.0] * (len(children) - len(build_s))]
            _listen(children, [timeout_s + more for more in extra], listener)
        finally:
            for child in children:
                _end_group(child.process)
                for descriptor in (child.events_fd, child.output_fd):
                    os.close(descriptor)
                if child.process.stdin is not None:
                    with contextlib.suppress(OSError):
                        child.process.stdin.close()
    return [child.end for child in children if child.end is not None]


def oom_kill_count() -> int:
    """Processes that this kernel has ever killed for memory; 0 where it does not say."""
    try:
        text = Path("/proc/vmstat").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0


def _start(plan: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> _Child:
    events_read, events_write = os.pipe()
    output_read, output_write = os.pipe()
    oom_before = oom_kill_count()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "moe_doctor.proof.worker", str(events_write)],
            stdin=subprocess.PIPE,
            stdout=output_write,
            stderr=subprocess.STDOUT,
            pass_fds=(events_write,),
            start_new_session=True,
            # An empty folder: `-m` puts it on sys.path, and nothing there may shadow torch.
            cwd=folder,
            env={**os.environ, "PYTHONPATH": _python_path(), **environment},
        )
    finally:
        os.close(events_write)
        os.close(output_write)
    for descriptor in (events_read, output_read):
        os.set_blocking(descriptor, False)
    child = _Child(process, events_read, output_read, time.monotonic(), oom_before)
    if process.stdin is not None:
        with contextlib.suppress(OSError):  # a child that died at once is classified by its end
            process.stdin.write(json.dumps(dict(plan)).encode() + b"\n")
            process.stdin.flush()
    return child


def _python_path() -> str:
    """The parent's PYTHONPATH made absolute, plus this package's folder if not installed."""
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    paths = [str(Path(entry).absolute()) for entry in entries]
    home = str(Path(moe_doctor.__file__).absolute().parent.parent)
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    if home not in paths and home not in installed:
        paths.append(home)
    return os.pathsep.join(paths)


def _listen(
    children: Sequence[_Child], timeouts_s: Sequence[float], listener: Listener | None
) -> None:
    with selectors.DefaultSelector() as selector:
        for index, child in enumerate(children):
            selector.register(child.events_fd, selectors.EVENT_READ, index)
            selector.register(child.output_fd, selectors.EVENT_READ, index)
        while any(child.end is None for child in children):
            for key, _ in selector.select(_POLL_S):
                child = children[key.data]
                if not _read(child, key.fd):
                    selector.unregister(key.fd)
                _announce(key.data, child, listener)
                _announce_build(key.data, child, listener)
            for index, child in enumerate(children):
                if child.end is None:
                    _settle(index, child, timeouts_s[index], listener)


def _settle(index: int, child: _Child, timeout_s: float, listener: Listener | None) -> None:
    """Record the child's end if it has come, or bring it about if it is overdue."""
    elapsed = time.monotonic() - child.started
    returncode = child.process.poll()
    overdue = returncode is None and elapsed >= timeout_s
    if returncode is None and not overdue:
        return
    _end_group(child.process)
    for descriptor in (child.events_fd, child.output_fd):
        _read(child, descriptor)
    _announce(index, child, listener)
    child.end = ChildEnd(
        events=tuple(child.parsed),
        returncode=None if overdue else returncode,
        timed_out=overdue,
        elapsed_s=elapsed,
        tail=bytes(child.output).decode(errors="replace"),
        oom_kills=oom_kill_count() - child.oom_before,
    )


def _read(child: _Child, descriptor: int) -> bool:
    """Take what there is; False at the end of the pipe."""
    buffer = child.lines if descriptor == child.events_fd else child.output
    while True:
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        buffer += data
        if buffer is child.output:
            del buffer[:-_TAIL_BYTES]


def _announce(index: int, child: _Child, listener: Listener | None) -> None:
    whole, newline, rest = bytes(child.lines).rpartition(b"\n")
    if not newline:
        return
    child.lines[:] = rest
    for event in parse_events(whole.split(b"\n")):
        child.parsed.append(event)
        if listener is not None:
            listener(index, event)


def _announce_build(index: int, child: _Child, listener: Listener | None) -> None:
    """A compiler's own count of files, as a step: it may be minutes from one file to the next."""
    found = _NINJA.findall(bytes(child.output))
    if not found or found[-1] == child.built:
        return
    child.built = found[-1]
    done, _, total = child.built.decode().partition("/")
    step = {"event": "step", "name": f"compiling, {done} of {total} files"}
    child.parsed.append(step)
    if listener is not None:
        listener(index, step)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the child, its guard and whatever else it started.

    A process that a GPU driver holds in the kernel does not even die of SIGKILL: it is given up.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_REAP_S)
