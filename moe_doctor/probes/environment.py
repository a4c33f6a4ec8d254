"""Environment variables that steer MoE kernels, redacted; everything else is never looked at.

1. A name in the table is stored; text, paths and URLs in its value are redacted.
2. Another name that sounds like a secret is never stored (`HF_TOKEN`, `VLLM_API_KEY`).
3. Another name with an engine's prefix is stored when its value is a number or a flag, and as
   `<set>` otherwise: a misspelled variable shows, an address or a name does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from moe_doctor.probes.redact import Redactor, is_secret_name
from moe_doctor.probes.variables import PREFIXES, VARIABLES, Variable, find_variable

__all__ = ["HIDDEN", "VARIABLES", "Variable", "find_variable", "probe_environment"]

HIDDEN = "<set>"
"""Stands for a value that is not shown."""

_PLAIN = re.compile(r"(?i)-?\d{1,12}(\.\d{1,6})?|true|false|yes|no|on|off|none|auto|")

# Longer values (LD_LIBRARY_PATH of a module system) are cut: a report is read by people.
_MAX_LENGTH = 1000


def probe_environment(environ: Mapping[str, str], redactor: Redactor) -> dict[str, str]:
    """The variables that matter, by name, safe to share."""
    found: dict[str, str] = {}
    for name in sorted(environ):
        variable = find_variable(name)
        if variable is None and (is_secret_name(name) or not name.startswith(PREFIXES)):
            continue
        if variable is None and not _PLAIN.fullmatch(environ[name]):
            found[redactor.text(name)] = HIDDEN
        else:
            found[redactor.text(name)] = redactor.text(environ[name])[:_MAX_LENGTH]
    return found
