"""Which architectures a release's registry serves."""

from __future__ import annotations

import pytest

from moe_doctor.oracle.engines.vllm.architectures.registered import serving_class


@pytest.mark.parametrize("architecture", ["GritLM", "TeleChat2ForCausalLM", "Qwen2ForCausalLM"])
def test_a_text_model_that_is_an_embedding_model_too_is_served(architecture: str) -> None:
    # models/registry.py lists them in two of its tables
    assert serving_class(architecture, (0, 20, 0)) == "native"


def test_a_text_model_is_served_until_the_release_that_drops_it() -> None:
    assert serving_class("GritLM", (0, 28, 0)) == "native"
    assert serving_class("GritLM", (0, 29, 0)) is None
