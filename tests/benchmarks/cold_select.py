"""`select` on a local config, cold: a whole process each time, as a shell would start it.

    python -m tests.benchmarks.cold_select [RUNS]

Aim: at most 0.25 s median and 60 MB peak, and torch never imported.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.configs import one_config
from tests.benchmarks.process import measure

ENGINES = "{'torch', 'triton', 'flashinfer', 'vllm'}"
LISTING = (
    "import sys; from moe_doctor.cli.main import main; main(sys.argv[1:]); "
    f"print('engines imported:', sorted({ENGINES} & set(sys.modules)))"
)


def main(runs: int) -> int:
    """Print the figures; 1 when an engine was imported or a run failed."""
    with tempfile.TemporaryDirectory() as folder:
        config = one_config(Path(folder))
        command = ["select", str(config), "--gpu", "h100"]
        measure(["-m", "moe_doctor", *command])  # writes the .pyc files
        results = [measure(["-m", "moe_doctor", *command]) for _ in range(runs)]
        engines = measure(["-c", LISTING, *command]).output.splitlines()[-1]
        empty = statistics.median(measure(["-c", "pass"]).seconds for _ in range(5))
    print(f"config            {config.name}")
    print(f"runs              {runs}")
    print(f"wall, median      {statistics.median(each.seconds for each in results):.3f} s")
    print(f"wall, best        {min(each.seconds for each in results):.3f} s")
    print(f"cpu, median       {statistics.median(each.cpu_seconds for each in results):.3f} s")
    print(f"python alone      {empty:.3f} s")
    print(f"peak memory       {max(each.peak_mb for each in results):.1f} MB")
    print(engines)
    failed = [each.code for each in results if each.code not in (0, 1)]
    return 1 if failed or not engines.endswith("[]") else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 21))
