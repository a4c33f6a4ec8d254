"""`python -m moe_doctor` and `moe-doctor`: the program, and Ctrl-C while it is still loading."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the process's own command line and return its exit code."""
    try:
        from moe_doctor.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
