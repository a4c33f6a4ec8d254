from __future__ import annotations

from pathlib import Path

import pytest

from moe_doctor.core.errors import UnknownNameError
from moe_doctor.core.machine import Absent, Present, ProbeFailed
from moe_doctor.probes.packages import PACKAGES, find_package, probe_package, probe_packages


def _install(site: Path, name: str, metadata: bytes | None) -> Path:
    folder = site / f"{name}.dist-info"
    folder.mkdir(parents=True)
    if metadata is not None:
        (folder / "METADATA").write_bytes(metadata)
    return folder


def _probe(site: Path, name: str) -> object:
    return probe_packages([str(site)])[name]


def test_a_version_is_read_without_importing(tmp_path: Path) -> None:
    _install(tmp_path, "torch-2.11.0+cu130", b"Name: torch\nVersion: 2.11.0+cu130\n\nread me")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise SystemExit('imported')")
    assert _probe(tmp_path, "torch") == Present("2.11.0+cu130")


def test_every_package_of_the_table_is_answered(tmp_path: Path) -> None:
    assert probe_packages([str(tmp_path)]) == {package.name: Absent() for package in PACKAGES}


def test_a_name_with_an_underscore_and_another_name_are_the_same_thing(tmp_path: Path) -> None:
    _install(tmp_path, "flashinfer_python-0.6.8.post1", b"Version: 0.6.8.post1\n")
    _install(tmp_path, "amd_aiter-0.1.9", b"Name: amd-aiter\r\nVersion: 0.1.9\r\n\r\n")
    assert _probe(tmp_path, "flashinfer-python") == Present("0.6.8.post1")
    assert _probe(tmp_path, "aiter") == Present("0.1.9")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (None, "vllm: METADATA is missing or cannot be read"),
        (b"", "vllm: METADATA is missing or cannot be read"),
        (b"Name: vllm\n\nVersion: 1.0 in the read-me", "vllm: METADATA names no version"),
        (b"Name: vllm\nVersion:\n", "vllm: METADATA names no version"),
        (b"Name: vllm\nVersion: \xff\xfe\n", "vllm: UnicodeDecodeError"),
    ],
)
def test_broken_metadata_is_evidence(tmp_path: Path, metadata: bytes | None, reason: str) -> None:
    _install(tmp_path, "vllm-0.20.0", metadata)
    probe = _probe(tmp_path, "vllm")
    assert isinstance(probe, ProbeFailed)
    assert probe.reason.startswith(reason)


def test_metadata_that_is_a_folder_is_evidence(tmp_path: Path) -> None:
    (_install(tmp_path, "vllm-0.20.0", None) / "METADATA").mkdir()
    assert isinstance(_probe(tmp_path, "vllm"), ProbeFailed)


def test_the_first_entry_of_the_path_wins(tmp_path: Path) -> None:
    _install(tmp_path / "a", "torch-2.10.0", b"Version: 2.10.0\n")
    _install(tmp_path / "b", "torch-2.11.0", b"Version: 2.11.0\n")
    path = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert probe_packages(path)["torch"] == Present("2.10.0")


def test_a_kernel_library_without_metadata_counts_by_its_module(tmp_path: Path) -> None:
    (tmp_path / "deep_ep").mkdir()
    assert _probe(tmp_path, "deep-ep") == Absent()
    (tmp_path / "deep_ep/__init__.py").write_text("")
    assert _probe(tmp_path, "deep-ep") == Present("")


def test_what_vllm_vendors_counts(tmp_path: Path) -> None:
    (tmp_path / "vllm/third_party/deep_gemm").mkdir(parents=True)
    (tmp_path / "vllm/__init__.py").write_text("")
    probes = probe_packages([str(tmp_path)])
    assert probes["deep-gemm"] == Present("")
    assert probes["triton-kernels"] == Absent()


def test_a_path_that_does_not_exist_or_is_a_file_is_absence(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"not a zip")
    path = [str(tmp_path / "nowhere"), str(tmp_path / "x.zip")]
    assert probe_package("torch", path) == Absent()


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("flashinfer", "flashinfer-python"),
        ("FlashInfer_Python", "flashinfer-python"),
        ("deep_gemm", "deep-gemm"),
        ("amd-aiter", "aiter"),
        ("cutlass", "nvidia-cutlass-dsl"),
        ("humming", "humming-kernels"),
        ("triton_kernels", "triton-kernels"),
    ],
)
def test_importable_spellings_are_known(spelling: str, name: str) -> None:
    assert find_package(spelling).name == name


def test_an_unknown_package_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_package("flashinfer-cubins")
    assert caught.value.nearest[0] == "flashinfer-cubin"


def test_what_is_installed_here_is_really_read() -> None:
    from importlib.metadata import version

    assert probe_package("huggingface-hub") == Present(version("huggingface-hub"))
