from __future__ import annotations

import time
from pathlib import Path

import pytest

from moe_doctor.core.machine import Absent, Present, ProbeFailed
from moe_doctor.probes.device import probe_devices
from moe_doctor.probes.nvml import Nvml
from tests.probes.fake_nvml import FakeGpu, FakeNvml, FakeNvmlError

A = FakeGpu(uuid="GPU-aaaaaaaa-2222-3333-4444-555555555555")
B = FakeGpu(name="NVIDIA L4", capability=(8, 9), memory=23034 << 20, uuid="GPU-abbbbbbb-2222")


def test_an_h100_is_read_through_nvml(tmp_path: Path) -> None:
    nvml = FakeNvml([FakeGpu()])
    devices = probe_devices({}, lambda: nvml, tmp_path)
    (gpu,) = devices.accelerators.gpus
    assert devices.platform == "cuda"
    assert (gpu.name, gpu.capability, gpu.memory_bytes) == (
        "NVIDIA H100 80GB HBM3",
        (9, 0),
        85520809984,
    )
    assert (gpu.num_sms, gpu.shared_memory_bytes) == (132, 232448)
    assert devices.accelerators.driver == Present("580.95.05")
    assert devices.accelerators.cuda == Present("13.1")
    assert nvml.shut_down == 1


def test_no_driver_is_absence_and_the_cpu(tmp_path: Path) -> None:
    devices = probe_devices({}, lambda: FakeNvml(init_error=FakeNvmlError(12)), tmp_path)
    assert (devices.platform, devices.accelerators.driver) == ("cpu", Absent())


@pytest.mark.parametrize(
    ("code", "words"),
    [(9, "driver is not loaded"), (18, "different versions"), (999, "unknown error")],
)
def test_a_broken_driver_is_a_failure_with_its_reason(
    tmp_path: Path, code: int, words: str
) -> None:
    devices = probe_devices({}, lambda: FakeNvml(init_error=FakeNvmlError(code)), tmp_path)
    assert devices.platform == "cpu"
    assert isinstance(devices.accelerators.driver, ProbeFailed)
    assert words in devices.accelerators.driver.reason


def test_a_missing_nvidia_ml_py_is_a_failure(tmp_path: Path) -> None:
    def load() -> Nvml:
        raise ImportError("No module named 'pynvml'")

    driver = probe_devices({}, load, tmp_path).accelerators.driver
    assert driver == ProbeFailed("nvidia-ml-py cannot be imported: No module named 'pynvml'")


def test_a_driver_that_hangs_is_left_behind(tmp_path: Path) -> None:
    def load() -> Nvml:
        time.sleep(2)
        return FakeNvml()

    started = time.monotonic()
    devices = probe_devices({}, load, tmp_path, deadline_s=0.05)
    assert time.monotonic() - started < 1
    assert isinstance(devices.accelerators.driver, ProbeFailed)
    assert "no answer in 0.05 s" in devices.accelerators.driver.reason


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("0", ["NVIDIA H100 80GB HBM3"]),
        ("1,0", ["NVIDIA L4", "NVIDIA H100 80GB HBM3"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,-1,0", ["NVIDIA L4"]),
        ("0,7", ["NVIDIA H100 80GB HBM3"]),
        ("0,0", []),
        ("GPU-ab", ["NVIDIA L4"]),
        ("GPU-a", []),
        (" 1 , GPU-aaaa", ["NVIDIA L4", "NVIDIA H100 80GB HBM3"]),
        ("9" * 5000, []),
    ],
)
def test_cuda_visible_devices(tmp_path: Path, value: str, names: list[str]) -> None:
    environ = {"CUDA_VISIBLE_DEVICES": value}
    devices = probe_devices(environ, lambda: FakeNvml([A, B]), tmp_path)
    assert [gpu.name for gpu in devices.accelerators.gpus] == names
    # NVML counts hidden devices, and vLLM asks NVML.
    assert devices.platform == "cuda"
    hidden = f"CUDA_VISIBLE_DEVICES leaves {len(names)} of 2 GPUs visible"
    assert (hidden in devices.accelerators.notes) == (len(names) < 2)


