"""Every rule by code and by name: what `explain` prints and what findings are made from."""

from __future__ import annotations

from collections.abc import Mapping

from moe_doctor.core.errors import UnknownNameError, nearest_names
from moe_doctor.rules import deployment, live, lora, machine, model, proof, selection
from moe_doctor.rules.rule import Rule


def _index() -> dict[str, Rule]:
    rooms = (machine, model, selection, live, lora, proof, deployment)
    rules = sorted((rule for room in rooms for rule in room.RULES), key=lambda rule: rule.code)
    table = {rule.code: rule for rule in rules}
    if len(table) != len(rules) or len({rule.name for rule in rules}) != len(rules):
        raise ValueError("a code or a name stands in the catalogue twice")
    return table


RULES: Mapping[str, Rule] = _index()


def find_rule(text: str) -> Rule:
    """The rule of a code (`MOE412`, `moe412`, `412`) or a name (`lora-changes-backend`).

    Raises UnknownNameError with the nearest codes and names.
    """
    wanted = text.strip()
    code = wanted.upper()
    if code.isdecimal():
        code = f"MOE{code}"
    if code in RULES:
        return RULES[code]
    by_name = {rule.name: rule for rule in RULES.values()}
    if wanted.lower() in by_name:
        return by_name[wanted.lower()]
    near = (
        _near_numbers(code)
        or nearest_names(code, RULES, 3)
        or nearest_names(wanted.lower(), by_name, 3, 0.4)
    )
    raise UnknownNameError("rule", wanted, tuple(near), "" if near else "moe-doctor explain")


def _near_numbers(code: str) -> list[str]:
    """The three codes nearest in number, for a code that no rule has."""
    number = code.removeprefix("MOE")
    if number == code or not number.isdecimal() or len(number) != 3:
        return []
    return sorted(RULES, key=lambda each: (abs(int(each[3:]) - int(number)), each))[:3]


def page(code: str) -> str:
    """A rule's page as markdown; raises UnknownNameError."""
    return find_rule(code).page()
