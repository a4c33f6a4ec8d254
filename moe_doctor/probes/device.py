"""Which accelerators this machine has, in the order in which vLLM looks.

1. CUDA through NVML (a Jetson counts even where NVML is silent).
2. ROCm through the kernel's topology files.
3. XPU through PCI ids.
4. Else the CPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from moe_doctor.core.machine import ProbeFailed
from moe_doctor.core.record import record, replace
from moe_doctor.probes.cuda import Accelerators, probe_cuda, probe_jetson
from moe_doctor.probes.nvml import Nvml, load_nvml
from moe_doctor.probes.rocm import probe_rocm
from moe_doctor.probes.xpu import probe_xpu

# NVML answers in some 30 ms on an idle H100, in seconds where the driver must wake eight GPUs, and
# never where one has fallen off the bus.
NVML_DEADLINE_S = 5.0


@record
class Devices:
    """The platform and what is on it."""

    platform: str
    """`cuda`, `rocm`, `xpu` or `cpu`."""
    accelerators: Accelerators
    """Devices, driver, notes."""


def probe_devices(
    environ: Mapping[str, str],
    load: Callable[[], Nvml] = load_nvml,
    root: Path = Path("/"),
    deadline_s: float = NVML_DEADLINE_S,
) -> Devices:
    """Never raises. `load` gives NVML, `root` stands in for `/`."""
    cuda = _within(deadline_s, lambda: probe_cuda(environ, load))
    if cuda.num_devices == 0:
        cuda = probe_jetson(root) or cuda
    if cuda.num_devices > 0:
        # Hidden devices leave the platform as it is: NVML counts them, and vLLM asks NVML.
        return Devices("cuda", cuda)
    for platform, found in (("rocm", probe_rocm(environ, root)), ("xpu", probe_xpu(root))):
        if found.num_devices > 0:
            return Devices(platform, found)
        cuda = replace(cuda, notes=(*cuda.notes, *found.notes))
    return Devices("cpu", cuda)


def _within(deadline_s: float, read: Callable[[], Accelerators]) -> Accelerators:
    """The answer, or a failure when the driver gives none in time."""
    answers: list[Accelerators] = []
    # A daemon: a call that hangs inside the driver cannot be ended, only left behind.
    thread = threading.Thread(target=lambda: answers.append(read()), daemon=True)
    thread.start()
    thread.join(deadline_s)
    if answers:
        return answers[0]
    reason = f"NVML gave no answer in {deadline_s:g} s; a GPU has stopped responding"
    return Accelerators(driver=ProbeFailed(reason))
