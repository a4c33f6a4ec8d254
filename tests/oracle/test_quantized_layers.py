"""Checkpoints whose layers are stored differently, and methods that ask no oracle."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.models.parse import parse_model
from moe_doctor.oracle.answer import Answer, select_layers
from tests.truth import emulated_machine

QWEN = {
    "model_type": "qwen3_moe",
    "architectures": ["Qwen3MoeForCausalLM"],
    "torch_dtype": "bfloat16",
    "num_hidden_layers": 4,
    "hidden_size": 2048,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
    "norm_topk_prob": True,
}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}
ROUND = {
    "quant_method": "auto-round",
    "bits": 4,
    "group_size": 128,
    "sym": True,
    "packing_format": "auto_round:auto_gptq",
}
PROJECTIONS = ("gate_proj", "up_proj", "down_proj")
FP8: dict[str, Any] = {
    "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
    "input_activations": {
        "num_bits": 8,
        "type": "float",
        "strategy": "token",
        "dynamic": True,
        "symmetric": True,
    },
    "format": "float-quantized",
}
INT4: dict[str, Any] = {
    "weights": {
        "num_bits": 4,
        "type": "int",
        "strategy": "group",
        "group_size": 128,
        "symmetric": True,
    },
    "input_activations": None,
    "format": "pack-quantized",
}
INT8 = {**INT4, "weights": {**INT4["weights"], "num_bits": 8, "group_size": 64}}
STATIC: dict[str, Any] = {
    "dtype": "fp8_e4m3",
    "qscheme": "per_tensor",
    "is_dynamic": False,
    "symmetric": True,
}
BY_CHANNEL = {**STATIC, "qscheme": "per_channel"}
BY_TOKEN = {**BY_CHANNEL, "is_dynamic": True}


def ask(
    quantization: dict[str, Any],
    version: str,
    *,
    lora: bool = False,
    environment: dict[str, str] | None = None,
    config: dict[str, Any] | None = None,
) -> list[tuple[tuple[int, ...], Answer]]:
    """Each kind of layer on an H100 in the release's own image."""
    keys = {**(config or QWEN), "quantization_config": quantization}
    model = parse_model(keys, id="m", source="directory")
    machine = emulated_machine(version, "9.0", "docker", environment)
    answers = select_layers(model, Deployment(), machine, Engine("vllm", version), lora=lora)
    return [(kind.layers, one) for kind, one in zip(model.moe_layers, answers, strict=True)]


def oracles(quantization: dict[str, Any], version: str) -> dict[int, str | None]:
    """Oracle of every layer."""
    return {
        layer: one.selection.oracle
        for layers, one in ask(quantization, version)
        for layer in layers
    }


def refusals(quantization: dict[str, Any], version: str) -> set[str]:
    """Texts of what is raised."""
    errors = (one.selection.error for _, one in ask(quantization, version))
    return {error.text for error in errors if error is not None}


def compressed(groups: list[dict[str, Any]], *ignore: str) -> dict[str, Any]:
    named = {f"group_{number}": group for number, group in enumerate(groups)}
    return {
        "quant_method": "compressed-tensors",
        "format": "mixed-precision",
        "ignore": ["lm_head", *ignore],
        "config_groups": named,
    }


def quark(layers: dict[str, Any] | None = None, exclude: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "quant_method": "quark",
        "global_quant_config": {"weight": STATIC, "input_tensors": STATIC},
        "layer_quant_config": layers or {},
        "export": {"kv_cache_group": []},
        "exclude": ["lm_head", *exclude],
    }


def test_a_dynamic_rule_of_gptq_leaves_the_layers_out_that_it_names() -> None:
    rules: dict[str, Any] = {"-:model\\.layers\\.0\\..*": {}, "-:.*attn.*": {}}
    expected = {0: "unquantized", 1: "int_wna16", 2: "int_wna16", 3: "int_wna16"}
    assert oracles({**GPTQ, "dynamic": rules}, "0.33.0") == expected
    assert set(oracles({**GPTQ, "dynamic": {"-:.*attn.*": {}}}, "0.33.0").values()) == {"int_wna16"}


