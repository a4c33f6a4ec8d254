"""Temporary folders that do not outlive the program, however it ends.

1. A folder goes with its `with` block, and at the interpreter's exit where a thread still held it.
2. SIGKILL leaves it behind. Its owner held a lock on it, and the kernel let go of that lock: the
   next run removes every folder of this user's that nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "moe-doctor-scratch-"
"""Start of every folder's name, in the system's folder for temporary files."""

_NAME = re.compile(re.escape(PREFIX) + r"[a-z0-9_]{8}")
# Between the making of a folder and its lock lies less than a second.
_STALE_AFTER_S = 60.0


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder of this process. Raises OSError where none can be made."""
    sweep_scratch()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        lock = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A file system without locks refuses the sweep's lock as well.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Path(name)
        finally:
            os.close(lock)


def sweep_scratch() -> None:
    """Remove this user's folders whose owner is gone; whatever cannot be removed stays."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for name in [entry.path for entry in entries if _NAME.fullmatch(entry.name)]:
            with suppress(OSError):
                _remove_unheld(name)


def _remove_unheld(name: str) -> None:
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(folder)
        ours = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o700
        if ours and time.time() - status.st_mtime > _STALE_AFTER_S:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError: somebody holds it
            shutil.rmtree(name, ignore_errors=True)
    finally:
        os.close(folder)
