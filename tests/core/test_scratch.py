"""Temporary folders: gone after use, and after a kill gone with the next run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from moe_doctor.core.scratch import PREFIX, scratch_folder, sweep_scratch

OLD = 1_000_000_000
HOLD = (
    "import sys\n"
    "from moe_doctor.core.scratch import scratch_folder\n"
    "with scratch_folder() as folder:\n"
    "    print(folder, flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, for one test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def make_old(folder: Path, mode: int = 0o700) -> Path:
    folder.mkdir(exist_ok=True)
    folder.chmod(mode)
    os.utime(folder, (OLD, OLD))
    return folder


def test_a_folder_is_empty_and_goes_after_use() -> None:
    with scratch_folder() as folder:
        assert list(folder.iterdir()) == []
        (folder / "file").write_text("content")
    assert not folder.exists()


def test_what_a_killed_run_left_goes_and_what_a_running_one_holds_stays() -> None:
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    folders = []
    for holder in holders:
        assert holder.stdout is not None
        folders.append(make_old(Path(holder.stdout.readline().decode().strip())))
    killed, running = holders
    killed.kill()
    killed.communicate()
    sweep_scratch()
    assert [folder.exists() for folder in folders] == [False, True]
    running.communicate()
    assert not folders[1].exists()


def test_only_old_folders_of_our_own_making_are_swept(own_folder: Path) -> None:
    kept = own_folder / "kept"
    kept.mkdir(0o700)
    (own_folder / f"{PREFIX}linked__").symlink_to(kept)
    others = [
        make_old(own_folder / "moe-doctor-results"),
        make_old(own_folder / f"{PREFIX}of-mine"),
        make_old(own_folder / f"{PREFIX}readable", 0o755),
    ]
    new = own_folder / f"{PREFIX}justmade"
    new.mkdir(0o700)
    stale = make_old(own_folder / f"{PREFIX}abcd_123")
    os.utime(kept, (OLD, OLD))
    sweep_scratch()
    assert not stale.exists()
    assert all(folder.is_dir() for folder in (*others, new, kept))