def test_the_first_dynamic_rule_that_matches_decides() -> None:
    rules: dict[str, Any] = {"+:model\\.layers\\.0\\..*": {"bits": 8}, "-:.*experts.*": {}}
    kinds = ask({**GPTQ, "dynamic": rules}, "0.33.0")
    keys = {}
    for layers, one in kinds:
        assert one.query is not None
        keys[layers] = None if one.query.quant is None else one.query.quant.weight_key
    assert keys == {(0,): "kInt8Static", (1, 2, 3): None}


def test_dynamic_rules_do_not_count_where_the_shape_does_not_suit_marlin() -> None:
    told = {**GPTQ, "dynamic": {"-:.*\\.1\\..*": {}}}
    odd = {**QWEN, "moe_intermediate_size": 704}
    for layers, one in ask(told, "0.33.0", config=odd):
        assert (layers, one.selection.oracle) in (((0, 2, 3), "int_wna16"), ((1,), "int_wna16"))


def test_a_dynamic_rule_that_marlin_does_not_take_is_refused() -> None:
    three = {**GPTQ, "dynamic": {".*layers\\.1\\..*": {"bits": 3}}}
    assert refusals(three, "0.24.0") == {
        "ValueError: Unsupported quantization config: bits=3, sym=True"
    }
    (ordered,) = refusals({**GPTQ, "dynamic": {".*experts.*": {"desc_act": True}}}, "0.33.0")
    assert "is enabled by dynamic rule '.*experts.*'" in ordered
    assert refusals({**GPTQ, "dynamic": {".*experts.*": {"desc_act": True}}}, "0.28.0") == set()


def test_compressed_tensors_follows_the_group_that_names_the_layer() -> None:
    early = {"targets": ["re:.*layers\\.[01]\\..*"], **FP8}
    late = {"targets": ["re:.*layers\\.[23]\\..*"], **INT4}
    assert oracles(compressed([early, late], "re:.*mlp.gate$"), "0.33.0") == {
        0: "fp8",
        1: "fp8",
        2: "int_wna16",
        3: "int_wna16",
    }
    paths = [
        f"model.layers.{layer}.mlp.experts.{expert}.{name}"
        for layer in (0, 2)
        for expert in range(2)
        for name in PROJECTIONS
    ]
    by_path = compressed([{"targets": paths, **INT4}, {"targets": ["Linear"], **FP8}])
    assert oracles(by_path, "0.33.0") == {0: "int_wna16", 1: "fp8", 2: "int_wna16", 3: "fp8"}


def test_a_path_counts_before_a_class_whatever_the_order() -> None:
    experts = {"targets": ["re:.*mlp\\.experts\\..*"], **INT4}
    whole = {"targets": ["Linear"], **FP8}
    for groups in ([experts, whole], [whole, experts]):
        assert set(oracles(compressed(groups), "0.33.0").values()) == {"int_wna16"}


def test_experts_in_two_formats_are_refused_and_in_one_format_twice_are_not() -> None:
    whole = {"targets": ["Linear"], **INT4}
    down = {"targets": ["re:.*down_proj"], **INT8}
    text = "All MoE projections need to have same quantization scheme but found multiple"
    assert refusals(compressed([down, whole]), "0.33.0") == {f"ValueError: {text}"}
    assert refusals(compressed([{**down, **INT4}, whole]), "0.33.0") == set()
    one = compressed([whole], "model.layers.0.mlp.experts.0.gate_proj")
    assert refusals(one, "0.33.0") == {f"ValueError: {text}"}


def test_the_class_that_a_target_names_changed_in_0_24() -> None:
    groups = [{"targets": ["FusedMoE"], **INT4}, {"targets": ["Linear"], **FP8}]
    assert set(oracles(compressed(groups), "0.33.0").values()) == {"fp8"}
    assert {one.selection.backend for _, one in ask(compressed(groups), "0.20.0")} == {"Marlin"}


