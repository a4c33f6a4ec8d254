"""Values of the Python API: named when they are wrong, before anything is looked up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import moe_doctor
from moe_doctor.core.errors import UnknownNameError, UsageError
from moe_doctor.doctor import make_request


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": 5}, "model is 5; expected a string or None"),
        (
            {"tensor_parallel_size": "8"},
            "tensor_parallel_size is '8'; expected a whole number",
        ),
        ({"tensor_parallel_size": True}, "tensor_parallel_size is True; expected a whole number"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size is 0; expected 1..65536"),
        ({"max_lora_rank": -1}, "max_lora_rank is -1; expected 1..65536"),
        ({"lora": "yes"}, "lora is 'yes'; expected True or False or None"),
        ({"enable_expert_parallel": 1}, "enable_expert_parallel is 1; expected True or False"),
        ({"gpu": ["h100"]}, "gpu is ['h100']; expected a string or None"),
        ({"env": ["A=1"]}, "env is ['A=1']; expected a mapping of strings to strings"),
        ({"env": {"A": 1}}, "env is {'A': 1}; expected a mapping of strings to strings"),
        ({"without": [1]}, "without is [1]; expected a string or several"),
        ({"hf_overrides": "{}"}, "hf_overrides is '{}'; expected a mapping"),
        ({"level": 7}, "level is 7; expected 1..4"),
        ({"timeout": float("nan")}, "timeout is nan; expected a number"),
        ({"fail_on": "errors"}, "fail_on is 'errors'; expected 'error' or 'warning' or 'never'"),
        ({"engine": b"vllm"}, "engine is b'vllm'; expected a string or None"),
        ({"moe_backend": None}, "moe_backend is None; expected a string"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        moe_doctor.select(**options)
    assert caught.value.message == message


def test_a_huge_value_is_cut() -> None:
    with pytest.raises(UsageError) as caught:
        moe_doctor.select(gpu=["x" * 10_000])  # type: ignore[arg-type]
    assert len(caught.value.message) < 150


@pytest.mark.parametrize("name", ["engine", "gpu"])
def test_the_matrix_and_the_diff_check_as_well(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is 5; expected a string or several"):
        moe_doctor.matrix(**{name: 5})
    with pytest.raises(UsageError, match="model is 5; expected a string"):
        moe_doctor.matrix(5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="from_ is 5; expected a string or None"):
        moe_doctor.diff("m", from_=5)  # type: ignore[arg-type]


def test_a_name_that_no_option_has_shows_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        moe_doctor.select(tensor_parallel=8)
    assert caught.value.message == "unknown option 'tensor_parallel'"
    assert caught.value.nearest[0] == "tensor_parallel_size"


@pytest.mark.parametrize(
    ("options", "nearest"),
    [
        ({"moe_backend": "tritn"}, "triton"),
        ({"all2all_backend": "deepep_lowlatency"}, "deepep_low_latency"),
        ({"quantization": "compressed_tensors"}, "compressed-tensors"),
        ({"dtype": "bfloat61"}, "bfloat16"),
    ],
)
def test_a_value_that_no_release_has_shows_the_nearest_and_the_list(
    options: dict[str, str], nearest: str
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        moe_doctor.select(**options)
    assert caught.value.nearest[0] == nearest
    assert caught.value.hint.startswith(f"nearest: {nearest}")
    assert "; known: " in caught.value.hint


def test_paths_and_single_names_are_taken() -> None:
    request = make_request(
        "select",
        Path("folder"),  # type: ignore[arg-type]
        {"snapshot": Path("h100.json"), "without": "aiter", "with_": ["vllm"], "timeout": 5},
    )
    assert (request.model, request.machine.snapshot) == ("folder", "h100.json")
    assert request.machine.without_packages == ("aiter",)
    assert request.machine.with_packages == ("vllm",)
    assert request.timeout_s == 5
