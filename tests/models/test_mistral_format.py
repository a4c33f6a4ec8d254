"""Mistral's own format: a params.json in place of a config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.errors import ModelError
from moe_doctor.core.report import Engine
from moe_doctor.models.hub_cache import read_cache
from moe_doctor.models.load import load_model
from moe_doctor.oracle.answer import select_layers
from tests.truth import emulated_machine

# mistralai/Mistral-Large-3-675B-Instruct-2512, fewer layers
LARGE: dict[str, Any] = {
    "dim": 7168,
    "n_layers": 8,
    "head_dim": 128,
    "hidden_dim": 16384,
    "n_heads": 128,
    "n_kv_heads": 128,
    "norm_eps": 1e-6,
    "vocab_size": 131072,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "dtype": "bfloat16",
    "llama_4_scaling": {"original_max_position_embeddings": 8192, "beta": 0.1},
    "quantization": {"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"},
    "moe": {
        "route_every_n": 1,
        "first_k_dense_replace": 3,
        "num_experts": 128,
        "num_experts_per_tok": 4,
        "num_expert_groups": 1,
        "num_expert_groups_per_tok": 1,
        "routed_scale": 1.0,
        "expert_hidden_dim": 4096,
        "num_shared_experts": 1,
    },
    "vision_encoder": {"hidden_size": 1664, "num_hidden_layers": 4, "intermediate_size": 8192},
}
FOUR = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
NVFP4 = {
    "quant_method": "COMPRESSED_TENSORS",
    "format": "nvfp4-pack-quantized",
    "ignore": ["re:.*attention.*", "re:.*gate$", "output"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": FOUR | {"symmetric": True, "dynamic": False},
            "input_activations": FOUR | {"symmetric": True, "dynamic": "local"},
        }
    },
}


def write(folder: Path, params: dict[str, Any], name: str = "params.json") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(params))
    return str(folder)


def chosen(name: str, release: str, capability: str) -> tuple[str | None, ...]:
    machine = emulated_machine(release, capability, "docker")
    model = load_model(name, offline=True)
    split = Deployment(tensor_parallel_size=8)
    answers = select_layers(model, split, machine, Engine("vllm", release), lora=False)
    found = answers[0].selection
    return found.oracle, found.backend, found.kernel


def test_a_folder_with_params_json_alone_is_a_model(tmp_path: Path) -> None:
    model = load_model(write(tmp_path, LARGE), offline=True)
    spec = model.moe_layers[0].spec
    assert model.architecture == "PixtralForConditionalGeneration"
    assert model.text_architecture == "MistralLarge3ForCausalLM"
    assert (spec.num_experts, spec.top_k, spec.hidden_size) == (128, 4, 7168)
    assert (spec.intermediate_size, spec.num_shared_experts) == (4096, 1)
    assert model.moe_layers[0].layers == (3, 4, 5, 6, 7)
    named = load_model(str(tmp_path / "params.json"), offline=True)
    assert named.moe_layers == model.moe_layers


def test_its_experts_are_stored_as_its_own_words_say(tmp_path: Path) -> None:
    eight = write(tmp_path / "eight", LARGE)
    found = chosen(eight, "0.33.0", "9.0")
    assert found == ("fp8", "FLASHINFER_CUTLASS", "FlashInferExperts")
    four = write(tmp_path / "four", LARGE | {"quantization": NVFP4})
    found = chosen(four, "0.33.0", "9.0")
    assert found == ("nvfp4", "HUMMING", "HummingIndexedExperts")
    text = {key: value for key, value in LARGE.items() if key != "vision_encoder"}
    alone = load_model(write(tmp_path / "text", text), offline=True)
    assert alone.architecture == "MistralLarge3ForCausalLM"
    assert chosen(str(tmp_path / "text"), "0.33.0", "9.0")[0] == "fp8"


def test_a_model_without_experts_has_no_layers_with_any(tmp_path: Path) -> None:
    plain = {key: value for key, value in LARGE.items() if key not in ("moe", "vision_encoder")}
    model = load_model(write(tmp_path, plain), offline=True)
    assert (model.moe_layers, model.architecture) == ((), "MistralForCausalLM")


def test_config_json_goes_first_unless_consolidated_weights_lie_there(tmp_path: Path) -> None:
    other = {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 2,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    }
    write(tmp_path, LARGE)
    folder = write(tmp_path, other, "config.json")
    assert load_model(folder, offline=True).architecture == "MixtralForCausalLM"
    (tmp_path / "consolidated-00001-of-00027.safetensors").touch()
    assert load_model(folder, offline=True).text_architecture == "MistralLarge3ForCausalLM"


def test_a_cache_may_hold_params_json_alone(tmp_path: Path) -> None:
    commit = "a" * 40
    repository = tmp_path / "models--mistralai--Large"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    write(repository / "snapshots" / commit, LARGE)
    files = read_cache("mistralai/Large", None, tmp_path)
    assert files is not None
    assert files.config["architectures"] == ["PixtralForConditionalGeneration"]
    (repository / "snapshots" / commit / "params.json").unlink()
    assert read_cache("mistralai/Large", None, tmp_path) is None


def test_mixtrals_experts_are_not_guessed(tmp_path: Path) -> None:
    params = {"dim": 4096, "n_layers": 4, "n_heads": 32, "hidden_dim": 14336}
    experts = {"moe": {"num_experts": 16, "num_experts_per_tok": 2}}
    (tmp_path / "params.json").write_text(json.dumps(params | experts))
    with pytest.raises(ModelError, match=r"vLLM reads from a config\.json alone"):
        load_model(str(tmp_path))
    (tmp_path / "consolidated.00.safetensors").write_bytes(b"")
    beside = {"architectures": ["MixtralForCausalLM"], "num_local_experts": 16}
    (tmp_path / "config.json").write_text(json.dumps(beside | {"num_experts_per_tok": 2}))
    assert load_model(str(tmp_path)).moe_layers[0].spec.num_experts == 16
