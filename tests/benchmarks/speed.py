"""The whole speed story in one run: cold `select`, 100,000 selections, the real vLLM beside both.

    python -m tests.benchmarks.speed [--runs 11] [--selections 100000] [--questions 2000]

Aims: cold `select` at most 0.25 s, 100,000 selections at most 5 s on one core. The real vLLM is
timed where MOE_DOCTOR_TRUTH names the folder that holds `.truth` (tests/benchmarks/real_engine.py).
Measured figures stand in MEASURED.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from tests.benchmarks.cold_select import print_cold
from tests.benchmarks.real_engine import print_real
from tests.benchmarks.throughput import print_orders


def main() -> int:
    """Print all figures; 1 when a cold run failed or imported an engine."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.speed", description=__doc__)
    parser.add_argument("--runs", type=int, default=11, help="cold processes for each scheme")
    parser.add_argument("--selections", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=2000, help="to the real oracle")
    options = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    print(
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, {_processor()}, {os.cpu_count()} "
        f"processors, load {load:.1f}, Python {platform.python_version()}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        code = print_cold(options.runs, folder)
        sys.stdout.flush()
        print_orders(options.selections, folder)
        sys.stdout.flush()
        print_real(options.questions)
    return code


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


if __name__ == "__main__":
    sys.exit(main())
