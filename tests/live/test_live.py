"""`select` with an installed vLLM: a fake package under a Python of its own, asked for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import moe_doctor
from moe_doctor.core.errors import DoctorError, UsageError
from moe_doctor.core.report import Report
from moe_doctor.core.selection import Outcome
from moe_doctor.live.consult import NotAskedError
from moe_doctor.live.question import PLAIN_CONFIG
from tests.live.fake_vllm import write_fake_vllm, write_python

needs_torch = pytest.mark.skipif(
    __import__("importlib.util", fromlist=["util"]).find_spec("torch") is None,
    reason="the child imports torch",
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-moe"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**PLAIN_CONFIG, "num_hidden_layers": 3}))
    return folder


def select(model: Path | None, python: Path, **options: Any) -> Report:
    return moe_doctor.select(
        None if model is None else str(model), python=str(python), **{"gpu": "h100", **options}
    )


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


@needs_torch
def test_the_installed_engine_s_own_answer_is_reported(tmp_path: Path, model: Path) -> None:
    report = select(model, write_fake_vllm(tmp_path))
    schema = Path(moe_doctor.__file__).parent / "report.schema.json"
    jsonschema.validate(report.to_dict(), json.loads(schema.read_text()))
    assert report.to_dict()["engine"] == {
        "name": "vllm",
        "version": "0.20.0",
        "source": "installed",
    }
    off, on = report.selections
    assert (off.oracle, off.backend, off.kernel) == ("unquantized", "Second", "SecondExperts")
    assert off.backend_option == "second_one"
    assert off.engine_log == "Using Second MoE backend."
    assert [(one.backend, one.accepted, one.asked, one.reason) for one in off.trace] == [
        ("First", False, True, "kernel does not support current device cuda"),
        ("Second", True, True, "first that fits"),
        ("Third", False, False, "kernel does not support parallel config"),
    ]
    assert (on.lora, on.backend, len(on.trace)) == (True, "Second", 1)
    assert "MOE431" in codes(report)
    assert "MOE434" in codes(report)
    [backend, *_] = [one for one in report.findings if one.code == "MOE431"]
    assert backend.evidence["engine"] == "Second"
    assert backend.evidence["what"] == "backend"


@needs_torch
def test_the_emulated_machine_is_the_one_that_was_asked_about(tmp_path: Path, model: Path) -> None:
    report = select(model, write_fake_vllm(tmp_path), gpu="b200", lora=False)
    assert report.selections[0].backend == "First"


@needs_torch
def test_a_fork_is_asked_and_compared_with_nothing(tmp_path: Path, model: Path) -> None:
    report = select(model, write_fake_vllm(tmp_path, version="0.20.1.dev3+gabc"))
    assert report.engine is not None
    assert (report.engine.version, report.engine.source) == ("0.20.1.dev3+gabc", "installed")
    assert report.selections[0].backend == "Second"
    assert "MOE432" in codes(report)
    assert "MOE431" not in codes(report)


@needs_torch
def test_a_refusal_of_the_engine_is_reported_with_the_model_s_name(
    tmp_path: Path, model: Path
) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "hidden_size": 2000}))
    report = select(model, write_fake_vllm(tmp_path), lora=False)
    assert report.selections[0].outcome is Outcome.ERROR
    assert report.selections[0].error is not None
    assert report.selections[0].error.text == (
        f"ValueError: hidden size of {model} is not a multiple of 128"
    )
    assert "MOE405" in codes(report)


@needs_torch
def test_a_model_class_without_lora_is_said_to_crash_later(tmp_path: Path, model: Path) -> None:
    report = select(model, write_fake_vllm(tmp_path, supports_lora=False), lora=True)
    assert report.selections[0].crash is not None
    assert "does not support LoRA yet" in report.selections[0].crash.text


@needs_torch
def test_without_a_model_a_plain_layer_is_asked_about(tmp_path: Path) -> None:
    report = select(None, write_fake_vllm(tmp_path), lora=False)
    assert report.selections[0].backend == "Second"
    assert report.selections[0].engine_log == "Using Second MoE backend."
    # The tables do not answer in the installed engine's name.
    assert {one.outcome for one in report.selections[1:]} == {Outcome.NOT_APPLICABLE}
    assert report.selections[1].note.startswith("only the tables are asked about schemes")


def test_tables_answer_for_an_engine_that_gives_no_answer_and_say_why(
    tmp_path: Path, model: Path
) -> None:
    python = write_fake_vllm(tmp_path, with_modules=False)
    report = select(model, python)
    assert report.engine is not None
    assert (report.engine.version, report.engine.source) == ("0.20.0", "table")
    assert [one.backend for one in report.selections] == ["TRITON", "TRITON"]
    [failed] = [one for one in report.findings if one.code == "MOE433"]
    assert "No module named 'vllm'" in failed.message
    assert "the tables for 0.20.0 answered" in failed.message


def test_an_unknown_version_that_gives_no_answer_is_inconclusive(
    tmp_path: Path, model: Path
) -> None:
    python = write_fake_vllm(tmp_path, version="0.99.0", with_modules=False)
    with pytest.raises(NotAskedError, match="the tables hold no such release") as caught:
        select(model, python)
    assert caught.value.exit_code == 3
    assert "--engine vllm@0.33.0" in caught.value.hint


def test_a_platform_that_cannot_be_emulated_is_left_to_the_tables(
    tmp_path: Path, model: Path
) -> None:
    report = select(model, write_fake_vllm(tmp_path), gpu="mi300x")
    assert report.engine is not None
    assert report.engine.source == "table"
    [failed] = [one for one in report.findings if one.code == "MOE433"]
    assert "rocm" in failed.message


@needs_torch
def test_a_build_for_another_device_is_left_to_the_tables(tmp_path: Path, model: Path) -> None:
    python = write_fake_vllm(tmp_path, unspecified=True)
    report = moe_doctor.select(str(model), python=str(python))
    assert "MOE433" in codes(report)
    [failed] = [one for one in report.findings if one.code == "MOE433"]
    assert "finds no device" in failed.message


@needs_torch
def test_a_model_that_cannot_be_built_without_a_device_is_left_to_the_tables(
    tmp_path: Path, model: Path
) -> None:
    python = write_fake_vllm(tmp_path, broken="import json; json.loads('')")
    report = select(model, python)
    assert [one.backend for one in report.selections] == ["TRITON", "TRITON"]
    [failed] = [one for one in report.findings if one.code == "MOE433"]
    assert "JSONDecodeError" in failed.message


def test_a_model_that_only_the_catalogue_knows_is_left_to_the_tables(tmp_path: Path) -> None:
    report = moe_doctor.select(
        "Qwen/Qwen3-30B-A3B",
        python=str(write_fake_vllm(tmp_path, with_modules=False)),
        gpu="h100",
        offline=True,
    )
    if report.model is None or report.model.source != "catalogue":
        pytest.skip("this machine has the model's config in its cache")
    [failed] = [one for one in report.findings if one.code == "MOE433"]
    assert "the bundled catalogue knows the model" in failed.message


def test_a_named_release_never_asks(tmp_path: Path, model: Path) -> None:
    report = select(model, tmp_path / "none", engine="vllm@0.20.0")
    assert report.engine is not None
    assert report.engine.source == "table"


def test_installed_without_a_vllm_says_what_was_looked_for(model: Path) -> None:
    with pytest.raises(UsageError, match="asks the vLLM of this environment") as caught:
        moe_doctor.select(str(model), engine="installed", gpu="h100")
    assert "--python" in caught.value.hint


def test_a_python_without_a_vllm_is_refused(tmp_path: Path, model: Path) -> None:
    python = write_python(tmp_path, """echo 'moe-doctor-python:[[3, 12], ["/nowhere"]]'""")
    with pytest.raises(DoctorError, match="has no vLLM"):
        select(model, python)
