"""`check --level 3` as a whole process: on a machine without a GPU the proof is interpreted.

    python -m tests.benchmarks.check_level3 [RUNS]

Aim: at most 25 s on a CPU-only machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.configs import one_config
from tests.benchmarks.process import measure


def main(runs: int) -> int:
    """Print the figures; 1 when a run ended in anything but a report."""
    with tempfile.TemporaryDirectory() as folder:
        config = one_config(Path(folder))
        command = ["-m", "moe_doctor", "check", str(config), "--level", "3", "--format", "json"]
        results = [measure(command) for _ in range(runs)]
    print(f"config            {config.name}")
    for result in results:
        proofs = json.loads(result.output).get("proofs", [])
        told = ", ".join(
            f"{each['backend_option']} {each['outcome']} ({each['mode']})" for each in proofs
        )
        print(f"wall              {result.seconds:.1f} s, exit {result.code}: {told}")
    print(f"wall, median      {statistics.median(each.seconds for each in results):.1f} s")
    return 0 if all(each.code in (0, 1, 3) for each in results) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
