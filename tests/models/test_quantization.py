"""Declarations of quantization and the ignore lists that take expert layers out of them."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.errors import ModelError
from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.parse import parse_model

MIXTRAL = {"model_type": "mixtral", "num_hidden_layers": 4}
QWEN = {
    "model_type": "qwen3_moe",
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}


def parse(config: dict[str, Any], hf: dict[str, Any] | None = None, **quant: Any) -> ModelSpec:
    keys = {**config, "quantization_config": quant} if quant else config
    return parse_model(keys, id="m", source="directory", hf_quant_config=hf)


def unquantized_layers(model: ModelSpec) -> list[int]:
    return [
        layer
        for group in model.moe_layers
        if group.spec.quantization is None
        for layer in group.layers
    ]


def test_block_fp8_is_named_by_the_checkpoint_and_keeps_its_details() -> None:
    model = parse(QWEN, quant_method="fp8", weight_block_size=[128, 128])
    quant = model.moe_layers[0].spec.quantization
    assert quant is not None
    assert (quant.method, quant.algorithm, quant.source) == ("fp8", None, "config.json")
    assert quant.details["weight_block_size"] == [128, 128]


def test_a_nested_declaration_is_found() -> None:
    text = {**QWEN, "quantization_config": {"quant_method": "compressed-tensors"}}
    model = parse_model({"model_type": "wrapper", "text_config": text}, id="m", source="hub")
    quant = model.moe_layers[0].spec.quantization
    assert quant is not None
    assert quant.method == "compressed-tensors"


def test_compression_config_counts() -> None:
    config = {**QWEN, "compression_config": {"quant_method": "compressed-tensors"}}
    quant = parse(config).moe_layers[0].spec.quantization
    assert quant is not None
    assert quant.method == "compressed-tensors"


def test_the_modelopt_file_is_read_when_the_config_declares_nothing() -> None:
    hf = {
        "producer": {"name": "modelopt", "version": "0.33.0"},
        "quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]},
    }
    quant = parse(QWEN, hf).moe_layers[0].spec.quantization
    assert quant is not None
    assert (quant.method, quant.algorithm) == ("modelopt", "NVFP4")
    assert (quant.ignore, quant.source) == (("lm_head",), "hf_quant_config.json")


def test_config_json_wins_over_the_modelopt_file() -> None:
    hf = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}
    quant = parse(QWEN, hf, quant_method="fp8").moe_layers[0].spec.quantization
    assert quant is not None
    assert quant.method == "fp8"


def test_a_modelopt_file_without_producer_is_noted() -> None:
    model = parse(QWEN, {"quantization": {"quant_algo": "FP8"}})
    quant = model.moe_layers[0].spec.quantization
    assert quant is not None
    assert quant.details["producer"] is None
    assert "incomplete-quant-config" in [note.kind for note in model.notes]


def test_a_declaration_by_producer_alone_takes_its_name() -> None:
    model = parse(QWEN, quant_algo="FP8", producer={"name": "modelopt"})
    quant = model.moe_layers[0].spec.quantization
    assert quant is not None
    assert (quant.method, quant.algorithm) == ("modelopt", "FP8")


@pytest.mark.parametrize(
    ("quant", "expected"),
    [
        ({"quant_method": "fp8", "ignored_layers": ["model.layers.1.mlp.experts"]}, [1]),
        (
            {
                "quant_method": "fp8",
                "modules_to_not_convert": ["model.layers.2.mlp.experts.0.gate_proj", "lm_head"],
            },
            [],
        ),
        ({"quant_method": "fp8", "modules_to_not_convert": ["model.layers.1.mlp.gate"]}, []),
        ({"quant_method": "modelopt", "ignore": ["model.layers.0*"]}, [0]),
        ({"quant_method": "modelopt", "ignore": ["model.layers.1.*", "*self_attn*"]}, [1]),
        ({"quant_method": "modelopt", "exclude_modules": ["*mlp.shared_experts*"]}, []),
        ({"quant_method": "modelopt", "exclude_modules": ["*.mlp.experts*"]}, [0, 1, 2, 3]),
        ({"quant_method": "compressed-tensors", "ignore": ["re:.*self_attn.*"]}, []),
        ({"quant_method": "compressed-tensors", "ignore": ["re:.*layers\\.[01]\\.mlp.*"]}, [0, 1]),
        (
            {"quant_method": "compressed-tensors", "ignore": ["re:.*mlp\\.experts\\..*"]},
            [0, 1, 2, 3],
        ),
        ({"quant_method": "awq", "modules_to_not_convert": ["mlp.gate."]}, []),
        ({"quant_method": "awq", "modules_to_not_convert": ["layers.3."]}, [3]),
        ({"quant_method": "gptq", "dynamic": {"-:.*\\.2\\.mlp\\.experts.*": {}}}, [2]),
    ],
)
def test_ignore_lists_take_the_layers_out_that_they_name(
    quant: dict[str, Any], expected: list[int]
) -> None:
    if expected == [] and "experts.0" in str(quant):
        expected = [2]  # one projection of one expert takes the fused module out
    assert unquantized_layers(parse(QWEN, **quant)) == expected


def test_layers_that_are_left_out_are_a_group_of_their_own() -> None:
    model = parse(QWEN, quant_method="modelopt", ignore=["model.layers.0*"])
    assert [(g.layers, g.spec.quantization is None) for g in model.moe_layers] == [
        ((0,), True),
        ((1, 2, 3), False),
    ]


def test_the_block_of_the_family_is_what_patterns_must_name() -> None:
    named = ["model.layers.1.block_sparse_moe.experts"]
    assert unquantized_layers(parse(MIXTRAL, quant_method="fp8", ignored_layers=named)) == [1]


def test_targets_that_leave_experts_out_leave_them_unquantized() -> None:
    groups = {"g": {"targets": ["re:.*self_attn.*"], "weights": {"num_bits": 8}}}
    model = parse(QWEN, quant_method="compressed-tensors", config_groups=groups)
    assert unquantized_layers(model) == [0, 1, 2, 3]


def test_mixed_precision_names_the_algorithm_of_each_layer() -> None:
    layers = {
        "model.layers.0.mlp.experts": {"quant_algo": "FP8"},
        "model.layers.1.mlp.experts.0.gate_proj": {"quant_algo": "NVFP4"},
    }
    hf = {
        "producer": {"name": "modelopt"},
        "quantization": {"quant_algo": "MIXED_PRECISION", "quantized_layers": layers},
    }
    found = [
        (g.layers, None if g.spec.quantization is None else g.spec.quantization.algorithm)
        for g in parse(QWEN, hf).moe_layers
    ]
    assert found == [((0,), "FP8"), ((1,), "NVFP4"), ((2, 3), None)]


def test_deepseek_v4_experts_have_a_format_of_their_own() -> None:
    config = {"model_type": "deepseek_v4", "num_hidden_layers": 2, "expert_dtype": "fp4"}
    quant = parse(config, quant_method="fp8").moe_layers[0].spec.quantization
    assert quant is not None
    assert (quant.method, quant.algorithm) == ("fp8", "MXFP4")
    assert quant.details["expert_dtype"] == "fp4"


def test_an_expression_that_could_match_for_ever_is_skipped_and_noted() -> None:
    evil = "re:" + "(a*)*" * 8 + "experts"
    model = parse(QWEN, quant_method="compressed-tensors", ignore=[evil])
    assert "skipped-pattern" in [note.kind for note in model.notes]
    assert unquantized_layers(model) == []


@pytest.mark.parametrize(
    "quant",
    ["fp8", 3, [1], {"quant_method": 4}, {"quant_method": "fp8", "ignore": [1]}, {"producer": 1}],
)
def test_a_declaration_of_the_wrong_type_is_an_error(quant: Any) -> None:
    with pytest.raises(ModelError):
        parse({**QWEN, "quantization_config": quant})


@pytest.mark.parametrize(
    ("quant", "expected"),
    [
        # vLLM's Fp8Config reads two lists, the second where the first is empty, and no others.
        ({"quant_method": "fp8", "ignore": ["model.layers.0.mlp.experts"]}, []),
        (
            {
                "quant_method": "fp8",
                "ignored_layers": [],
                "modules_to_not_convert": ["model.layers.0.mlp.experts"],
            },
            [0],
        ),
        ({"quant_method": "fp8", "modules_to_not_convert": ["model.layers.0.mlp"]}, []),
        ({"quant_method": "mxfp4", "ignored_layers": ["model.layers.0.mlp.experts"]}, []),
        ({"quant_method": "awq", "modules_to_not_convert": ["layers.1.mlp"]}, [1]),
        ({"quant_method": "compressed-tensors", "ignore": ["model.layers.0.mlp.experts"]}, []),
    ],
)
def test_each_method_reads_its_own_list_in_its_own_grammar(
    quant: dict[str, Any], expected: list[int]
) -> None:
    assert unquantized_layers(parse(QWEN, **quant)) == expected


def test_the_settings_of_modelopt_may_stand_one_level_down() -> None:
    inner = {"quant_algo": "NVFP4", "exclude_modules": ["model.layers.0*"]}
    model = parse(QWEN, quant_method="modelopt", quantization=inner)
    assert unquantized_layers(model) == [0]
    assert model.moe_layers[1].spec.quantization is not None
    assert model.moe_layers[1].spec.quantization.algorithm == "NVFP4"


def test_layers_that_follow_other_rules_are_groups_of_their_own() -> None:
    rules = {"+:model\\.layers\\.[01]\\..*": {"bits": 8}, "-:.*attn.*": {}}
    model = parse(QWEN, quant_method="gptq", bits=4, dynamic=rules)
    found = [(g.layers, g.spec.quantization) for g in model.moe_layers]
    assert [layers for layers, _ in found] == [(0, 1), (2, 3)]
    assert [quant and quant.rules for _, quant in found] == [("+:model\\.layers\\.[01]\\..*",), ()]
