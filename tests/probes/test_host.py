from __future__ import annotations

from pathlib import Path

from moe_doctor.probes.host import probe_host


def test_the_distribution_and_the_cpu_features_are_read(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=ubuntu\nPRETTY_NAME="Ubuntu 24.04.3 LTS"\n')
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("model name : x\nflags\t\t: fpu avx2 avx512f amx_tile\n")
    host = probe_host(tmp_path)
    assert host.os.startswith("Ubuntu 24.04.3 LTS, Linux ")
    assert host.cpu_features == ("amx_tile", "avx512f", "avx2")


def test_an_arm_cpu_and_a_system_that_says_nothing(tmp_path: Path) -> None:
    assert probe_host(tmp_path).cpu_features == ()
    assert probe_host(tmp_path).os.startswith("Linux ")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("Features : fp asimd bf16\n")
    assert probe_host(tmp_path).cpu_features == ("asimd", "bf16")
