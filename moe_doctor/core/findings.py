"""A finding: what the doctor noticed, how bad it is, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.record import field, record


class Severity(Enum):
    """How bad a finding is; the order is from worst to mildest."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return _RANK[self]


_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Remediation(NamedTuple):
    """What to do about a finding."""

    text: str
    """One sentence."""
    commands: tuple[str, ...] = ()
    """Paste-ready shell commands, best first."""


@record
class Finding:
    """One thing worth telling, with its code from the rule catalogue."""

    code: str
    """`MOE` and three digits; append-only."""
    name: str
    """Kebab-case name of the rule."""
    severity: Severity
    """What `--fail-on` compares with."""
    message: str
    """What was seen, with the numbers of this model and this machine."""
    remediation: Remediation | None = None
    """What to do; None when nothing needs doing."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """The facts behind the message, JSON values only."""
    links: tuple[str, ...] = ()
    """Public threads and pages that show the same thing."""
    status: str = "stable"
    """`stable` or `preview`: whether the rule may still change."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form, as in the contract."""
        remedy = self.remediation
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity.value,
            "status": self.status,
            "message": self.message,
            "remediation": None
            if remedy is None
            else {"text": remedy.text, "commands": list(remedy.commands)},
            "evidence": dict(self.evidence),
            "links": list(self.links),
        }
