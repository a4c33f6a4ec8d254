from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
# The matrices are small: on a busy machine threads wait for each other twenty times as long.
torch.set_num_threads(1)

from moe_doctor.proof.compare import compare, tolerance  # noqa: E402
from tests.proof.planted import (  # noqa: E402
    PLANTED,
    SCHEMES,
    planted_comparison,
    planted_names,
)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_rounding_alone_passes(dtype: str) -> None:
    found = planted_comparison("none", "cpu", dtype)
    assert found.passed
    assert found.relative_error < found.tolerance / 3


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_planted_error_fails_among_a_thousand_tokens(name: str, dtype: str) -> None:
    found = planted_comparison(name, "cpu", dtype)
    assert not found.passed
    assert found.detail


@pytest.mark.parametrize("scheme", SCHEMES)
def test_planted_errors_fail_in_every_scheme(scheme: str) -> None:
    passed = planted_comparison("none", "cpu", "bfloat16", scheme=scheme)
    assert passed.passed
    assert passed.relative_error < passed.tolerance / 3
    missed = [
        name
        for name in planted_names(scheme)
        if planted_comparison(name, "cpu", "bfloat16", scheme=scheme).passed
    ]
    assert missed == []


@pytest.mark.parametrize(
    ("scheme", "limit"),
    [("none", "1.2e-02"), ("int4_g128", "1.2e-02"), ("int8_channel", "3.4e-02")],
)
def test_the_limits_by_scheme(scheme: str, limit: str) -> None:
    assert f"{tolerance('bfloat16', 2048, scheme):.1e}" == limit


def test_the_bf16_limit_is_the_published_one() -> None:
    assert f"{tolerance('bfloat16', 2688):.1e}" == "1.2e-02"


def test_nan_never_passes_even_when_the_reference_has_it() -> None:
    bad = torch.full((2, 4), float("nan"))
    assert not compare(bad, bad.clone(), dtype="float32", depth=4).passed


def test_infinity_never_passes() -> None:
    good = torch.ones(2, 4)
    bad = good.clone()
    bad[1, 2] = float("inf")
    found = compare(bad, good, dtype="float32", depth=4)
    assert not found.passed
    assert found.detail == "1 of 8 elements were not written or are not finite"


def test_a_wrong_shape_is_named() -> None:
    found = compare(torch.ones(1, 4), torch.ones(2, 4), dtype="float32", depth=4)
    assert found.detail == "output has shape (1, 4); expected (2, 4)"


def test_a_zero_reference_accepts_zero_and_nothing_else() -> None:
    zero = torch.zeros(2, 4)
    assert compare(zero, zero, dtype="bfloat16", depth=4).passed
    assert not compare(zero + 1, zero, dtype="bfloat16", depth=4).passed