def test_different_gpus_without_a_bus_order_are_noted(tmp_path: Path) -> None:
    devices = probe_devices({}, lambda: FakeNvml([A, B]), tmp_path)
    assert any("CUDA_DEVICE_ORDER" in note for note in devices.accelerators.notes)
    ordered = probe_devices({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, lambda: FakeNvml([A, B]), tmp_path)
    assert ordered.accelerators.notes == ()


def test_a_named_mig_instance_has_its_own_memory_and_its_parents_capability(
    tmp_path: Path,
) -> None:
    instance = FakeGpu(name="NVIDIA H100 80GB HBM3 MIG 1g.10gb", memory=9728 << 20, uuid="MIG-77")
    nvml = FakeNvml([FakeGpu(mig=True, instances=[instance])])
    for environ in ({"CUDA_VISIBLE_DEVICES": "MIG-77"}, {}):
        (gpu,) = probe_devices(environ, lambda: nvml, tmp_path).accelerators.gpus
        assert gpu.name.endswith("MIG 1g.10gb")
        assert (gpu.capability, gpu.memory_bytes, gpu.num_sms) == ((9, 0), 9728 << 20, None)
    unknown = probe_devices({"CUDA_VISIBLE_DEVICES": "MIG-99"}, lambda: nvml, tmp_path)
    assert unknown.accelerators.gpus == ()
    assert "not found" in unknown.accelerators.notes[0]


def test_unified_memory_that_nvml_does_not_tell_is_none(tmp_path: Path) -> None:
    gb10 = FakeGpu(name="NVIDIA GB10", capability=(12, 1), memory=None)
    (gpu,) = probe_devices({}, lambda: FakeNvml([gb10]), tmp_path).accelerators.gpus
    assert (gpu.name, gpu.memory_bytes, gpu.num_sms) == ("NVIDIA GB10", None, 48)


def test_one_lost_gpu_does_not_hide_the_others(tmp_path: Path) -> None:
    nvml = FakeNvml([FakeGpu(lost=True), B])
    found = probe_devices({}, lambda: nvml, tmp_path).accelerators
    assert [gpu.name for gpu in found.gpus] == ["NVIDIA L4"]
    assert found.notes == ("GPU 0 cannot be read: NVML error 15: the GPU has fallen off the bus",)


def test_an_unknown_product_keeps_what_was_read(tmp_path: Path) -> None:
    strange = FakeGpu(name="NVIDIA X1", capability=(13, 7), memory=1 << 30)
    (gpu,) = probe_devices({}, lambda: FakeNvml([strange]), tmp_path).accelerators.gpus
    assert (gpu.capability, gpu.shared_memory_bytes, gpu.num_sms) == ((13, 7), None, None)


def test_bytes_of_old_nvidia_ml_py_are_text(tmp_path: Path) -> None:
    nvml = FakeNvml([FakeGpu()], driver=b"470.57.02")
    assert probe_devices({}, lambda: nvml, tmp_path).accelerators.driver == Present("470.57.02")


def test_a_jetson_counts_as_cuda_without_nvml(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R38")
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson AGX Thor Developer Kit\0")
    devices = probe_devices({}, lambda: FakeNvml(init_error=FakeNvmlError(12)), tmp_path)
    assert devices.platform == "cuda"
    assert devices.accelerators.gpus[0].capability == (11, 0)


def _kfd_node(root: Path, number: int, heap: int = 1, **properties: int) -> None:
    node = root / f"sys/class/kfd/kfd/topology/nodes/{number}"
    (node / "mem_banks/0").mkdir(parents=True)
    text = "".join(f"{key} {value}\n" for key, value in properties.items())
    (node / "properties").write_text(text)
    (node / "mem_banks/0/properties").write_text(
        f"heap_type {heap}\nsize_in_bytes {192 << 30}\nflags 0\n"
    )


def test_an_mi300x_is_read_from_the_kernel(tmp_path: Path) -> None:
    _kfd_node(tmp_path, 0, heap=0, cpu_cores_count=96, simd_count=0)
    for number in (1, 2):
        _kfd_node(
            tmp_path,
            number,
            simd_count=1216,
            simd_per_cu=4,
            gfx_target_version=90402,
            device_id=0x74A1,
            lds_size_in_kb=64,
            unique_id=number,
        )
    no_driver = FakeNvml(init_error=FakeNvmlError(12))
    devices = probe_devices({"HIP_VISIBLE_DEVICES": "1"}, lambda: no_driver, tmp_path)
    (gpu,) = devices.accelerators.gpus
    assert devices.platform == "rocm"
    assert (gpu.name, gpu.arch, gpu.capability) == ("AMD Instinct MI300X", "gfx942", None)
    assert (gpu.memory_bytes, gpu.num_sms, gpu.shared_memory_bytes) == (192 << 30, 304, 65536)
    assert devices.accelerators.notes == ("HIP or ROCr variables leave 1 of 2 GPUs visible",)


def test_a_malformed_kfd_node_is_noted(tmp_path: Path) -> None:
    node = tmp_path / "sys/class/kfd/kfd/topology/nodes/1"
    node.mkdir(parents=True)
    (node / "properties").write_bytes(b"simd_count \xff\xfe\n")
    no_driver = FakeNvml(init_error=FakeNvmlError(12))
    devices = probe_devices({}, lambda: no_driver, tmp_path)
    assert devices.platform == "cpu"
    assert devices.accelerators.notes == ("KFD node 1 cannot be read: UnicodeDecodeError",)


@pytest.mark.parametrize(
    ("device", "platform", "noted"), [("0xe20b", "xpu", False), ("0x4680", "cpu", True)]
)
def test_only_a_discrete_intel_gpu_is_an_xpu(
    tmp_path: Path, device: str, platform: str, noted: bool
) -> None:
    card = tmp_path / "sys/class/drm/card0/device"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x8086\n")
    (card / "device").write_text(device + "\n")
    no_driver = FakeNvml(init_error=FakeNvmlError(12))
    devices = probe_devices({}, lambda: no_driver, tmp_path)
    assert devices.platform == platform
    assert bool(devices.accelerators.notes) == noted
