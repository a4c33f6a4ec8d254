"""Every recorded answer of the real oracles for integer weights, and every reason they gave."""

from __future__ import annotations

import pytest

from tests.oracle.recorded import of_oracle, other_answers, other_judgements, other_orders
from tests.truth import needs_truth, releases

ORACLES = ("int8", "int_wna16", "w4a8")
_WITH_ORACLES = [one for one in releases("oracle") if one >= "0.20"]


@needs_truth
@pytest.mark.parametrize("release", _WITH_ORACLES)
def test_backend_kernel_and_exception_are_the_recorded_ones(release: str) -> None:
    recorded = of_oracle(release, *ORACLES)
    assert len(recorded) > 2000
    assert other_answers(recorded) == []


@needs_truth
@pytest.mark.parametrize("release", _WITH_ORACLES)
def test_every_class_that_the_engine_asked_is_asked_and_judged_alike(release: str) -> None:
    assert other_judgements(of_oracle(release, *ORACLES)) == []


@needs_truth
@pytest.mark.parametrize("release", _WITH_ORACLES)
def test_candidates_stand_in_the_recorded_order(release: str) -> None:
    assert other_orders(of_oracle(release, *ORACLES)) == []
