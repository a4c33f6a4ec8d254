"""The probe's report: GPUs, driver, packages, compilers, and the variables that steer engines."""

from __future__ import annotations

from moe_doctor.core.machine import Absent, MachineSnapshot
from moe_doctor.render import Layout
from moe_doctor.render.escape import one_line
from moe_doctor.render.grid import Cell, Line, grid
from moe_doctor.render.words import memory_phrase, probe_phrase


def env_lines(machine: MachineSnapshot, layout: Layout) -> list[Line]:
    """Two columns: what was looked for, and what was found."""
    rows = env_rows(machine, verbose=layout.verbose)
    cells = [(Cell(one_line(name)), Cell(one_line(value))) for name, value in rows]
    return grid(cells, layout.width)


def env_rows(machine: MachineSnapshot, *, verbose: bool = False) -> list[tuple[str, str]]:
    """Names and values, not yet escaped; absent packages in one row unless `verbose`."""
    rows = [*_host(machine), *_gpus(machine), *_software(machine, verbose)]
    rows += sorted(machine.environment.items())
    return [*rows, *(("note", each) for each in machine.notes)]


def _host(machine: MachineSnapshot) -> list[tuple[str, str]]:
    memory = memory_phrase(machine.memory_bytes)
    rows = [
        ("platform", machine.platform + (" (simulated)" if machine.simulated else "")),
        ("host", ", ".join(part for part in (machine.os, machine.cpu_arch, memory) if part)),
    ]
    return [*rows, ("python", machine.python)] if machine.python else rows


def _gpus(machine: MachineSnapshot) -> list[tuple[str, str]]:
    rows = []
    for index, gpu in enumerate(machine.gpus):
        parts = (gpu.name, gpu.target, memory_phrase(gpu.memory_bytes))
        rows.append((f"GPU {index}", ", ".join(part for part in parts if part)))
    rows.append(("driver", probe_phrase(machine.driver)))
    rows.append(("CUDA", probe_phrase(machine.cuda)))
    return rows


def _software(machine: MachineSnapshot, verbose: bool) -> list[tuple[str, str]]:
    toolkit = machine.toolkit
    path = f" ({toolkit.nvcc_path})" if toolkit.nvcc_path else ""
    rows = [
        ("nvcc", probe_phrase(toolkit.nvcc) + path),
        ("CUDA_HOME", probe_phrase(toolkit.cuda_home)),
        ("ninja", probe_phrase(toolkit.ninja)),
        ("host compiler", probe_phrase(toolkit.host_compiler)),
    ]
    absent = []
    for name, probe in sorted(machine.packages.items()):
        if isinstance(probe, Absent) and not verbose:
            absent.append(name)
        else:
            rows.append((name, probe_phrase(probe)))
    if absent:
        rows.append(("absent", ", ".join(absent)))
    return rows
