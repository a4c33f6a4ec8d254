"""The pipeline from outside: the Python API on catalogue models and simulated machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import moe_doctor
from moe_doctor.core.errors import (
    ModelError,
    ModelNotFoundError,
    NotMoEError,
    UnknownNameError,
    UsageError,
)
from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.report import Report
from moe_doctor.render import render

NEMOTRON = "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"
OWN_DRAFT = {"method": "mtp", "num_speculative_tokens": 1}


def select(model: str | None = NEMOTRON, **options: Any) -> Report:
    return moe_doctor.select(model, offline=True, **options)


def chosen(report: Report) -> list[tuple[bool, str | None, str | None]]:
    return [(one.lora, one.backend, one.runs) for one in report.selections]


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize(
    ("engine", "answer"),
    [
        ("vllm@0.19.1", [(False, "TRITON", "TritonExperts"), (True, "TRITON", "TritonExperts")]),
        (
            "vllm@0.20.0",
            [
                (False, "FlashInfer CUTLASS", "FlashInferExperts"),
                (True, "TRITON", "TritonExperts"),
            ],
        ),
        ("vllm@0.33.0", [(False, "TRITON", "TritonExperts"), (True, "TRITON", "TritonExperts")]),
    ],
)
def test_the_founding_story(engine: str, answer: list[tuple[bool, str | None, str | None]]) -> None:
    assert chosen(select(engine=engine, gpu="h100")) == answer


def test_lora_names_one_answer_and_none_names_both() -> None:
    assert [one.lora for one in select(gpu="h100").selections] == [False, True]
    assert [one.lora for one in select(gpu="h100", lora=True).selections] == [True]
    assert [one.lora for one in select(gpu="h100", lora=False).selections] == [False]


def test_the_report_says_who_answered() -> None:
    report = select(gpu="h100", engine="vllm@0.20.0").to_dict()
    assert report["model"]["source"] == "catalogue"
    assert report["engine"] == {"name": "vllm", "version": "0.20.0", "source": "table"}
    assert report["machine"]["simulated"] is True
    assert report["machine"]["packages"]["flashinfer-python"] == "0.6.8.post1"


def test_options_have_the_names_of_the_command_line() -> None:
    report = select(
        gpu="h100",
        tensor_parallel_size=8,
        enable_expert_parallel=True,
        env={"VLLM_USE_FLASHINFER_MOE_FP16": "1"},
        engine="vllm@0.19.1",
        without="triton-kernels",
    )
    assert report.deployment.tensor_parallel_size == 8
    assert report.deployment.expert_parallel
    assert "MOE501" in codes(report)
    assert report.exit_code == 1


def test_a_draft_left_unquantized_takes_a_backend_of_its_own() -> None:
    """NVIDIA's NVFP4 DeepSeek keeps layer 61 in bf16; the server drafts with it on request."""
    model = "nvidia/DeepSeek-V3.1-NVFP4"
    options = {"engine": "vllm@0.33.0", "gpu": "b200", "lora": False, "tensor_parallel_size": 8}
    plain = select(model, **options)
    assert [one.oracle for one in plain.selections] == ["nvfp4"]
    drafting = select(model, **options, speculative_config=OWN_DRAFT)
    assert [(one.oracle, one.backend) for one in drafting.selections] == [
        ("nvfp4", "FLASHINFER_TRTLLM"),
        ("unquantized", "FlashInfer TRTLLM"),
    ]
    assert "layer 61 (draft): 1 MoE layer" in render(drafting, "text")
    assert "(draft)" not in render(plain, "text")


def test_an_unknown_option_is_a_usage_error_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown option 'tensor_paralel_size'") as caught:
        select(tensor_paralel_size=8)
    assert "tensor_parallel_size" in caught.value.hint


def test_without_the_kernel_packages_triton_is_left() -> None:
    assert chosen(select(gpu="h100", engine="vllm@0.20.0", without="all"))[0][1] == "TRITON"


def test_a_dense_model_is_one_sentence() -> None:
    with pytest.raises(NotMoEError, match="dense model"):
        select("Qwen/Qwen3-32B", gpu="h100")


def test_an_unknown_release_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        select(gpu="h100", engine="vllm@0.34.0")
    assert caught.value.nearest[0] == "0.33.0"


def test_an_unknown_engine_names_the_known() -> None:
    with pytest.raises(UnknownNameError) as caught:
        select(gpu="h100", engine="vlm")
    assert "vllm" in caught.value.hint


def test_no_such_path_is_no_model() -> None:
    with pytest.raises(ModelNotFoundError):
        select("./no/such/folder")


def test_without_a_model_every_scheme_has_a_row() -> None:
    report = select(None, gpu="b200", lora=False)
    assert report.selections[0].oracle == "unquantized"
    assert report.selections[0].backend == "FlashInfer TRTLLM"
    assert [(one.oracle, one.backend) for one in report.selections[1:]] == [
        ("fp8", "FLASHINFER_TRTLLM"),
        ("nvfp4", "FLASHINFER_TRTLLM"),
        ("mxfp4", "FLASHINFER_TRTLLM_MXFP4_BF16"),
        ("mxfp8", "FLASHINFER_TRTLLM"),
        ("int8", "TRITON"),
        ("int_wna16", "MARLIN"),
        ("w4a8", None),
        ("w4a8_int8", None),
    ]
    # What one scheme lacks on a machine is no fault of the machine.
    assert report.exit_code == 0


def test_level_1_asks_no_oracle() -> None:
    report = moe_doctor.check(NEMOTRON, offline=True, gpu="h100", level=1)
    assert report.selections == ()
    assert report.proofs == ()


FakeProve = Callable[..., tuple[Proof, ...]]


