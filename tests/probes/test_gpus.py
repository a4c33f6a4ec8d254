from __future__ import annotations

import pytest

from moe_doctor.core.errors import UnknownNameError
from moe_doctor.probes.gpu_table import ARCH_GPUS, CAPABILITY_GPUS, KNOWN_GPUS, SHARED_MEMORY_KIB
from moe_doctor.probes.gpus import find_gpu, gpu_for_arch, gpu_for_capability, gpu_of_device

PROMISED = [
    *("t4", "a10", "a100", "l4", "l40s", "rtx-3090", "rtx-4090", "rtx-5090", "rtx-pro-6000"),
    *("h100", "h200", "gh200", "b200", "gb200", "b300", "gb300", "gb10", "thor"),
    *("mi300x", "mi325x", "mi350x", "mi355x", "rx-7900-xtx", "cpu"),
]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("h100", "NVIDIA H100 80GB HBM3"),
        ("H100 SXM", "NVIDIA H100 80GB HBM3"),
        ("nvidia-h100_80gb_hbm3", "NVIDIA H100 80GB HBM3"),
        ("H100-PCIe", "NVIDIA H100 PCIe"),
        ("h100 nvl", "NVIDIA H100 NVL"),
        ("rtx 5090", "NVIDIA GeForce RTX 5090"),
        ("GeForce RTX 4090", "NVIDIA GeForce RTX 4090"),
        ("3090", "NVIDIA GeForce RTX 3090"),
        ("RTX-PRO-6000", "NVIDIA RTX PRO 6000 Blackwell Server Edition"),
        ("rtx 6000 ada", "NVIDIA RTX 6000 Ada Generation"),
        ("dgx spark", "NVIDIA GB10"),
        ("gb10", "NVIDIA GB10"),
        ("Jetson Thor", "NVIDIA Thor"),
        ("a100-40gb", "NVIDIA A100-SXM4-40GB"),
        ("a100", "NVIDIA A100-SXM4-80GB"),
        ("h800", "NVIDIA H800"),
        ("h200 nvl", "NVIDIA H200 NVL"),
        ("Tesla T4", "Tesla T4"),
        ("mi300x", "AMD Instinct MI300X"),
        ("AMD Instinct MI355X", "AMD Instinct MI355X"),
        ("7900xtx", "AMD Radeon RX 7900 XTX"),
        ("RX 9070 XT", "AMD Radeon RX 9070 XT"),
        ("Strix Halo", "Radeon 8060S Graphics"),
        ("Intel Arc B580", "Intel(R) Arc(TM) B580 Graphics"),
        ("cpu", "CPU"),
    ],
)
def test_a_gpu_is_found_however_it_is_spelled(spelling: str, name: str) -> None:
    assert find_gpu(spelling).device_name == name


@pytest.mark.parametrize("key", PROMISED)
def test_every_promised_gpu_is_in_the_table(key: str) -> None:
    assert find_gpu(key).key == key


def test_an_unknown_gpu_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_gpu("h1000")
    assert caught.value.message == "unknown GPU 'h1000'"
    assert "h100" in caught.value.nearest
    assert "; known: a10, a100, a100-40gb, a100-pcie, " in caught.value.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gfx950", "it is no product's name: --arch gfx950"),
        ("XPU", "it is no product's name: --platform xpu"),
        ("sm_90a", "it is no product's name: --capability 9.0"),
        ("10.3", "it is no product's name: --capability 10.3"),
        ("rocm", "it is no product's name: --arch gfx942, or another"),
        ("cuda", "it is no product's name: --capability 9.0, or another"),
    ],
)
def test_what_another_option_takes_is_named_with_it(name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_gpu(name)
    assert caught.value.hint == hint


@pytest.mark.parametrize("name", ["", "   ", "-", "nvidia", "rtx", "rtx a100", "🦙", "x" * 100_000])
def test_nonsense_is_an_unknown_name_and_never_a_gpu(name: str) -> None:
    with pytest.raises(UnknownNameError):
        find_gpu(name)


def test_every_row_is_complete_and_sane() -> None:
    for gpu in KNOWN_GPUS:
        if gpu.platform == "cpu":
            continue
        assert gpu.memory_bytes is not None
        assert 8 << 30 <= gpu.memory_bytes <= 512 << 30, gpu.key
        assert gpu.bandwidth_bytes_per_s is not None
        assert 100e9 <= gpu.bandwidth_bytes_per_s <= 10e12, gpu.key
        assert gpu.num_sms is not None
        assert 10 <= gpu.num_sms <= 320, gpu.key
        assert gpu.shared_memory_bytes in {k * 1024 for k in (64, 96, 99, 128, 160, 163, 227)}
        assert (gpu.capability is not None) == (gpu.platform == "cuda"), gpu.key
        assert (gpu.arch is not None) == (gpu.platform == "rocm"), gpu.key


def test_no_two_rows_share_a_spelling() -> None:
    seen: dict[str, str] = {}
    for gpu in KNOWN_GPUS:
        for spelling in (gpu.key, gpu.device_name, *gpu.aliases, *gpu.other_names):
            assert seen.setdefault(spelling, gpu.key) == gpu.key, spelling


def test_keys_and_device_names_are_unique_and_findable() -> None:
    assert len({gpu.key for gpu in KNOWN_GPUS}) == len(KNOWN_GPUS)
    for gpu in KNOWN_GPUS:
        assert find_gpu(gpu.key) is gpu
        assert find_gpu(gpu.device_name) is gpu
        assert gpu_of_device(gpu.device_name) is gpu
        for alias in gpu.aliases:
            assert find_gpu(alias) is gpu, alias


def test_a_capability_and_an_architecture_stand_for_a_product_that_has_it() -> None:
    assert set(CAPABILITY_GPUS) == set(SHARED_MEMORY_KIB)
    for capability in CAPABILITY_GPUS:
        known = gpu_for_capability(capability)
        assert known is not None
        assert known.capability == capability
    for arch in ARCH_GPUS:
        amd = gpu_for_arch(arch)
        assert amd is not None
        assert amd.arch == arch
    assert gpu_for_capability((9, 5)) is None
    assert gpu_for_arch("gfx000") is None


def test_a_driver_name_is_never_matched_by_resemblance() -> None:
    assert gpu_of_device("NVIDIA H100 80GB HBM3e") is None
