"""`select` on a local config, cold: a whole process each time, as a shell would start it.

    python -m tests.benchmarks.cold_select [RUNS]

One model for each quantization scheme. Aim: at most 0.25 s median and 60 MB peak, torch never
imported, and of the oracles only the one that is asked.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.configs import scheme_configs
from tests.benchmarks.process import Measurement, measure

ENGINES = "{'torch', 'triton', 'flashinfer', 'vllm', 'transformers'}"
STEPS = "moe_doctor.oracle.engines.vllm."
LISTING = (
    "import sys; from moe_doctor.cli.main import main; main(sys.argv[1:]); "
    f"print('engines imported:', *sorted({ENGINES} & set(sys.modules)) or ['none'], '; oracles:',"
    f"*sorted(n[{len(STEPS)}:-6] for n in sys.modules if n.startswith('{STEPS}')"
    " and n.endswith('.steps')))"
)


def main(runs: int) -> int:
    """Print the figures; 1 when an engine was imported or a run failed."""
    with tempfile.TemporaryDirectory() as folder:
        return print_cold(runs, Path(folder))


def print_cold(runs: int, folder: Path) -> int:
    """A line for each scheme; 1 when an engine was imported or a run failed."""
    failed = False
    # The first start of a scheme writes its .pyc files; schemes take turns, so that a busy minute
    # of the machine falls on all of them.
    configs = scheme_configs(folder)
    found: dict[str, list[Measurement]] = {scheme: [] for scheme in configs}
    for turn in range(runs + 1):
        for scheme, config in configs.items():
            one = measure(["-m", "moe_doctor", "select", str(config), "--gpu", "h100"])
            failed = failed or one.code not in (0, 1)
            if turn:
                found[scheme].append(one)
    print(f"cold select       {runs} processes for each scheme; wall and processor seconds")
    for scheme, results in found.items():
        walls = [each.seconds for each in results]
        imported = _imported(configs[scheme])
        failed = failed or "imported: none" not in imported
        print(
            f"  {scheme:6}  wall median {statistics.median(walls):.3f}, best {min(walls):.3f}; "
            f"processor {statistics.median(each.cpu_seconds for each in results):.3f}; "
            f"peak {max(each.peak_mb for each in results):.1f} MB; {imported}"
        )
    empty = statistics.median(measure(["-c", "pass"]).seconds for _ in range(5))
    print(f"  python alone: wall median {empty:.3f}")
    return 1 if failed else 0


def _imported(config: Path) -> str:
    command = ["-c", LISTING, "select", str(config), "--gpu", "h100"]
    return measure(command).output.splitlines()[-1].replace(" ;", ";")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 21))
