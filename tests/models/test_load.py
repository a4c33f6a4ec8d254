"""Names to models: which source answers, and what is not imported on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from moe_doctor.core.errors import FetchError, ModelError, ModelNotFoundError, NotMoEError
from moe_doctor.models.hub import endpoint_name, is_offline
from moe_doctor.models.hub_cache import cache_directory, read_cache
from moe_doctor.models.load import load_model, require_moe
from moe_doctor.models.overrides import merge_overrides
from moe_doctor.models.parse import parse_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG: dict[str, Any] = {"model_type": "mixtral", "num_hidden_layers": 2, "dtype": "bfloat16"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of its own, and no network."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("name", ["", "adapter_config.json"])
def test_an_adapter_is_told_its_model(tmp_path: Path, name: str) -> None:
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(ModelError) as caught:
        load_model(str(tmp_path / name))
    assert caught.value.hint == "it is a LoRA adapter: name its model, with --lora: org/base"


@pytest.mark.parametrize("name", ["", "m-Q4_K_M.gguf"])
def test_gguf_weights_are_told_where_a_config_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "m-Q4_K_M.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError) as caught:
        load_model(str(tmp_path / name))
    assert caught.value.hint.startswith("GGUF weights hold their own config: name a folder")


def cache_model(home: Path, name: str, config: bytes, ref: str = "main") -> Path:
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(config)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / ref).write_text(COMMIT)
    return snapshot


def test_a_directory_and_its_config_file_are_the_same_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    by_directory = load_model(str(tmp_path))
    by_file = load_model(str(tmp_path / "config.json"))
    assert by_directory.source == by_file.source == "directory"
    assert by_directory.moe_layers == by_file.moe_layers


def test_the_quant_file_beside_a_config_is_read(tmp_path: Path) -> None:
    quant = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(quant))
    for name in (tmp_path, tmp_path / "config.json"):
        found = load_model(str(name)).moe_layers[0].spec.quantization
        assert found is not None
        assert found.algorithm == "FP8"


def test_a_model_is_parsed_once_for_the_same_bytes_and_anew_for_others(tmp_path: Path) -> None:
    quant = tmp_path / "hf_quant_config.json"
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    first = load_model(str(tmp_path))
    assert load_model(str(tmp_path)) is first
    assert load_model(str(tmp_path), hf_overrides={"dtype": "float16"}).dtype == "float16"
    assert load_model(str(tmp_path)).dtype == "bfloat16"
    quant.write_text(json.dumps({"quantization": {"quant_algo": "FP8"}}))
    found = load_model(str(tmp_path)).moe_layers[0].spec.quantization
    assert found is not None
    assert found.algorithm == "FP8"
    quant.unlink()
    assert load_model(str(tmp_path)).moe_layers[0].spec.quantization is None
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "dtype": "float16"}))
    assert load_model(str(tmp_path)).dtype == "float16"


def test_overrides_are_merged_into_nested_objects(tmp_path: Path) -> None:
    text = {**CONFIG, "num_local_experts": 8}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "w", "text_config": text}))
    model = load_model(str(tmp_path), hf_overrides={"text_config": {"num_local_experts": 4}})
    assert model.moe_layers[0].spec.num_experts == 4
    assert model.num_layers == 2


def test_an_override_replaces_what_is_no_object_and_leaves_its_source_alone() -> None:
    config = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merge_overrides(config, {"a": {"b": 3}, "d": 4}) == {"a": {"b": 3, "c": 2}, "d": 4}
    assert config == {"a": {"b": 1, "c": 2}, "d": [1]}


def test_words_per_layer_are_counted_in_the_file_alone(tmp_path: Path) -> None:
    even = CONFIG | {"layer_types": ["full_attention"] * 2}
    (tmp_path / "config.json").write_text(json.dumps(even))
    fewer = load_model(str(tmp_path), hf_overrides={"num_hidden_layers": 1})
    assert (fewer.num_layers, fewer.beside.uneven_list) == (1, None)
    (tmp_path / "config.json").write_text(json.dumps(even | {"num_hidden_layers": 1}))
    assert load_model(str(tmp_path)).beside.uneven_list == ("layer_types", ("full_attention",) * 2)


def test_overrides_without_an_end_are_an_error() -> None:
    config: dict[str, Any] = {}
    config["a"] = config
    with pytest.raises(ModelError, match="nested more than 32 deep"):
        merge_overrides(config, config)


def test_a_value_of_the_wrong_type_is_told_with_the_models_name(home: Path) -> None:
    cache_model(home, "org/m", json.dumps(CONFIG | {"num_local_experts": "8"}).encode())
    with pytest.raises(ModelError) as caught:
        load_model("org/m")
    assert caught.value.message == "org/m: num_local_experts is '8'; expected an integer"


def test_the_cache_answers_before_the_catalogue(home: Path) -> None:
    cache_model(home, "mistralai/Mixtral-8x7B-v0.1", json.dumps(CONFIG).encode())
    model = load_model("mistralai/Mixtral-8x7B-v0.1")
    assert (model.source, model.revision, model.num_layers) == ("cache", COMMIT, 2)


def test_a_cached_revision_is_found_by_branch_and_by_commit(home: Path) -> None:
    cache_model(home, "org/m", json.dumps(CONFIG).encode(), ref="v2")
    assert load_model("org/m", revision="v2").source == "cache"
    assert load_model("org/m", revision=COMMIT).source == "cache"
    with pytest.raises(FetchError, match="not in the Hugging Face cache"):
        load_model("org/m")


def test_a_broken_cached_file_is_named_when_nothing_else_can_answer(home: Path) -> None:
    cache_model(home, "org/m", b"{")
    with pytest.raises(ModelError, match="is not JSON"):
        load_model("org/m")


def test_a_revision_cannot_leave_the_cache(home: Path) -> None:
    cache_model(home, "org/m", json.dumps(CONFIG).encode())
    assert read_cache("org/m", "../../../../etc/passwd", cache_directory()) is None


def test_weights_beside_a_cached_config_mean_that_no_quant_file_is_missing(home: Path) -> None:
    snapshot = cache_model(home, "org/m", json.dumps(CONFIG).encode())
    files = read_cache("org/m", None, cache_directory())
    assert files is not None
    assert not files.is_complete
    (snapshot / "model.safetensors.index.json").write_text("{}")
    files = read_cache("org/m", None, cache_directory())
    assert files is not None
    assert files.is_complete


def test_offline_the_catalogue_answers_and_says_why(home: Path) -> None:
    model = load_model("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16")
    assert home.exists()
    assert (model.source, model.notes[-1].kind) == ("catalogue", "offline")


def test_a_path_that_is_not_there_is_not_asked_of_the_hub(home: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such file or directory"):
        load_model(str(home / "gone" / "config.json"))
    for name in ("mine/config.json", "mine/model.safetensors"):  # files, and no ids of the hub
        with pytest.raises(ModelNotFoundError, match="no such file or directory"):
            load_model(name)


def test_a_dense_model_is_refused_in_one_sentence() -> None:
    dense = parse_model({"model_type": "llama"}, id="org/dense", source="hub")
    with pytest.raises(NotMoEError) as caught:
        require_moe(dense)
    assert caught.value.message == (
        "org/dense is a dense model (llama): it has no mixture-of-experts layers, "
        "so there is no MoE backend to choose"
    )
    assert caught.value.exit_code == 2


def test_a_model_with_experts_passes() -> None:
    model = parse_model(CONFIG, id="m", source="hub")
    assert require_moe(model) is model


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
    ],
)
def test_the_cache_is_where_the_client_has_it(environment: dict[str, str], expected: str) -> None:
    assert cache_directory(environment) == Path(expected)


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_offline_is_spelled_as_the_client_spells_it(value: str) -> None:
    assert is_offline({"HF_HUB_OFFLINE": value})
    assert not is_offline({"HF_HUB_OFFLINE": "0"})


def test_the_endpoint_is_named_without_credentials() -> None:
    assert endpoint_name({"HF_ENDPOINT": "https://u:secret@mirror.example/x"}) == "mirror.example"
    assert endpoint_name({}) == "huggingface.co"
    assert endpoint_name({"HF_ENDPOINT": "http://[::1"}) == "the hub"


@pytest.mark.parametrize("name", ["directory", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"])
def test_neither_a_local_model_nor_the_catalogue_offline_import_the_client(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    code = (
        "import sys; from moe_doctor.models.load import load_model;"
        "load_model(sys.argv[1], offline=True);"
        "print(sorted({'huggingface_hub', 'torch', 'httpx', 'requests'} & set(sys.modules)))"
    )
    target = str(tmp_path) if name == "directory" else name
    result = subprocess.run(
        [sys.executable, "-c", code, target],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"
