"""Families outside the big decoders: encoders, small vision models, Solar."""

from __future__ import annotations

from typing import Any

from moe_doctor.core.spec import MoELayers
from moe_doctor.models.parse import parse_model


def layers_of(config: dict[str, Any]) -> tuple[MoELayers, ...]:
    return parse_model(config, id="org/name", source="directory").moe_layers


def test_nomic_has_experts_in_every_second_layer() -> None:
    (kind,) = layers_of(
        {
            "architectures": ["NomicBertModel"],
            "model_type": "nomic_bert",
            "n_layer": 12,
            "n_embd": 768,
            "n_inner": 3072,
            "num_experts": 8,
            "moe_top_k": 2,
            "moe_every_n_layers": 2,
            "activation_function": "gelu",
        }
    )
    assert kind.layers == (1, 3, 5, 7, 9, 11)
    spec = kind.spec
    assert (spec.num_experts, spec.top_k, spec.hidden_size, spec.intermediate_size) == (
        8,
        2,
        768,
        3072,
    )
    assert (spec.activation, spec.gated) == ("gelu", False)


def test_a_dense_encoder_has_none() -> None:
    assert layers_of({"model_type": "nomic_bert", "n_layer": 12, "n_embd": 768}) == ()


def test_moondream_3_says_little_and_has_experts_all_the_same() -> None:
    """Its published config is empty; the numbers are the config class's defaults."""
    plain = {"architectures": ["HfMoondream"], "model_type": "moondream3"}
    (kind,) = layers_of(plain)
    assert (kind.layers, kind.spec.num_experts, kind.spec.top_k) == (tuple(range(4, 24)), 64, 8)
    text = {"n_layers": 6, "moe": {"n_experts": 16, "start_layer": 2}}
    (kind,) = layers_of({**plain, "config": {"text": text}})
    assert (kind.layers, kind.spec.num_experts) == ((2, 3, 4, 5), 16)


def test_solar_open_has_no_dense_layer() -> None:
    (kind,) = layers_of(
        {
            "architectures": ["SolarOpenForCausalLM"],
            "model_type": "solar_open",
            "num_hidden_layers": 48,
            "hidden_size": 4096,
            "moe_intermediate_size": 1280,
            "n_routed_experts": 128,
            "num_experts_per_tok": 8,
        }
    )
    assert kind.layers == tuple(range(48))
    assert (kind.spec.routing.scoring, kind.spec.routing.has_correction_bias) == ("sigmoid", True)


def test_a_wrapper_names_its_language_model() -> None:
    inner = {
        "model_type": "mixtral",
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 2,
    }
    outer = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava"}
    for nested, name in (
        (inner, "MixtralForCausalLM"),
        ({**inner, "architectures": ["OtherForCausalLM"]}, "OtherForCausalLM"),
    ):
        model = parse_model({**outer, "text_config": nested}, id="", source="directory")
        assert model.text_architecture == name
    code = {"AutoConfig": "configuration_x.XConfig"}
    assert parse_model({**inner, "auto_map": code}, id="", source="directory").own_config
    assert parse_model(inner, id="", source="directory").text_architecture == ""


def test_families_that_say_everything_are_known_by_name() -> None:
    for model_type in ("mellum", "mistral4", "kolibri1", "zaya", "doge"):
        config = {
            "model_type": model_type,
            "num_hidden_layers": 3,
            "num_experts": 64,
            "num_experts_per_tok": 8,
            "hidden_size": 2304,
            "moe_intermediate_size": 896,
            "mlp_only_layers": [0],
            "dtype": "bfloat16",
        }
        model = parse_model(config, id="", source="directory")
        assert [kind.layers for kind in model.moe_layers] == [(1, 2)]
        assert model.notes == ()
