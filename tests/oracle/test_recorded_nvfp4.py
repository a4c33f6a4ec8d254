"""Every recorded NVFP4 answer of the real oracles, and every reason that they gave."""

from __future__ import annotations

import pytest

from tests.oracle.recorded import of_oracle, other_answers, other_judgements, other_orders
from tests.truth import needs_truth, releases


@needs_truth
@pytest.mark.parametrize("release", releases("oracle"))
def test_backend_kernel_and_exception_are_the_recorded_ones(release: str) -> None:
    recorded = of_oracle(release, "nvfp4")
    assert len(recorded) > 1000
    assert other_answers(recorded) == []


@needs_truth
@pytest.mark.parametrize("release", releases("oracle"))
def test_every_class_that_the_engine_asked_is_asked_and_judged_alike(release: str) -> None:
    assert other_judgements(of_oracle(release, "nvfp4")) == []


@needs_truth
@pytest.mark.parametrize("release", releases("oracle"))
def test_candidates_stand_in_the_recorded_order(release: str) -> None:
    assert other_orders(of_oracle(release, "nvfp4")) == []
