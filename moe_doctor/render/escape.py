"""Strings of users, hubs and drivers made harmless before they are shown.

A report holds text that moe-doctor did not write: model names, exception messages, device names.
None of it may move a cursor, break a table, or start a command of the program that reads it.
"""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, bidirectional overrides, line and paragraph separators, byte-order
# marks, lone surrogates and the two non-characters that XML 1.0 forbids.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff"
    "\ud800-\udfff\ufffe\uffff]"
)
_SPACES = re.compile(r"[ \t\r\n\f\v]+")


def visible(text: str) -> str:
    """Every unsafe character as a visible escape such as `\\x1b`."""
    return _UNSAFE.sub(_escape, text)


def one_line(text: str) -> str:
    """Safe text on one line: runs of white space become one space."""
    return visible(_SPACES.sub(" ", text).strip())


def github_message(text: str) -> str:
    """Text for the message of a workflow command (actions/toolkit core/src/command.ts)."""
    safe = "\n".join(visible(line) for line in text.splitlines())
    return safe.replace("%", "%25").replace("\n", "%0A")


def github_property(text: str) -> str:
    """Text for a property of a workflow command, where `:` and `,` separate."""
    return github_message(one_line(text)).replace(":", "%3A").replace(",", "%2C")


def markdown_cell(text: str) -> str:
    """Text inside a Markdown table: no pipe, no markup, no HTML."""
    return re.sub(r"([\\`*_{}\[\]<>|~#!@])", r"\\\1", one_line(text))


def markdown_code(text: str) -> str:
    """Text as a code span that works inside a table, whatever backticks it holds."""
    safe = one_line(text).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", safe)), default=0) + 1)
    pad = " " if safe.startswith("`") or safe.endswith("`") else ""
    return f"{fence}{pad}{safe}{pad}{fence}" if safe else ""


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
