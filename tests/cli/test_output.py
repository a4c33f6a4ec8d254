from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from moe_doctor.cli import output
from moe_doctor.cli.main import main
from tests.cli.fake_doctor import FakeDoctor


def test_the_report_goes_to_the_file_and_stdout_stays_empty(
    doctor: FakeDoctor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.json"
    assert main(["check", "m", "--format", "json", "-o", str(target)]) == 0
    assert json.loads(target.read_text())["command"] == "check"
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_file_is_replaced_whole_and_keeps_its_mode(doctor: FakeDoctor, tmp_path: Path) -> None:
    target = tmp_path / "report.txt"
    target.write_text("old " * 10_000)
    target.chmod(0o600)
    main(["check", "m", "--output", str(target)])
    assert target.read_text().startswith("NVIDIA-Nemotron-3-Nano")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_new_file_has_the_mode_that_the_umask_gives(doctor: FakeDoctor, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        main(["check", "m", "-o", str(tmp_path / "r")])
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o640


def test_a_link_is_followed_and_stays_a_link(doctor: FakeDoctor, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    main(["check", "m", "-o", str(tmp_path / "link")])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() != "old"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    doctor: FakeDoctor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "report.txt"
    target.write_text("old")
    monkeypatch.setattr(output.os, "fsync", full)
    assert main(["check", "m", "-o", str(target), "--quiet"]) == 3
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.txt"]
    expected = f"error: {target} cannot be written: No space left on device\n"
    assert capsys.readouterr().err.startswith(expected)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_that_is_full_is_exit_3(
    doctor: FakeDoctor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "m", "-o", "/dev/full", "--quiet"]) == 3
    assert capsys.readouterr().err.startswith("error: /dev/full cannot be written: No space left")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("missing/report.txt", "missing does not exist"),
        ("file/report.txt", "file is not a directory"),
        ("folder", "folder is a directory; expected a file"),
        ("x" * 300, "cannot be written"),
    ],
)
def test_an_impossible_place_is_exit_3(
    doctor: FakeDoctor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    place: str,
    message: str,
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    assert main(["check", "m", "-o", str(tmp_path / place), "--quiet"]) == 3
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_an_impossible_place_is_told_before_the_doctor_works(
    doctor: FakeDoctor, tmp_path: Path
) -> None:
    main(["check", "m", "-o", str(tmp_path / "missing" / "r")])
    assert doctor.requests == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_exit_3(doctor: FakeDoctor, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert main(["check", "m", "-o", str(tmp_path / "r")]) == 3
    finally:
        tmp_path.chmod(0o700)


def test_a_dash_is_stdout(
    doctor: FakeDoctor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "m", "-o", "-"]) == 0
    assert capsys.readouterr().out.startswith("NVIDIA-Nemotron-3-Nano")
    assert list(tmp_path.iterdir()) == []


def test_stdout_can_be_named(doctor: FakeDoctor, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    assert main(["check", "m", "-o", f"/dev/fd/{writer}", "--quiet"]) == 0
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert stream.read().endswith("usable, with 1 warning (3.8 s)\n")


def test_a_symbolic_link_to_itself_is_replaced_and_an_empty_name_refused(
    doctor: FakeDoctor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert main(["check", "m", "--quiet", "-o", str(loop)]) == 0
    assert loop.is_file()
    assert main(["check", "m", "--quiet", "-o", ""]) == 2
    assert "--output is empty" in capsys.readouterr().err


def test_a_folder_that_may_not_be_written_to_is_refused_before_anything_is_asked(
    doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output.os, "access", lambda path, mode: False)
    assert main(["check", "m", "--quiet", "-o", "report.json"]) == 3
    assert "may not be written to" in capsys.readouterr().err
    assert doctor.requests == []
