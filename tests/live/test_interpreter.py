"""`--python` is checked before anything is asked: it exists, it runs, it has vLLM."""

from __future__ import annotations

from pathlib import Path

import pytest

from moe_doctor.core.errors import UsageError
from moe_doctor.live.interpreter import find_installed
from moe_doctor.live.wanted import find_wanted
from tests.live.fake_vllm import write_fake_vllm, write_python


def test_the_version_is_read_without_an_import(tmp_path: Path) -> None:
    python = write_fake_vllm(tmp_path, version="0.34.1.dev3+gabc", with_modules=False)
    found = find_installed(str(python))
    assert found is not None
    assert (found.version, found.python) == ("0.34.1.dev3+gabc", str(python))


def test_a_virtual_environment_s_folder_means_its_python(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    write_fake_vllm(tmp_path / "bin", with_modules=False)
    found = find_installed(str(tmp_path))
    assert found is not None
    assert found.python == str(tmp_path / "bin" / "python")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (None, "no such file"),
        ("echo hello", "is no Python: it ended with 0 and no answer"),
        ("exit 7", "is no Python: it ended with 7 and no answer"),
        ("""echo 'moe-doctor-python:[[3, 8], []]'""", "is Python 3.8; expected 3.9 or later"),
        ("""echo 'moe-doctor-python:[[3, 12], ["/nowhere"]]'""", "has no vLLM"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(
    tmp_path: Path, line: str | None, message: str
) -> None:
    python = tmp_path / "python" if line is None else write_python(tmp_path, line)
    with pytest.raises(UsageError, match=message):
        find_installed(str(python))


def test_a_file_that_may_not_be_run_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "python"
    file.write_text("")
    with pytest.raises(UsageError, match="is not executable"):
        find_installed(str(file))


def test_a_named_release_is_always_the_tables() -> None:
    assert find_wanted("vllm@0.20.0", "/no/such/python") is None
