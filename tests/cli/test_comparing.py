"""`diff` and `matrix` on the command line: what is asked, and how it ends."""

from __future__ import annotations

import json

import pytest

from moe_doctor.cli.main import main
from moe_doctor.core.deployment import Deployment
from tests.cli.fake_doctor import FakeDoctor, FakeSurvey


def test_diff_asks_for_both_releases(doctor: FakeDoctor, survey: FakeSurvey) -> None:
    line = "diff m --from vllm@0.19.1 --to vllm@0.20.0 --gpu h100 -tp 2 --lora"
    assert main(line.split()) == 0
    assert survey.named == [("vllm@0.19.1", "vllm@0.20.0")]
    (request,) = doctor.requests
    assert request.deployment == Deployment(tensor_parallel_size=2)
    assert (request.command, request.model, request.lora) == ("diff", "m", True)
    assert request.machine.gpu == "h100"


def test_the_image_of_a_pasted_line_is_where_an_upgrade_starts(survey: FakeSurvey) -> None:
    line = "diff --to vllm@0.33.0 -- docker run vllm/vllm-openai:v0.20.0 --model m -tp 8"
    assert main(line.split()) == 0
    assert survey.named == [("vllm@0.20.0", "vllm@0.33.0")]


def test_matrix_takes_any_number_of_models_releases_and_gpus(
    doctor: FakeDoctor, survey: FakeSurvey
) -> None:
    line = (
        "matrix m n --engine vllm@0.19.1 --engine vllm@0.20.0 --gpu h100 --gpu b200 --without all"
    )
    assert main(line.split()) == 0
    assert survey.named == [(("m", "n"), ("vllm@0.19.1", "vllm@0.20.0"), ("h100", "b200"))]
    assert doctor.requests[0].machine.without_packages == ("all",)
    assert main(["matrix"]) == 0
    assert survey.named[1] == ((), (), ())


@pytest.mark.parametrize(("command", "schema"), [("diff", "diff"), ("matrix", "matrix")])
def test_json_has_a_schema_of_its_own(
    survey: FakeSurvey, capsys: pytest.CaptureFixture[str], command: str, schema: str
) -> None:
    assert main([command, "m", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == f"moe-doctor.{schema}/1"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("diff", "diff needs a MODEL"),
        ("diff m --quiet -v", "--quiet and --verbose exclude each other"),
        ("matrix --format github", "--format is 'github'; expected text, json or markdown"),
        ("matrix --format junit", "--format is 'junit'; expected text, json or markdown"),
        ("matrix --env X", "--env is 'X'; expected NAME=VALUE"),
        ("matrix --capability 9.0", "unknown option '--capability'"),
    ],
)
def test_a_bad_line_is_one_error_and_exit_2(
    survey: FakeSurvey, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert main(line.split()) == 2
    assert survey.named == []
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_the_exit_code_is_the_comparisons(survey: FakeSurvey) -> None:
    from tests.render.comparisons import BREAKS

    survey.run_diff = lambda *_: BREAKS  # type: ignore[method-assign]
    assert main(["diff", "m", "--format", "junit"]) == 1
