"""The bundled facts: enough of them, derived by the parser, and cheap to look up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_doctor.core.spec import ModelSpec, MoELayers
from moe_doctor.models.catalogue import (
    FILE,
    catalogue_names,
    find_in_catalogue,
    nearest_names,
)
from moe_doctor.models.catalogue_format import LONGEST_LIST, encode, read_layers, write_layers
from moe_doctor.models.parse import parse_model
from tests.models.build_catalogue import real_configs
from tests.models.published import PUBLISHED


def without_long_lists(model: ModelSpec) -> ModelSpec:
    """The model as the catalogue keeps it: ignore lists only where they are short."""

    def trim(group: MoELayers) -> MoELayers:
        quant = group.spec.quantization
        if quant is None or len(quant.ignore) <= LONGEST_LIST:
            return group
        return MoELayers(replace(group.spec, quantization=replace(quant, ignore=())), group.layers)

    return replace(
        model,
        moe_layers=tuple(trim(group) for group in model.moe_layers),
        draft_layers=tuple(trim(group) for group in model.draft_layers),
    )


def test_it_knows_at_least_sixty_moe_checkpoints() -> None:
    models = [find_in_catalogue(name) for name in catalogue_names()]
    assert sum(model is not None and model.is_moe for model in models) >= 60


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_config_parses_to_its_entry(name: str) -> None:
    model = parse_model(PUBLISHED[name], id=name, source="catalogue")
    assert without_long_lists(model) == find_in_catalogue(name)


def test_every_real_config_parses_to_its_entry() -> None:
    configs = list(real_configs())
    if not configs:
        pytest.skip("the real configs are not beside the repository")
    for name, config, quant in configs:
        model = parse_model(config, id=name, source="catalogue", hf_quant_config=quant)
        assert without_long_lists(model) == find_in_catalogue(name), name


def test_the_file_holds_what_the_encoder_writes() -> None:
    facts = json.loads(FILE.read_text(encoding="utf-8"))
    for name in facts:
        model = find_in_catalogue(name)
        assert model is not None
        assert encode(model) == facts[name], name


def test_the_founding_model_is_there_with_its_numbers() -> None:
    model = find_in_catalogue("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16")
    assert model is not None
    (layers,) = model.moe_layers
    spec = layers.spec
    assert (layers.count, layers.first_layer) == (23, 1)
    assert (spec.num_experts, spec.top_k) == (128, 6)
    assert (spec.hidden_size, spec.intermediate_size) == (2688, 1856)
    assert (spec.activation, spec.gated, model.dtype) == ("relu2", False, "bfloat16")


def test_case_does_not_matter_in_a_look_up() -> None:
    model = find_in_catalogue("QWEN/qwen3-30b-a3b")
    assert model is not None
    assert model.id == "Qwen/Qwen3-30B-A3B"


def test_an_unknown_id_has_its_neighbours() -> None:
    assert find_in_catalogue("mistralai/Mixtral-8x7B-v0.2") is None
    assert nearest_names("mistralai/Mixtral-8x7B-v0.2")[0] == "mistralai/Mixtral-8x7B-v0.1"
    assert nearest_names("gpt-oss-120")[0] == "openai/gpt-oss-120b"
    assert nearest_names("zzzzqqqq") == ()


def test_layer_numbers_are_written_short() -> None:
    assert write_layers((3, 4, 5)) == "3-5"
    assert write_layers((1, 3, 5, 7)) == "1-7/2"
    assert write_layers((1, 3, 6, 7, 8)) == "1,3,6-8"
    assert write_layers((4,)) == "4"


@given(st.sets(st.integers(0, 300), min_size=1))
def test_layer_numbers_read_back(layers: set[int]) -> None:
    ordered = tuple(sorted(layers))
    assert read_layers(write_layers(ordered)) == ordered
