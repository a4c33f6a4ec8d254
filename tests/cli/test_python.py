"""`--python`: from the flag, the environment, and the config file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.fake_doctor import FakeDoctor
from tests.cli.test_options import MODEL, ask


@pytest.mark.parametrize("command", ["select", "check"])
def test_the_flag_names_the_python_that_has_the_engine(doctor: FakeDoctor, command: str) -> None:
    request = ask(doctor, command, MODEL, "--engine", "installed", "--python", "/opt/vllm")
    assert (request.engine, request.python) == ("installed", "/opt/vllm")


def test_it_may_come_from_the_config_file_and_the_environment_beats_it(
    doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.moe-doctor]\npython = '/opt/one'\n")
    assert ask(doctor, "select", MODEL).python == "/opt/one"
    doctor.requests.clear()
    monkeypatch.setenv("MOE_DOCTOR_PYTHON", "/opt/two")
    assert ask(doctor, "select", MODEL).python == "/opt/two"
