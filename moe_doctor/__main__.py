"""`python -m moe_doctor`: the same as the `moe-doctor` command."""

from __future__ import annotations

import sys

from moe_doctor.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
