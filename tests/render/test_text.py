from __future__ import annotations

import re
from dataclasses import replace

import pytest

from moe_doctor.core.report import Report
from moe_doctor.core.selection import Candidate
from moe_doctor.render import Layout, render
from tests.render.reports import BAD_PROOFS, CHECK, ENV, HOSTILE, PROVED, REFUSED, REPORTS, SCHEMES


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
def test_no_fact_is_lost_at_any_width(name: str, width: int) -> None:
    def facts(text: str) -> str:
        return re.sub(r"\s+", "", text)

    report = REPORTS[name]
    narrow = facts(render(report, "text", Layout(width=width)))
    reasons = [each.reason for selection in report.selections for each in selection.trace]
    names = [selection.backend or "" for selection in report.selections]
    for fact in (*reasons, *names) if name != "hostile" else ():
        assert facts(fact) in narrow or "not asked" in render(report, "text")
    for finding in report.findings if name != "hostile" else ():
        assert facts(finding.message) in narrow


@pytest.mark.parametrize("width", [20, 40, 80, 100])
def test_only_commands_may_be_wider_than_the_terminal(width: int) -> None:
    report = replace(CHECK, findings=())
    lines = render(report, "text", Layout(width=width, verbose=True)).splitlines()
    assert [line for line in lines if len(line) > width] == []


def test_commands_are_never_wrapped() -> None:
    text = render(REFUSED, "text", Layout(width=20))
    assert "\n    unset VLLM_USE_FLASHINFER_MOE_FP16\n" in text


@pytest.mark.parametrize("form", ["text", "github", "junit", "markdown"])
def test_hostile_strings_send_no_control_character(form: str) -> None:
    text = render(HOSTILE, form)
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", text) == []


def test_a_hostile_model_name_starts_no_workflow_command_in_text() -> None:
    for width in (20, 40, 100):
        lines = render(HOSTILE, "text", Layout(width=width)).splitlines()
        assert [line for line in lines if line.lstrip().startswith(("::", "##["))] == []


def test_colours_change_nothing_but_colours() -> None:
    for report in (CHECK, HOSTILE):
        plain = render(report, "text", Layout(width=100))
        colored = render(report, "text", Layout(width=100, color=True))
        assert colored != plain
        assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_markup_of_others_is_shown_and_not_obeyed() -> None:
    assert "[bold]x[/bold]" in render(HOSTILE, "text", Layout(width=200, color=True))


def test_quiet_keeps_the_answer_the_warnings_and_the_verdict() -> None:
    text = render(CHECK, "text", Layout(quiet=True))
    assert "FlashInfer CUTLASS" in text
    assert "MOE412" in text
    assert "MOE803" not in text
    assert "Why" not in text
    assert text.endswith("usable, with 1 warning (3.8 s)\n")


def test_text_is_ascii_when_the_report_is() -> None:
    for name, report in REPORTS.items():
        text = render(report, "text", Layout(verbose=True))
        assert text.isascii(), name


def test_a_nan_among_the_errors_is_never_hidden() -> None:
    assert "worst error NaN" in render(BAD_PROOFS, "text", Layout(width=200))


@pytest.mark.parametrize(
    ("report", "verdict"),
    [
        (CHECK, "usable, with 1 warning"),
        (SCHEMES, "usable by the engine's rules; not proved on a GPU"),
        (REFUSED, "not usable as asked: 1 error"),
        (replace(SCHEMES, inconclusive="no GPU"), "inconclusive: no GPU"),
        (
            replace(SCHEMES, selections=SCHEMES.selections[2:]),
            "not judged: these tables do not answer for this model",
        ),
    ],
)
def test_the_last_line_says_the_verdict_in_words(report: Report, verdict: str) -> None:
    assert render(report, "text").splitlines()[-1] == f"{verdict} ({report.elapsed_s:.1f} s)"


def test_kernels_turned_down_with_the_same_words_are_told_once() -> None:
    chosen = CHECK.selections[0]
    twins = tuple(Candidate("AITER", kernel, False, "needs rocm") for kernel in ("One", "Two"))
    report = replace(CHECK, selections=(replace(chosen, trace=(*twins, *chosen.trace)),))
    assert render(report, "text", Layout(100)).count("needs rocm") == 1
    verbose = render(report, "text", Layout(100, verbose=True))
    assert "AITER (One)" in verbose
    assert "AITER (Two)" in verbose


def test_kernels_of_one_backend_that_differ_are_named() -> None:
    chosen = CHECK.selections[0]
    twins = tuple(Candidate("AITER", kernel, False, f"no {kernel}") for kernel in ("One", "Two"))
    report = replace(CHECK, selections=(replace(chosen, trace=(*twins, *chosen.trace)),))
    text = render(report, "text", Layout(100))
    assert "AITER (One)" in text
    assert "AITER (Two)" in text


def test_the_proofs_are_the_answer_of_prove_and_the_machine_that_of_env_also_when_quiet() -> None:
    quiet = Layout(width=100, quiet=True)
    proved = render(BAD_PROOFS, "text", quiet)
    assert proved.startswith("Proof")
    assert "vLLM" not in proved.splitlines()[0]
    assert render(ENV, "text", quiet).startswith("platform")


def test_the_verdict_of_prove_says_what_passed_and_where() -> None:
    passed = replace(BAD_PROOFS, proofs=PROVED, findings=())
    assert f"ok: {len(PROVED)} of {len(PROVED)} proofs passed" in render(passed, "text")
    assert "on a GPU" not in render(passed, "text").splitlines()[-1]
    here = tuple(replace(proof, mode="cpu") for proof in PROVED)
    assert "passed, none on a GPU" in render(replace(passed, proofs=here), "text")


def test_a_proof_of_what_the_engine_did_not_choose_says_so() -> None:
    text = render(REFUSED, "text")
    assert REFUSED.proofs == ()
    assert "not the engine's choice" not in text
    also = replace(REFUSED, proofs=PROVED[1:])
    assert "not the engine's choice: run for what cannot be proved here" in " ".join(
        render(also, "text").split()
    )
