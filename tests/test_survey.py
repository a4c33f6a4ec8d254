"""`diff` and `matrix` from outside: the Python API on catalogue models and simulated machines."""

from __future__ import annotations

import pytest

import moe_doctor
from moe_doctor import survey
from moe_doctor.core.errors import NotMoEError, UnknownNameError, UsageError

NANO = "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"


def test_diff_is_judged() -> None:
    found = moe_doctor.diff(
        NANO, from_="vllm@0.19.1", to="vllm@0.20.0", gpu="h100", offline=True, fail_on="warning"
    )
    assert [finding.code for finding in found.findings] == ["MOE422"]
    assert found.exit_code == 1
    assert found.to_dict()["schema"] == "moe-doctor.diff/1"


def test_an_option_that_only_the_first_release_knows_breaks() -> None:
    found = moe_doctor.diff(
        NANO,
        from_="vllm@0.20.0",
        to="vllm@0.33.0",
        gpu="h100",
        offline=True,
        all2all_backend="mori",
        enable_expert_parallel=True,
    )
    assert {finding.code for finding in found.findings} == {"MOE421"}
    assert "invalid choice: 'mori'" in found.findings[0].message
    assert found.exit_code == 1


def test_a_variable_that_the_second_release_drops_is_named() -> None:
    found = moe_doctor.diff(
        NANO,
        from_="vllm@0.23.0",
        to="vllm@0.24.0",
        gpu="a100",
        offline=True,
        env={"VLLM_USE_FLASHINFER_MOE_FP16": "1"},
    )
    assert "MOE423" in {finding.code for finding in found.findings}


def test_without_from_the_installed_release_is_where_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("moe_doctor.pipeline.surroundings.installed_vllm", lambda: "0.20.0+cu130")
    found = moe_doctor.diff(NANO, gpu="h100", offline=True)
    assert (found.before.version, found.after.version) == ("0.20.0", "0.33.0")


def test_without_from_and_without_vllm_the_error_shows_the_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("moe_doctor.pipeline.surroundings.installed_vllm", lambda: None)
    with pytest.raises(UsageError, match="diff needs --from") as caught:
        moe_doctor.diff(NANO, gpu="h100", offline=True)
    assert "--from vllm@0.19.1" in caught.value.hint


def test_lora_alone_is_compared_when_it_is_asked_for() -> None:
    found = moe_doctor.diff(
        NANO, from_="vllm@0.19.1", to="vllm@0.20.0", gpu="h100", offline=True, lora=True
    )
    assert [answer.lora for answer in found.answers] == [True]


def test_unknown_releases_and_gpus_name_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        moe_doctor.diff(NANO, from_="vllm@0.20.9", to="vllm@0.33.0", offline=True)
    assert "0.20.2" in caught.value.nearest
    with pytest.raises(UnknownNameError):
        moe_doctor.matrix(gpu="h1000")


def test_a_dense_model_has_no_diff() -> None:
    with pytest.raises(NotMoEError):
        moe_doctor.diff("Qwen/Qwen3-32B", from_="vllm@0.19.1", gpu="h100", offline=True)


def test_a_matrix_takes_one_name_or_several_and_sorts_the_releases() -> None:
    found = moe_doctor.matrix(
        NANO, engine=["vllm@0.33.0", "vllm@0.19.1", "vllm@0.33.0"], gpu="H100 SXM", offline=True
    )
    assert found.releases == ("0.19.1", "0.33.0")
    assert found.gpus == ("h100",)
    assert len(found.models) == 1


def test_without_names_a_matrix_has_every_release_and_the_common_gpus() -> None:
    found = moe_doctor.matrix(lora=False)
    assert found.models == (None,)
    assert found.gpus == survey.COMMON_GPUS
    assert (found.releases[0], found.releases[-1]) == ("0.16.0", "0.33.0")
    assert {cell.lora for cell in found.cells} == {False}


def test_a_matrix_refuses_a_machine_beside_its_gpus() -> None:
    with pytest.raises(UsageError, match="by --gpu alone"):
        moe_doctor.matrix(capability="9.0")
