"""A real vLLM, where MOE_DOCTOR_TEST_VLLM_PYTHON names a Python that has one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import moe_doctor
from moe_doctor.core.selection import Outcome
from moe_doctor.live.question import PLAIN_CONFIG

PYTHON = os.environ.get("MOE_DOCTOR_TEST_VLLM_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="MOE_DOCTOR_TEST_VLLM_PYTHON is not set")


@pytest.mark.parametrize("gpu", ["a100", "h100", "b200"])
def test_a_plain_model_gets_the_engine_s_answer_with_and_without_lora(
    tmp_path: Path, gpu: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**PLAIN_CONFIG, "num_hidden_layers": 2}))
    report = moe_doctor.select(str(tmp_path), python=PYTHON, engine="installed", gpu=gpu)
    assert report.engine is not None
    assert report.engine.source == "installed"
    assert [one.lora for one in report.selections] == [False, True]
    assert all(one.outcome is Outcome.SELECTED for one in report.selections)
    assert all(one.trace for one in report.selections)
    assert "MOE431" not in [finding.code for finding in report.findings]
