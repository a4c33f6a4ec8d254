"""Every recorded MXFP8 answer of the real oracles, and every reason that they gave."""

from __future__ import annotations

import pytest

from tests.oracle.recorded import of_oracle, other_answers, other_judgements, other_orders
from tests.truth import needs_truth, releases

# The recorder sees the inner call of a class whose base overrides is_supported_config: the verdict
# before the base's own limit (TrtLlmFp8ExpertsBase from 0.28.0: 2048 experts).
_INNER_CALL = ("TrtLlmFp8ExpertsMonolithic", "TrtLlmFp8ExpertsModular")
# 0.18.0 has the first MXFP8 oracle.
_WITH_ORACLE = [one for one in releases("oracle") if one != "0.16.0"]


@needs_truth
@pytest.mark.parametrize("release", _WITH_ORACLE)
def test_backend_kernel_and_exception_are_the_recorded_ones(release: str) -> None:
    recorded = of_oracle(release, "mxfp8")
    assert len(recorded) > 900
    assert other_answers(recorded) == []


@needs_truth
@pytest.mark.parametrize("release", _WITH_ORACLE)
def test_every_class_that_the_engine_asked_is_asked_and_judged_alike(release: str) -> None:
    assert other_judgements(of_oracle(release, "mxfp8"), _INNER_CALL) == []


@needs_truth
@pytest.mark.parametrize("release", _WITH_ORACLE)
def test_candidates_stand_in_the_recorded_order(release: str) -> None:
    assert other_orders(of_oracle(release, "mxfp8")) == []
