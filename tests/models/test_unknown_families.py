"""What the parser does with families it has no row for, and with what is no model at all."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.errors import ModelError
from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.parse import parse_model


def parse(**config: Any) -> ModelSpec:
    return parse_model(config, id="m", source="directory")


def test_an_unknown_family_is_read_by_standard_keys_and_says_so() -> None:
    model = parse(
        model_type="brand_new_moe",
        num_hidden_layers=4,
        hidden_size=64,
        num_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        first_k_dense_replace=1,
        torch_dtype="bfloat16",
    )
    assert model.moe_layers[0].layers == (1, 2, 3)
    assert [note.kind for note in model.notes] == ["unknown-family"]
    assert "'brand_new_moe'" in model.notes[0].message


def test_experts_in_unknown_keys_are_an_error_that_lists_the_keys() -> None:
    with pytest.raises(ModelError) as caught:
        parse(model_type="odd", hidden_size=64, expert_count=8)
    assert "expert_count" in caught.value.message
    assert "keys seen: expert_count, hidden_size, model_type" in caught.value.message


def test_a_missing_width_names_the_keys_that_would_give_it() -> None:
    with pytest.raises(ModelError) as caught:
        parse(model_type="odd", num_hidden_layers=2, num_experts=8, num_experts_per_tok=2)
    assert caught.value.message.startswith("no hidden size: none of hidden_size")


def test_something_that_is_no_model_is_an_error_with_the_keys_seen() -> None:
    with pytest.raises(ModelError, match="keys seen: a, b"):
        parse(a=1, b=2)


def test_dtype_is_read_without_its_prefix_from_the_outside_in() -> None:
    assert parse(model_type="llama", torch_dtype="torch.float16").dtype == "float16"
    assert parse(model_type="x", dtype="half", text_config={"dtype": "float32"}).dtype == "float16"
