"""`explain`: a rule, a backend, a class, or the index of all."""

from __future__ import annotations

import json

import pytest

from moe_doctor.cli.main import main


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("MOE412", "# MOE412 lora-changes-backend\n"),
        ("lora-changes-backend", "# MOE412 lora-changes-backend\n"),
        ("triton", "triton: a value of --moe-backend in vLLM 0.17.0 - 0.33.0\n"),
        ("Batched-Triton", "batched_triton: a value of --moe-backend in vLLM 0.27.0 - 0.33.0\n"),
        ("TritonExperts", "TritonExperts: a kernel's class, no value of --moe-backend\n"),
        (
            "DEEPGEMM",
            "deepgemm: the engine's name of a backend; --moe-backend deep_gemm asks for it\n",
        ),
    ],
)
def test_a_name_has_one_page(capsys: pytest.CaptureFixture[str], name: str, start: str) -> None:
    assert main(["explain", name]) == 0
    assert capsys.readouterr().out.startswith(start)


def test_a_rules_page_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["explain", "MOE509"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 60 for line in lines if not line.startswith("- "))
    assert "## What to do" in lines


def test_without_a_name_every_rule_and_backend_is_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "moe-doctor.explain/1"
    assert {"MOE101", "MOE421"} <= {rule["code"] for rule in document["rules"]}
    assert {"triton", "flashinfer_cutlass"} <= set(document["names"])


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("explain MOE419", "unknown rule or backend 'MOE419'", "nearest: MOE4"),
        (
            "explain flashinfer_cutlas",
            "unknown rule or backend 'flashinfer_cutlas'",
            "nearest: flashinfer_cutlass",
        ),
        ("explain @@@", "unknown rule or backend '@@@'", "moe-doctor explain lists every rule"),
        ("explain triton --format junit", "--format is 'junit'; expected text, json or", ""),
    ],
)
def test_an_unknown_name_names_the_nearest_of_both_kinds(
    capsys: pytest.CaptureFixture[str], line: str, message: str, hint: str
) -> None:
    assert main(line.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"error: {message}")
    if hint:
        assert lines[1].startswith(f"hint: {hint}")
