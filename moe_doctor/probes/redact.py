"""What may be shared: tokens, credentials, people and serial numbers are cut out.

Redacting twice changes nothing more. Values of flags and choices are never touched, since an
engine's rules read them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from moe_doctor.core.record import record

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH)", re.IGNORECASE)

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host
    (re.compile(r"://[^/\s]*@"), "://***@"),
    # ?token=... and the like in a query
    (re.compile(r"(?i)([?&;][\w-]*(?:token|key|secret|passw|sig)[\w-]*=)[^&\s]+"), r"\1***"),
    # Hugging Face, OpenAI, GitHub, NVIDIA, Slack, AWS and JSON web tokens by their prefixes
    (
        re.compile(
            r"(?:hf_|api_org_|sk-|gh[pousr]_|github_pat_|nvapi-|xox[abprs]-|AKIA|eyJ)[\w.-]{12,}"
        ),
        "<token>",
    ),
    # serial numbers of devices, whole or as the short prefix that CUDA accepts
    (re.compile(r"\b(?:MIG-)?GPU-[0-9a-fA-F][0-9a-fA-F-]{3,}(?:/\d+/\d+)?"), "GPU-<uuid>"),
    (re.compile(r"\bMIG-[0-9a-fA-F][0-9a-fA-F-]{3,}"), "MIG-<uuid>"),
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<uuid>"),
    # somebody's home, also where it is not this user's
    (re.compile(r"(?<![\w.~/-])(?:/(?:home|Users)/[^/:\s\"']+|/root)(?=[/:\s\"']|$)"), "~"),
)


@record
class Redactor:
    """The names of this machine that must not leave it."""

    home: str = ""
    """Home directory, or empty."""
    user: str = ""
    """Login name, or empty."""
    host: str = ""
    """Host name, or empty."""

    def text(self, value: str) -> str:
        """Free text, a path or a URL, redacted and without control characters."""
        value = _printable(value)
        # Cutting one secret can bring two halves of another together; the rules only ever
        # shorten or leave fixed text, so this ends.
        for _ in range(8):
            redacted = self._once(value)
            if redacted == value:
                break
            value = redacted
        return value

    def _once(self, value: str) -> str:
        home = self.home.rstrip("/")
        if home.count("/") >= 1 and len(home) > 1:
            value = re.sub(rf"(?<![\w.~-]){re.escape(home)}(?=[/:\s\"',]|$)", "~", value)
        for pattern, replacement in _RULES:
            value = pattern.sub(replacement, value)
        for name, mark in ((self.user, "<user>"), (self.host, "<host>")):
            # Only as one whole part of a path or an address: a user may be called `cuda`.
            if len(name) > 1 and name not in ("root", "localhost"):
                part = rf"(?<=[/@]){re.escape(name)}(?=[/:.@]|$)"
                value = re.sub(part, mark, value)
        return value


def redactor_of(environ: Mapping[str, str]) -> Redactor:
    """The redactor for this user on this host."""
    user = environ.get("USER") or environ.get("LOGNAME") or ""
    home = environ.get("HOME", "")
    try:
        home = home or str(PurePosixPath(os.path.expanduser("~")))  # noqa: PTH111
        host = os.uname().nodename
    except (OSError, AttributeError, RuntimeError):
        host = ""
    return Redactor(home=home if home.startswith("/") else "", user=user, host=host)


def is_secret_name(variable: str) -> bool:
    """Whether a variable of this name is never stored, whatever it holds."""
    return bool(_SECRET_NAME.search(variable))


def _printable(value: str) -> str:
    """Without control characters and the lone surrogates of undecodable bytes."""
    value = value.encode("utf-8", "replace").decode("utf-8")
    return "".join(" " if ord(char) < 32 or 127 <= ord(char) < 160 else char for char in value)
