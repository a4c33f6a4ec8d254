from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moe_doctor.core.errors import UnknownNameError, UsageError
from moe_doctor.core.machine import Absent, MachineSnapshot, Present
from moe_doctor.core.request import MachineRequest
from moe_doctor.probes.simulate import adjust_machine, simulate_machine
from moe_doctor.probes.snapshot import snapshot_from_dict

IMAGE = {"torch": "2.11.0", "vllm": "0.20.0", "flashinfer-python": "0.6.8", "deep-gemm": "2.1"}


def simulate(**options: Any) -> MachineSnapshot:
    return simulate_machine(MachineRequest(**options), packages=IMAGE)


def test_a_named_gpu_comes_with_the_packages_of_the_image() -> None:
    machine = simulate(gpu="h100")
    assert machine.simulated
    assert (machine.platform, machine.capability) == ("cuda", (9, 0))
    assert machine.version("flashinfer-python") == "0.6.8"
    assert machine.packages["tilelang"] == Absent()
    assert machine.environment == {}
    assert machine.toolkit.nvcc == Present("")
    assert snapshot_from_dict(machine.to_dict()) == machine


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ("7.5", "Tesla T4"),
        ("8.0", "NVIDIA A100-SXM4-80GB"),
        ("8.6", "NVIDIA A40"),
        ("8.9", "NVIDIA L40S"),
        ("9.0", "NVIDIA H100 80GB HBM3"),
        ("10.0", "NVIDIA B200"),
        ("10.3", "NVIDIA B300 SXM6 AC"),
        ("11.0", "NVIDIA Thor"),
        ("12.0", "NVIDIA RTX PRO 6000 Blackwell Server Edition"),
        ("12.1", "NVIDIA GB10"),
        ("sm_90a", "NVIDIA H100 80GB HBM3"),
        ("SM120", "NVIDIA RTX PRO 6000 Blackwell Server Edition"),
        ("103", "NVIDIA B300 SXM6 AC"),
        ("9", "NVIDIA H100 80GB HBM3"),
        ("12", "NVIDIA RTX PRO 6000 Blackwell Server Edition"),
    ],
)
def test_a_capability_stands_for_a_product(capability: str, name: str) -> None:
    machine = simulate(capability=capability)
    assert machine.gpu is not None
    assert machine.gpu.name == name


@pytest.mark.parametrize(
    ("arch", "name"),
    [
        ("gfx90a", "AMD Instinct MI250X"),
        ("gfx942", "AMD Instinct MI300X"),
        ("gfx950", "AMD Instinct MI355X"),
        ("gfx1100", "AMD Radeon RX 7900 XTX"),
        ("gfx1151", "Radeon 8060S Graphics"),
        ("gfx1200", "AMD Radeon RX 9060 XT"),
        ("gfx1201", "AMD Radeon RX 9070 XT"),
        ("gfx942:sramecc+:xnack-", "AMD Instinct MI300X"),
    ],
)
def test_an_architecture_stands_for_a_product(arch: str, name: str) -> None:
    machine = simulate(platform="rocm", arch=arch)
    assert machine.gpu is not None
    assert (machine.platform, machine.gpu.name, machine.capability) == ("rocm", name, None)


@pytest.mark.parametrize("platform", ["cpu", "tpu", "oot"])
def test_a_platform_without_a_gpu(platform: str) -> None:
    machine = simulate(platform=platform)
    assert (machine.platform, machine.gpus) == (platform, ())


