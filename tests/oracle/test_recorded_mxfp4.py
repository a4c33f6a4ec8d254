"""Every recorded answer of the real oracles for MXFP4 weights, and every reason they gave."""

from __future__ import annotations

import pytest

from tests.oracle.recorded import of_oracle, other_answers, other_judgements, other_orders
from tests.truth import needs_truth, releases

ORACLES = ("mxfp4", "gpt_oss_mxfp4", "deepseek_v4_mxfp4")
_WITH_ORACLES = [one for one in releases("oracle") if one >= "0.19"]


@needs_truth
@pytest.mark.parametrize("release", _WITH_ORACLES)
def test_backend_kernel_and_exception_are_the_recorded_ones(release: str) -> None:
    recorded = of_oracle(release, *ORACLES)
    assert len(recorded) > 1500
    assert other_answers(recorded) == []


@needs_truth
@pytest.mark.parametrize("release", _WITH_ORACLES)
def test_every_class_that_the_engine_asked_is_asked_and_judged_alike(release: str) -> None:
    assert other_judgements(of_oracle(release, *ORACLES)) == []


@needs_truth
@pytest.mark.parametrize("release", _WITH_ORACLES)
def test_candidates_stand_in_the_recorded_order(release: str) -> None:
    # For 0.20.x the recorder lists gpt-oss's order also under the general oracle's name; with an
    # explicit name it lists what the release would have tried without one, before the filter.
    oracles = ORACLES[1:] if release.startswith("0.20") else ORACLES
    automatic = [
        record
        for record in of_oracle(release, *oracles)
        if record["q"].get("moe_backend", "auto") == "auto"
    ]
    assert len(automatic) > 300
    assert other_orders(automatic) == []
