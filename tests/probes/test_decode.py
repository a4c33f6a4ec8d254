from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moe_doctor.core.errors import UsageError
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.report import Report
from moe_doctor.probes.snapshot import load_snapshot, snapshot_from_dict
from tests.probes.strategies import JSON, SNAPSHOTS

FIXTURES = Path(__file__).parents[1] / "fixtures" / "snapshots"
SLOW_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _outcome(data: Any) -> MachineSnapshot | UsageError:
    """The snapshot, or the one error that is allowed; anything else escapes."""
    try:
        return snapshot_from_dict(data)
    except UsageError as error:
        return error


@SLOW_MACHINE
@given(SNAPSHOTS)
def test_a_snapshot_survives_json(snapshot: MachineSnapshot) -> None:
    assert snapshot_from_dict(json.loads(json.dumps(snapshot.to_dict()))) == snapshot


@SLOW_MACHINE
@given(SNAPSHOTS)
def test_a_report_is_a_snapshot_too(snapshot: MachineSnapshot) -> None:
    report = Report("env", snapshot).to_dict()
    assert snapshot_from_dict(json.loads(json.dumps(report))) == snapshot


@SLOW_MACHINE
@given(JSON)
def test_any_json_is_a_snapshot_or_a_usage_error(data: Any) -> None:
    outcome = _outcome(data)
    assert isinstance(outcome, MachineSnapshot) or outcome.message.isprintable()


@SLOW_MACHINE
@given(SNAPSHOTS, st.data())
def test_any_value_put_anywhere_is_a_snapshot_or_a_usage_error(
    snapshot: MachineSnapshot, data: st.DataObject
) -> None:
    document = snapshot.to_dict()
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(JSON)
    outcome = _outcome(document)
    assert isinstance(outcome, MachineSnapshot) or outcome.exit_code == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"platform": "vulkan"}, "platform is 'vulkan'; expected one of cuda, rocm, xpu"),
        ({"gpus": {"name": "x"}}, "gpus is an object; expected a list"),
        ({"gpus": [{}]}, "gpus[0] has no 'name'"),
        ({"gpus": [{"name": 3}]}, "gpus[0].name is 3; expected a string"),
        ({"gpus": [{"name": "x", "capability": 9.0}]}, "gpus[0].capability is 9.0"),
        ({"gpus": [{"name": "x", "capability": "nine"}]}, "expected a form like '9.0'"),
        ({"gpus": [{"name": "x", "memory_bytes": -1}]}, "gpus[0].memory_bytes is -1"),
        ({"gpus": [{"name": "x", "num_sms": True}]}, "gpus[0].num_sms is True"),
        ({"memory_bytes": float("nan")}, "memory_bytes is nan"),
        ({"memory_bytes": 10**400}, "memory_bytes is a number of hundreds of digits"),
        ({"packages": {"torch": 2.11}}, "packages.torch is 2.11; expected null, a version"),
        ({"packages": {"torch": {"failed": 1}}}, "packages.torch.failed is 1"),
        ({"environment": {"A": None}}, "environment.A is None; expected a string"),
        ({"simulated": "no"}, "simulated is 'no'; expected true or false"),
        ({"os": "\x1b]0;owned\x07"}, "expected text without control characters"),
        ({"python": "\ud800"}, "expected text without control characters"),
        ({"notes": ["x" * 5000]}, "notes[0] has 5000 characters"),
        ({"gpus": [{"name": "x"}] * 2000}, "gpus has 2000 items; expected at most 1024"),
        ({"machine": []}, "machine is a list; expected an object"),
        ({"machine": {"platform": "cpu"}, "schema": "other/9"}, "schema is 'other/9'"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        snapshot_from_dict({"platform": "cuda", **change})
    assert message in caught.value.message


def test_unknown_keys_of_a_newer_release_are_ignored() -> None:
    assert snapshot_from_dict({"platform": "cpu", "fabric": "nvl72"}).platform == "cpu"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00\x01\x02", "is not JSON"),
        (b"[" * 200_000, "is not JSON: too deeply nested"),
        (b'{"platform": "cpu", "memory_bytes": ' + b"9" * 10_000 + b"}", ""),
        (b"[]", "the file is a list; expected an object"),
        (b"{}", "has no 'platform'"),
        (b"null", "the file is None; expected an object"),
        (b" " * (9 << 20), "is larger than 8 MiB"),
    ],
)
def test_a_hostile_file_is_a_usage_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "machine.json"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_snapshot(path)
    assert message in caught.value.message
    assert "moe-doctor env" in caught.value.hint


def test_a_missing_file_a_folder_a_pipe_and_a_bad_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "none.json", "does not exist"),
        (tmp_path, "is not a regular file"),
        (tmp_path / "pipe", "is not a regular file"),
        (Path("/dev/zero"), "is not a regular file"),
        ("a\0b", "snapshot 'a\\x00b'"),
        ("x" * 5000, "cannot be read"),
    ):
        with pytest.raises(UsageError) as caught:
            load_snapshot(path)
        assert message in caught.value.message


@pytest.mark.parametrize(
    ("name", "platform", "capability"),
    [
        ("h100", "cuda", (9, 0)),
        ("b200", "cuda", (10, 0)),
        ("rtx-4090", "cuda", (8, 9)),
        ("mi300x", "rocm", None),
        ("cpu-only", "cpu", None),
    ],
)
def test_the_shipped_snapshots_load_and_hold_no_serial_number(
    name: str, platform: str, capability: tuple[int, int] | None
) -> None:
    path = FIXTURES / f"{name}.json"
    machine = load_snapshot(path)
    assert (machine.platform, machine.capability) == (platform, capability)
    assert "GPU-" not in path.read_text()
    assert snapshot_from_dict(machine.to_dict()) == machine
