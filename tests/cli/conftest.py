from __future__ import annotations

import sys
from pathlib import Path

import pytest

import moe_doctor
from tests.cli.fake_doctor import FakeDoctor, FakeSurvey


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No colours, no CI, no variables and no pyproject.toml of whoever runs the tests."""
    import os

    for name in list(os.environ):
        if name.startswith("MOE_DOCTOR_"):
            monkeypatch.delenv(name)
    for name in ("CI", "GITHUB_ACTIONS", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> FakeDoctor:
    """The fake doctor, in place for one test."""
    fake = FakeDoctor()
    monkeypatch.setitem(sys.modules, "moe_doctor.doctor", fake)
    monkeypatch.setattr(moe_doctor, "doctor", fake, raising=False)
    survey = FakeSurvey(fake)
    monkeypatch.setitem(sys.modules, "moe_doctor.survey", survey)
    monkeypatch.setattr(moe_doctor, "survey", survey, raising=False)
    return fake


@pytest.fixture
def survey(doctor: FakeDoctor) -> FakeSurvey:
    """The fake survey that stands beside the fake doctor."""
    fake = sys.modules["moe_doctor.survey"]
    assert isinstance(fake, FakeSurvey)
    return fake
