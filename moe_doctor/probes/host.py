"""The host: Python, operating system, architecture, memory; no host name and no address."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from moe_doctor.core.record import record

FEATURES = ("amx_tile", "amx_bf16", "amx_int8", "avx512f", "avx512_bf16", "avx2", "asimd", "bf16")
"""What CPU kernels of the engines ask for, as Linux spells it."""


@record
class Host:
    """What the snapshot keeps of the host."""

    python: str
    """Release of this Python."""
    os: str
    """Distribution and kernel release."""
    cpu_arch: str
    """As `uname -m` says it."""
    cpu_features: tuple[str, ...]
    """Those of `FEATURES` that the CPU has."""
    memory_bytes: int | None
    """Physical memory; None where the system does not tell."""


def probe_host(root: Path = Path("/")) -> Host:
    """Never raises; `root` stands in for `/`."""
    kernel = f"{platform.system()} {platform.release()}".strip()
    distribution = _distribution(root)
    return Host(
        python=platform.python_version(),
        os=f"{distribution}, {kernel}" if distribution else kernel,
        cpu_arch=platform.machine() or "unknown",
        cpu_features=_features(root),
        memory_bytes=_memory(),
    )


def _distribution(root: Path) -> str:
    """PRETTY_NAME of os-release, or empty."""
    for path in (root / "etc/os-release", root / "usr/lib/os-release"):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        match = re.search(r"^PRETTY_NAME=[\"']?([^\"'\n]*)", text, flags=re.MULTILINE)
        if match:
            return match.group(1).strip()
    return ""


def _features(root: Path) -> tuple[str, ...]:
    """From the first `flags` (x86) or `Features` (Arm) line of /proc/cpuinfo."""
    try:
        with (root / "proc/cpuinfo").open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    has = set(value.split())
                    return tuple(feature for feature in FEATURES if feature in has)
    except OSError:
        return ()
    return ()


def _memory() -> int | None:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None
    return pages * size if pages > 0 and size > 0 else None
