from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moe_doctor.core.machine import Absent, MachineSnapshot, Present, ProbeFailed
from moe_doctor.probes import snapshot as snapshot_module
from moe_doctor.probes.device import Devices, probe_devices
from moe_doctor.probes.snapshot import judge_platform, probe_machine, snapshot_from_dict
from tests.probes.fake_nvml import FakeGpu, FakeNvml, FakeNvmlError


def _on(monkeypatch: pytest.MonkeyPatch, nvml: FakeNvml) -> None:
    """Let this machine have that driver."""

    def devices(environ: dict[str, str]) -> Devices:
        return probe_devices(environ, lambda: nvml, Path("/nonexistent"))

    monkeypatch.setattr(snapshot_module, "probe_devices", devices)


def test_this_machine_is_read_and_round_trips() -> None:
    machine = probe_machine()
    assert machine.python == ".".join(map(str, sys.version_info[:3]))
    assert machine.cpu_arch == os.uname().machine
    assert machine.memory_bytes is not None
    assert machine.memory_bytes > 1 << 28
    assert not machine.simulated
    assert snapshot_from_dict(json.loads(json.dumps(machine.to_dict()))) == machine


def test_a_machine_without_a_driver_is_a_cpu() -> None:
    machine = probe_machine()
    if machine.driver != Absent():
        pytest.skip("this machine has an NVIDIA driver")
    assert (machine.gpu, machine.cuda) == (None, Absent())
    assert machine.platform in ("cpu", "rocm", "xpu")


@pytest.mark.gpu
def test_the_real_gpu_is_read() -> None:
    if not isinstance(probe_machine().driver, Present):
        pytest.skip("no NVIDIA driver on this machine")
    machine = probe_machine({"PATH": os.environ["PATH"]})
    assert machine.platform == "cuda"
    assert machine.gpu is not None
    assert machine.gpu.memory_bytes is not None
    assert machine.capability is not None
    assert isinstance(machine.driver, Present)


def test_an_empty_environment_is_enough() -> None:
    machine = probe_machine({})
    assert machine.environment == {}
    assert machine.toolkit.ninja != Present("")


def test_nothing_of_the_person_or_the_host_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    uuid = "GPU-0a1b2c3d-2222-3333-4444-555555555555"
    error = ImportError("cannot import name 'x' from '/home/jdoe/venv/pynvml.py'")
    for nvml in (FakeNvml([FakeGpu(uuid=uuid)]), FakeNvml(init_error=error)):
        _on(monkeypatch, nvml)
        environ = {
            "HOME": "/home/jdoe",
            "USER": "jdoe",
            "PATH": "/home/jdoe/bin:/usr/bin:/bin",
            "HF_TOKEN": "hf_QwErTyUiOpAsDfGhJk",
            "HF_ENDPOINT": "https://jdoe:pa55word@hub.example/?token=t0psecret",
            "HF_HOME": "/scratch/jdoe/hf",
            "VLLM_API_KEY": "apikey-1234",
            "VLLM_HOST_IP": "10.11.12.13",
            "CUDA_HOME": ":/home/jdoe/cuda",
            "CUDA_VISIBLE_DEVICES": uuid,
            "VLLM_CACHE_ROOT": f"/net/{os.uname().nodename}/cache",
        }
        text = json.dumps(probe_machine(environ).to_dict())
        secrets = ("jdoe", "hf_Qw", "pa55", "t0psecret", "apikey", "10.11", "0a1b2c3d")
        for secret in secrets:
            assert secret not in text
        assert f"/{os.uname().nodename}/" not in text


def test_the_real_probe_names_neither_user_nor_home_nor_host() -> None:
    text = json.dumps(probe_machine().to_dict())
    home = str(Path.home())
    assert home == "/" or home + "/" not in text
    assert f"/{os.uname().nodename}" not in text
    user = getpass.getuser()
    assert user == "root" or f"/{user}/" not in text


def test_a_hidden_gpu_is_found_by_its_serial_number(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = FakeGpu(uuid="GPU-aaaa1111"), FakeGpu(name="NVIDIA L4", uuid="GPU-bbbb2222")
    _on(monkeypatch, FakeNvml([first, second]))
    machine = probe_machine({"CUDA_VISIBLE_DEVICES": "GPU-bbbb2222"})
    assert [gpu.name for gpu in machine.gpus] == ["NVIDIA L4"]
    assert machine.environment == {"CUDA_VISIBLE_DEVICES": "GPU-<uuid>"}


def test_a_broken_driver_is_in_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    _on(monkeypatch, FakeNvml(init_error=FakeNvmlError(18)))
    machine = probe_machine({})
    assert machine.platform == "cpu"
    assert machine.driver == ProbeFailed(
        "NVML error 18: driver and NVML library have different versions"
    )
    assert isinstance(snapshot_from_dict(machine.to_dict()), MachineSnapshot)


def test_a_vllm_built_for_the_cpu_leaves_the_gpus_alone(tmp_path: Path) -> None:
    devices = probe_devices({}, lambda: FakeNvml([FakeGpu()]), tmp_path)
    assert judge_platform(devices, {"vllm": Present("0.20.0")}) == ("cuda", ())
    platform, notes = judge_platform(devices, {"vllm": Present("0.20.0+cpu")})
    assert platform == "cpu"
    assert notes == (
        "vLLM 0.20.0+cpu is built for the CPU: it does not use the GPUs of this machine",
    )


def test_the_probe_imports_no_engine_and_takes_about_a_second() -> None:
    code = (
        "import sys; from moe_doctor.probes.snapshot import probe_machine; probe_machine();"
        "heavy = {'torch','triton','vllm','sglang','flashinfer','numpy','transformers'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    started = time.monotonic()
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    # Generous: the figure is measured by hand, this only catches an import of a framework.
    assert time.monotonic() - started < 10
    assert output.stdout == "[]\n"


def test_importing_the_room_reads_nothing() -> None:
    code = (
        "import sys; import moe_doctor.probes.snapshot, moe_doctor.probes.simulate;"
        "late = {'pynvml','importlib.metadata','subprocess','difflib','getpass'};"
        # Python 3.10's own platform module imports subprocess.
        "late -= {'subprocess'} if sys.version_info < (3, 11) else set();"
        "print(sorted(late & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout == "[]\n"
