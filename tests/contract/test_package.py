from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
CORE = [Requirement(each) for each in PROJECT["dependencies"]]
EXTRAS = {
    name: [Requirement(each) for each in requirements]
    for name, requirements in PROJECT["optional-dependencies"].items()
}

# Requires-Dist of the two wheels: exact pins, and for huggingface-hub the smallest one allowed.
PINS_0_20_0 = {"torch": "2.11.0", "flashinfer-python": "0.6.8.post1"}
PINS_0_33_0 = {
    "torch": "2.14.0",
    "flashinfer-python": "0.7.2.post1",
    "huggingface-hub": "1.31.0",
}


@pytest.mark.parametrize("pins", [PINS_0_20_0, PINS_0_33_0], ids=["0.20.0", "0.33.0"])
def test_what_vllm_pins_satisfies_us(pins: dict[str, str]) -> None:
    ours = [*CORE, *EXTRAS["kernels"], *EXTRAS["flashinfer"]]
    for requirement in ours:
        version = pins.get(canonicalize_name(requirement.name))
        if version is not None:
            assert requirement.specifier.contains(version, prereleases=True), str(requirement)
    assert {canonicalize_name(each.name) for each in ours} >= set(pins)


def test_nothing_has_an_upper_bound() -> None:
    for requirement in (*CORE, *EXTRAS["kernels"], *EXTRAS["flashinfer"]):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators <= {">="}, str(requirement)


def test_the_core_is_light() -> None:
    assert {each.name for each in CORE} == {
        "typer",
        "rich",
        "huggingface-hub",
        "nvidia-ml-py",
        "tomli",
    }
    assert {each.name for each in EXTRAS["kernels"]} == {"torch", "triton", "numpy"}


def test_the_top_level_holds_what_it_should() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    import subprocess

    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert top <= {
        "pyproject.toml",
        "moe_doctor",
        "tests",
        "README.md",
        "completions",
        "LICENSE",
        ".gitignore",
        ".ci",
    }


def test_no_file_names_a_machine_or_a_registry() -> None:
    # What this very machine would leak: where the checkout, the home and the interpreter are.
    places = {str(ROOT), str(Path.home()), sys.prefix, sys.base_prefix} - {"/", "/usr", "/root"}
    forbidden = re.compile(
        "|".join(map(re.escape, sorted(places))) + r"|--(?:extra-)?index-url|--find-links|/simple/"
    )
    found = []
    for folder in ("moe_doctor", "tests", "completions", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if (
                path.is_file()
                and path.suffix not in {".pyc", ".xz", ".gz"}
                and path != Path(__file__)
            ):
                text = path.read_text(encoding="utf-8", errors="replace")
                found += [
                    f"{path.relative_to(ROOT)}: {each[0]}" for each in forbidden.finditer(text)
                ]
    for name in ("README.md", "pyproject.toml"):
        found += [each[0] for each in forbidden.finditer((ROOT / name).read_text(encoding="utf-8"))]
    assert found == []


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == "Apache-2.0"


def test_data_files_are_inside_the_package() -> None:
    assert (ROOT / "moe_doctor" / "report.schema.json").is_file()
    assert (ROOT / "moe_doctor" / "py.typed").is_file()
