"""One entry of the catalogue."""

from __future__ import annotations

from moe_doctor.core.findings import Finding, Remediation, Severity
from moe_doctor.core.record import record
from moe_doctor.core.release import Span


@record
class Rule:
    """A code and everything that can be said about it without a machine."""

    code: str
    """`MOE` and three digits; never reused."""
    name: str
    """Kebab-case."""
    severity: Severity
    """How bad it is."""
    summary: str
    """One sentence: what was noticed."""
    why: str
    """Why it matters and where it comes from."""
    remediation: str
    """What to do, one sentence."""
    since: str = "0.1.0"
    """First moe-doctor release that has it."""
    status: str = "stable"
    """`stable` or `preview`."""
    links: tuple[str, ...] = ()
    """Public threads and pages."""
    vllm: Span = Span()
    """Releases of vLLM that have the defect, where the rule is about one; else open."""

    def finding(
        self,
        message: str,
        *,
        commands: tuple[str, ...] = (),
        evidence: dict[str, object] | None = None,
        remedy: str = "",
    ) -> Finding:
        """A finding of this rule: `message` carries the numbers, `remedy` sharpens the advice."""
        text = remedy or self.remediation
        return Finding(
            code=self.code,
            name=self.name,
            severity=self.severity,
            message=message,
            remediation=Remediation(text, commands) if text or commands else None,
            evidence=dict(evidence or {}),
            links=self.links,
            status=self.status,
        )

    def to_dict(self) -> dict[str, object]:
        """JSON form."""
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity.value,
            "summary": self.summary,
            "why": self.why,
            "remediation": self.remediation,
            "since": self.since,
            "status": self.status,
            "links": list(self.links),
        }

    def page(self) -> str:
        """The rule as a markdown page."""
        lines = [
            f"# {self.code} {self.name}",
            "",
            f"{self.severity.value}, since {self.since}, {self.status}",
            "",
            self.summary,
            "",
            "## Why",
            "",
            self.why,
            "",
            "## What to do",
            "",
            self.remediation or "Nothing: it is there so that the answer can be read rightly.",
        ]
        if self.links:
            lines += ["", "## Seen in", "", *(f"- {link}" for link in self.links)]
        return "\n".join(lines) + "\n"