def fake_prove(outcomes: dict[str, ProofOutcome], calls: list[tuple[str, Any]]) -> FakeProve:
    def prove(spec: object, *, backend_option: str, lora: Any, **more: Any) -> tuple[Proof, ...]:
        calls.append((backend_option, lora))
        return tuple(
            Proof(backend_option, "fake", one, "cpu", "interpreter", outcomes[backend_option], "r")
            for one in lora
        )

    return prove


def test_where_a_chosen_backend_is_skipped_triton_is_proved_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[str, Any]] = []
    outcomes = {
        "flashinfer_cutlass": ProofOutcome.SKIPPED,
        "triton": ProofOutcome.PASSED,
    }
    monkeypatch.setattr("moe_doctor.proof.prove.prove", fake_prove(outcomes, calls))
    report = moe_doctor.check(NEMOTRON, offline=True, gpu="h100", engine="vllm@0.20.0")
    assert calls == [("flashinfer_cutlass", (False,)), ("triton", (False, True))]
    assert {"MOE604", "MOE605"} <= set(codes(report))
    assert report.exit_code == 0


def test_a_failed_proof_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = {"triton": ProofOutcome.FAILED}
    monkeypatch.setattr("moe_doctor.proof.prove.prove", fake_prove(outcomes, []))
    report = moe_doctor.check(NEMOTRON, offline=True, gpu="h100")
    assert "MOE601" in codes(report)
    assert report.verdict == "fail"


def test_a_required_proof_that_is_no_gpus_is_inconclusive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = {"triton": ProofOutcome.PASSED}
    monkeypatch.setattr("moe_doctor.proof.prove.prove", fake_prove(outcomes, []))
    report = moe_doctor.check(NEMOTRON, offline=True, gpu="h100", require_proof=True)
    assert report.exit_code == 3
    assert report.verdict == "inconclusive"


def test_an_unknown_backend_to_prove_is_a_usage_error() -> None:
    with pytest.raises(UnknownNameError) as caught:
        moe_doctor.prove(NEMOTRON, backend="tritn", offline=True)
    assert caught.value.nearest[0] == "triton"


def test_a_backend_that_was_asked_for_and_cannot_run_is_inconclusive() -> None:
    report = moe_doctor.prove(NEMOTRON, backend="deep_gemm", offline=True)
    assert report.exit_code == 3
    assert "deep_gemm was asked for and not run" in report.inconclusive
    assert report.selections == ()


def test_proofs_none_of_which_can_run_are_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    skipped = Proof("triton", "", False, "cpu", "gpu", ProofOutcome.SKIPPED, "torch is absent")
    monkeypatch.setattr("moe_doctor.proof.schedule.run_jobs", lambda *_, **__: (skipped,))
    report = moe_doctor.prove(NEMOTRON, offline=True)
    assert report.exit_code == 3
    assert report.inconclusive == "nothing could be proved: torch is absent"


def test_a_proof_that_was_asked_for_and_took_too_long_is_inconclusive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = ProofOutcome.TIMED_OUT
    monkeypatch.setattr("moe_doctor.proof.prove.prove", fake_prove({"triton": late}, []))
    report = moe_doctor.prove(NEMOTRON, backend="triton", offline=True)
    assert (report.exit_code, report.verdict) == (3, "inconclusive")
    assert report.inconclusive == "triton was asked for and not proved: r"


def test_a_slip_in_a_nested_option_is_a_usage_error() -> None:
    with pytest.raises(UnknownNameError, match="--speculative-config method 'eagel'") as caught:
        select(speculative_config={"method": "eagel"})
    assert caught.value.nearest[0] == "eagle"
    with pytest.raises(UsageError, match="eplb_config has no key 'redundant'"):
        select(eplb_config={"redundant": 2})


def test_overrides_that_take_the_experts_away_are_named(tmp_path: Path) -> None:
    config = {"model_type": "qwen3_moe", "num_hidden_layers": 2, "hidden_size": 2048}
    config |= {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 768}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert select(str(tmp_path), gpu="h100").selections
    with pytest.raises(NotMoEError, match="with --hf-overrides laid over its config is a dense"):
        select(str(tmp_path), gpu="h100", hf_overrides={"num_experts": 0})


def test_a_folder_named_config_json_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ModelError, match="is a directory; expected a JSON file"):
        select(str(tmp_path))


@pytest.mark.parametrize("name", ["x" * 5000, "a\x00b", "", "../" * 2000])
def test_a_name_that_no_file_can_have_is_no_defect(name: str) -> None:
    with pytest.raises(ModelNotFoundError):
        moe_doctor.select(name, gpu="h100", offline=True)


@pytest.mark.parametrize("engine", ["0.20.0", "v0.20", "vllm==0.20.0", "vllm-0.20.0+cu129"])
def test_a_release_without_its_engine_is_told_how_to_write_it(engine: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        moe_doctor.select(NEMOTRON, engine=engine, gpu="h100", offline=True)
    assert caught.value.hint == "a release needs its engine: vllm@0.20.0"


@pytest.mark.parametrize("engine", ["0.20.3rc1", "vllm@0.20.3rc1", "vllm@0.20.3+fork"])
def test_a_release_of_no_table_is_told_the_nearest_numbers(engine: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        moe_doctor.select(NEMOTRON, engine=engine, gpu="h100", offline=True)
    assert "nearest: 0.20.2, 0.20.1, 0.20.0; the tables hold 0.16.0 to" in caught.value.hint


def test_a_build_for_one_cuda_has_its_releases_rules() -> None:
    report = moe_doctor.select(NEMOTRON, engine="vllm@0.20.0+cu129", gpu="h100", offline=True)
    assert report.engine.version == "0.20.0"