def test_the_cpu_is_a_gpu_name_too_and_xpu_has_a_product() -> None:
    assert simulate(gpu="cpu").platform == "cpu"
    assert simulate(gpu="cpu").gpus == ()
    assert simulate(platform="xpu").gpus[0].name == "Intel(R) Data Center GPU Max 1550"
    assert simulate(gpu="gb200").cpu_arch == "aarch64"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"gpu": "h100", "capability": "8.0"},
            "--gpu h100 has compute capability 9.0, and --capability says 8.0",
        ),
        ({"gpu": "mi300x", "capability": "9.0"}, "--gpu mi300x has compute capability none"),
        ({"gpu": "h100", "arch": "gfx942"}, "--gpu h100 has architecture none"),
        ({"gpu": "mi300x", "arch": "gfx950"}, "has architecture gfx942, and --arch says gfx950"),
        ({"gpu": "h100", "platform": "rocm"}, "--platform rocm contradicts NVIDIA H100"),
        ({"gpu": "h100", "platform": "cpu"}, "--platform cpu contradicts NVIDIA H100"),
        ({"arch": "gfx942", "platform": "cuda"}, "--arch is for ROCm, and --platform says cuda"),
        ({"arch": "gfx942", "capability": "9.0"}, "keep one of them"),
        ({"capability": "9.0", "platform": "xpu"}, "--platform xpu contradicts"),
        ({"capability": "9.5"}, "--capability '9.5' is not a known compute capability"),
        ({"capability": "nine"}, "--capability 'nine' is not a known"),
        ({"capability": "9" * 5000}, "is not a known compute capability"),
        ({"platform": "cuda"}, "--platform cuda does not say which GPU"),
        ({"platform": "rocm"}, "--platform rocm does not say which GPU"),
        ({"platform": "vulkan"}, "unknown platform 'vulkan'"),
        ({"arch": "gfx000"}, "unknown ROCm architecture 'gfx000'"),
        ({"gpu": "h9000"}, "unknown GPU 'h9000'"),
        ({"snapshot": "m.json", "gpu": "h100"}, "--snapshot and --gpu both describe a machine"),
        ({"snapshot": "m.json", "platform": "cpu"}, "--snapshot and --platform both"),
        ({"gpu": "h100", "with_packages": ("nonsense",)}, "unknown package 'nonsense'"),
        ({"gpu": "h100", "without_packages": ("nonsense",)}, "unknown package 'nonsense'"),
        ({"gpu": "h100", "with_packages": ("triton==",)}, "names no version"),
        ({"gpu": "h100", "with_packages": ("triton==a b",)}, "names no version"),
        (
            {"gpu": "h100", "with_packages": ("aiter",), "without_packages": ("amd-aiter",)},
            "--with and --without both name aiter",
        ),
    ],
)
def test_options_that_contradict_are_a_usage_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        simulate(**options)
    assert message in caught.value.message


def test_an_unknown_capability_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        simulate(capability="9.5")
    assert "9.0, 10.0, 10.3" in caught.value.hint


def test_without_all_takes_the_kernel_packages_and_leaves_the_engine() -> None:
    machine = simulate(gpu="h100", without_packages=("all",), with_packages=("deep_gemm",))
    assert machine.packages["flashinfer-python"] == Absent()
    assert machine.version("deep-gemm") == "2.1"
    assert machine.version("torch") == "2.11.0"
    assert machine.version("vllm") == "0.20.0"


def test_with_adds_a_version_or_none() -> None:
    machine = simulate(gpu="h100", with_packages=("tilelang==0.1.9", "cutlass", "torch==2.12.0"))
    assert machine.version("tilelang") == "0.1.9"
    assert machine.packages["nvidia-cutlass-dsl"] == Present("")
    assert machine.version("torch") == "2.12.0"


def test_importable_names_are_taken_off() -> None:
    machine = simulate(gpu="h100", without_packages=("flashinfer",))
    assert not machine.has("flashinfer-python")


def test_the_real_machine_keeps_what_is_not_named() -> None:
    here = MachineSnapshot(
        "cuda", packages={"torch": Present("2.11.0")}, environment={"VLLM_USE_DEEP_GEMM": "1"}
    )
    request = MachineRequest(environment={"VLLM_USE_DEEP_GEMM": "0"}, with_packages=("aiter",))
    machine = adjust_machine(here, request)
    assert not machine.simulated
    assert machine.environment == {"VLLM_USE_DEEP_GEMM": "0"}
    assert (machine.version("torch"), machine.has("aiter")) == ("2.11.0", True)
    assert adjust_machine(here, MachineRequest()) == here


def test_a_snapshot_brings_its_own_packages(tmp_path: Path) -> None:
    there = MachineSnapshot(
        "cuda", packages={"vllm": Present("0.19.1"), "own-kernels": Present("1")}
    )
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(there.to_dict()))
    machine = simulate(
        snapshot=str(path), without_packages=("own-kernels",), environment={"CUDA_HOME": "/x"}
    )
    assert machine.simulated
    assert machine.version("vllm") == "0.19.1"
    assert machine.version("torch") is None
    assert machine.packages["own-kernels"] == Absent()
    assert machine.environment == {"CUDA_HOME": "/x"}


def test_an_unknown_package_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        simulate(gpu="h100", with_packages=("flashinfer-cubins",))
    assert caught.value.nearest[0] == "flashinfer-cubin"
