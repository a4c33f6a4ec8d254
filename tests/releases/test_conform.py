"""Fresh questions to a real release; the harness is asked where MOE_DOCTOR_TRUTH names it."""

from __future__ import annotations

from collections import Counter

import pytest

from moe_doctor.oracle.engines.vllm.releases import NEWEST
from tests.releases.conform import CannotAskError, conform, differences, main, truth_folder
from tests.releases.questions import ASKED, SURROUNDINGS, Surroundings, questions


def test_questions_cover_every_oracle_and_every_kind_of_deployment() -> None:
    asked = questions("a seed", 2200, "cuda")
    assert {one["oracle"] for one in asked} == set(ASKED)
    assert min(Counter(one["oracle"] for one in asked).values()) >= 180
    for name in ("lora", "enable_eplb", "moe_backend", "all2all_backend", "env", "swiglu_limit"):
        assert any(name in one for one in asked), name
    assert {one.platform for one in SURROUNDINGS} == {"cuda", "rocm", "xpu", "cpu"}


def test_the_same_seed_asks_the_same() -> None:
    assert questions("1", 50, "rocm") == questions("1", 50, "rocm")
    assert questions("1", 50, "rocm") != questions("2", 50, "rocm")


def test_an_answer_that_differs_is_found() -> None:
    asked = {
        **{"oracle": "unquantized", "num_experts": 8, "top_k": 2, "hidden_size": 4096},
        **{"intermediate_size": 14336, "tp": 1, "dp": 1, "use_ep": False, "activation": "silu"},
        **{"routing_method": "Renormalize", "in_dtype": "bfloat16"},
    }
    record = {"v": "0.19.1", "cap": "9.0", "pk": "docker", "q": asked, "visited": []}
    assert differences(record | {"backend": "TRITON", "kernel": None}) == []
    assert differences(record | {"backend": "MARLIN", "kernel": None}) != []


def test_betas_of_an_activation_are_part_of_the_question() -> None:
    asked = {
        **{"oracle": "nvfp4", "num_experts": 8, "top_k": 2, "hidden_size": 4096},
        **{"intermediate_size": 14336, "tp": 1, "dp": 1, "use_ep": False, "activation": "situ"},
        **{"routing_method": "Renormalize", "in_dtype": "bfloat16", "moe_backend": "b12x"},
        **{"weight_key": "kNvfp4Static", "activation_key": "kNvfp4Dynamic"},
    }
    head = "ValueError: NvFp4 MoE backend 'B12X' does not support the deployment configuration"
    for betas, reason in (
        ((4.0, 25.0), "kernel does not support current device cpu"),
        ((1.0, 0.0), "kernel supports only SiTU beta=4 and linear_beta=25"),
    ):
        question = asked | dict(zip(("situ_beta", "situ_linear_beta"), betas, strict=True))
        record = {"v": "0.33.0", "platform": "cpu", "cap": "0.0", "pk": "none", "q": question}
        assert differences(record | {"exc": f"{head} since {reason}."}) == []


def test_without_the_harness_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MOE_DOCTOR_TRUTH", raising=False)
    assert main(["--release", "0.33.0"]) == 3
    assert "MOE_DOCTOR_TRUTH is not set" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "place", [Surroundings("cuda", "10.0", "docker"), Surroundings("rocm", "gfx950", "docker_rocm")]
)
def test_the_newest_release_answers_fresh_questions_as_our_tables_do(place: Surroundings) -> None:
    try:
        folder = truth_folder()
    except CannotAskError as missing:
        pytest.skip(str(missing))
    tallies, differ, _ = conform(folder, NEWEST.version, 1100, "fresh", [place])
    assert sum(one.total for one in tallies) > 700
    assert differ == []
