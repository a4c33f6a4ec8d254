"""Codes are unique, ordered, findable, and every one of them can be raised."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from moe_doctor.core.errors import UnknownNameError
from moe_doctor.core.findings import Severity
from moe_doctor.rules import deployment, lora, machine, model, proof, selection
from moe_doctor.rules.catalog import RULES, find_rule, page

ROOT = Path(__file__).resolve().parents[2]


def test_a_rule_is_found_by_code_number_and_name() -> None:
    for text in ("MOE412", "moe412", " 412 ", "lora-changes-backend", "LoRA-Changes-Backend"):
        assert find_rule(text).code == "MOE412"


def test_an_unknown_code_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_rule("MOE413")
    assert "MOE412" in caught.value.nearest


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_rule("lora-change-backend")
    assert caught.value.nearest[0] == "lora-changes-backend"


def test_the_page_says_what_why_and_what_to_do() -> None:
    text = page("MOE501")
    assert text.startswith("# MOE501 lora-crash\n\nerror, since 0.1.0, stable\n")
    assert "## Why" in text
    assert "## What to do" in text
    assert "https://github.com/vllm-project/vllm/pull/40273" in text


def test_codes_are_moe_and_three_digits_and_names_are_kebab_case() -> None:
    for code, rule in RULES.items():
        assert code == rule.code
        assert code[:3] == "MOE"
        assert code[3:].isdecimal()
        assert len(code) == 6
        assert rule.name == rule.name.lower()
        assert " " not in rule.name
        assert isinstance(rule.severity, Severity)
        assert rule.summary.endswith(".")


def test_every_rule_is_raised_by_some_check() -> None:
    raised = set()
    for path in (ROOT / "moe_doctor" / "checks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.isupper():
                raised.add(node.attr)
    rooms = (deployment, lora, machine, model, proof, selection)
    declared = {
        name for room in rooms for name, value in vars(room).items() if value in RULES.values()
    }
    assert declared - raised == set()
