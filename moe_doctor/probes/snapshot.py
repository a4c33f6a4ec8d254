"""The machine as one value: read here, written as JSON, read back from JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping

from moe_doctor.core.machine import Absent, MachineSnapshot, Present, Probe, ProbeFailed
from moe_doctor.probes.decode import load_snapshot, snapshot_from_dict
from moe_doctor.probes.device import Devices, probe_devices
from moe_doctor.probes.environment import probe_environment
from moe_doctor.probes.host import probe_host
from moe_doctor.probes.packages import probe_packages
from moe_doctor.probes.redact import Redactor, redactor_of
from moe_doctor.probes.toolkit import probe_toolkit

__all__ = ["load_snapshot", "probe_machine", "snapshot_from_dict"]


def probe_machine(environ: Mapping[str, str] | None = None) -> MachineSnapshot:
    """This machine, redacted so that it may be shared; never raises, imports no engine.

    `environ` stands in for `os.environ`. Takes some 0.1 s; a driver that hangs costs 5 s.
    """
    variables = os.environ if environ is None else environ
    redactor = redactor_of(variables)
    packages = {name: _clean(probe, redactor) for name, probe in probe_packages().items()}
    host = probe_host()
    devices = probe_devices(variables)
    platform, notes = judge_platform(devices, packages)
    found = devices.accelerators
    return MachineSnapshot(
        platform=platform,
        gpus=found.gpus,
        driver=_clean(found.driver, redactor),
        cuda=_clean(found.cuda, redactor),
        packages=packages,
        toolkit=probe_toolkit(variables, redactor),
        environment=probe_environment(variables, redactor),
        python=host.python,
        os=redactor.text(host.os),
        cpu_arch=host.cpu_arch,
        cpu_features=host.cpu_features,
        memory_bytes=host.memory_bytes,
        notes=tuple(redactor.text(note) for note in (*found.notes, *notes)),
    )


def judge_platform(devices: Devices, packages: Mapping[str, Probe]) -> tuple[str, tuple[str, ...]]:
    """(platform, notes): a vLLM built for the CPU never looks at a GPU.

    Source: `vllm_version_matches_substr("cpu")` in vllm/platforms/__init__.py, all releases.
    """
    vllm = packages.get("vllm", Absent())
    if devices.platform == "cuda" and isinstance(vllm, Present) and "cpu" in vllm.value:
        note = f"vLLM {vllm.value} is built for the CPU: it does not use the GPUs of this machine"
        return "cpu", (note,)
    return devices.platform, ()


def _clean(probe: Probe, redactor: Redactor) -> Probe:
    return ProbeFailed(redactor.text(probe.reason)) if isinstance(probe, ProbeFailed) else probe
