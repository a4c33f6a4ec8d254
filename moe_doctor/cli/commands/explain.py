"""`moe-doctor explain CODE`: a rule's page, or a backend's."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from moe_doctor.cli.console import Progress
from moe_doctor.cli.options import PageOptions, RuleTarget
from moe_doctor.cli.output import Answered, deliver
from moe_doctor.core.errors import UnknownNameError, nearest_names

if TYPE_CHECKING:
    from moe_doctor.render.explain import Explanation


def explain(target: RuleTarget, report: PageOptions) -> None:
    """What a finding's code means; or what a backend or a kernel takes, release by release.

    moe-doctor explain MOE412; moe-doctor explain flashinfer_cutlass
    """

    def ask(_: Progress) -> Answered:
        from moe_doctor.render.explain import render_explanation

        found = _index() if target.code is None else _page(target.code)
        return Answered(lambda layout: render_explanation(found, report.format, layout), 0)

    deliver(ask, report)


def _page(text: str) -> Explanation:
    """The one page of a name; raises UnknownNameError with the nearest of both kinds."""
    from moe_doctor.render.explain import Explanation
    from moe_doctor.rules.catalog import RULES, find_rule

    with suppress(UnknownNameError):
        return Explanation(rules=(find_rule(text),))
    from moe_doctor.oracle.support import backend_page, kernel_names, option_names

    with suppress(UnknownNameError):
        return Explanation(backends=(backend_page(text),))
    names = [*RULES, *(rule.name for rule in RULES.values()), *option_names(), *kernel_names()]
    folded = {name.lower(): name for name in names}
    near = tuple(folded[one] for one in nearest_names(text.strip().lower()[:64], folded, 3))
    hint = "" if near else "moe-doctor explain lists every rule and backend"
    raise UnknownNameError("rule or backend", text.strip()[:80], near, hint)


def _index() -> Explanation:
    from moe_doctor.oracle.support import option_names
    from moe_doctor.render.explain import Explanation
    from moe_doctor.rules.catalog import RULES

    return Explanation(rules=tuple(RULES.values()), names=option_names())