def test_quark_follows_the_first_pattern_of_a_layer() -> None:
    layers = {"*layers.0.mlp*": {"weight": BY_CHANNEL, "input_tensors": BY_TOKEN}}
    keys = {}
    for kind, one in ask(quark(layers), "0.33.0"):
        assert one.query is not None
        assert one.query.quant is not None
        keys[kind] = one.query.quant.weight_key
    assert keys == {(0,): "kFp8StaticChannelSym", (1, 2, 3): "kFp8StaticTensorSym"}


def test_excluded_experts_of_quark_crash_before_0_26() -> None:
    left_out = quark(exclude=("re:.*layers.0.mlp.experts.*",))
    assert refusals(left_out, "0.24.0") == {"AssertionError"}
    assert oracles(left_out, "0.28.0") == {0: "unquantized", 1: "fp8", 2: "fp8", 3: "fp8"}


def test_quark_chooses_by_itself_before_0_24() -> None:
    (kind,) = ask(quark(), "0.23.0")
    assert (kind[1].selection.oracle, kind[1].selection.backend) == (None, "TRITON")
    forced = ask(quark(), "0.23.0", environment={"VLLM_TEST_FORCE_FP8_MARLIN": "1"})
    assert forced[0][1].selection.backend == "MARLIN"
    assert set(oracles(quark(), "0.24.0").values()) == {"fp8"}


def test_auto_round_is_read_as_gptq_or_awq() -> None:
    assert set(oracles(ROUND, "0.33.0").values()) == {"int_wna16"}
    (old,) = ask(ROUND, "0.19.1")
    assert (old[1].selection.oracle, old[1].selection.backend) == (None, "MARLIN")
    uneven = refusals({**ROUND, "sym": False}, "0.33.0")
    assert {text[:60] for text in uneven} == {
        "NotImplementedError: INC quantization with bits=4, sym=False"
    }
    assert refusals({**ROUND, "data_type": "mx_fp"}, "0.24.0") != set()


def test_entries_of_single_experts_count_for_auto_round_until_0_24() -> None:
    entries = {
        f"model.layers.0.mlp.experts.{expert}.{name}": {"bits": 16}
        for expert in range(2)
        for name in PROJECTIONS
    }
    told = {**ROUND, "extra_config": entries}
    assert oracles(told, "0.20.0") == {0: "unquantized", **dict.fromkeys((1, 2, 3), "int_wna16")}
    assert set(oracles(told, "0.24.0").values()) == {"int_wna16"}


@pytest.mark.parametrize(
    ("lora", "environment", "backend"),
    [
        (False, {}, "TRITON"),
        (True, {}, "MARLIN"),
        (True, {"VLLM_MXFP4_USE_MARLIN": "0"}, "TRITON"),
        (False, {"VLLM_MXFP4_USE_MARLIN": "1"}, "MARLIN"),
        (False, {"VLLM_USE_FLASHINFER_MOE_MXFP4_BF16": "1"}, "SM90_FI_MXFP4_BF16"),
    ],
)
def test_mxfp4_has_one_rule_before_its_oracle(
    lora: bool, environment: dict[str, str], backend: str
) -> None:
    (kind,) = ask({"quant_method": "mxfp4"}, "0.18.1", lora=lora, environment=environment)
    selection = kind[1].selection
    assert (selection.oracle, selection.backend) == ("legacy_mxfp4", backend)


def test_a_declaration_that_leaves_all_experts_out_can_still_refuse() -> None:
    two = {**GPTQ, "bits": 2, "dynamic": {"-:.*experts.*": {}}}
    (text,) = refusals(two, "0.33.0")
    assert "Unsupported quantization config: bits=2, sym=True" in text
    assert set(oracles({**GPTQ, "dynamic": {"-:.*experts.*": {}}}, "0.33.0").values()) == {
        "unquantized"
    }
