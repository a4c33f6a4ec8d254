"""Configs that anyone may have written: one clear error, never a traceback and never a hang."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moe_doctor.core.errors import DoctorError, ModelError, ModelNotFoundError
from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.families import all_families
from moe_doctor.models.json_files import MAX_BYTES, decode_json_object
from moe_doctor.models.load import load_model
from moe_doctor.models.parse import parse_model
from tests.models.published import PUBLISHED


def write(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b'{"a": }', "is not JSON: Expecting value at line 1, column 7"),
        (b"[1, 2]", "holds a list; expected a JSON object"),
        (b'"text"', "holds a string; expected a JSON object"),
        (b"null", "holds null; expected a JSON object"),
        (b"12", "holds a number; expected a JSON object"),
        (b"\xff\xfe{}", "is not UTF-8 (byte 0)"),
        (b"\x00" * 10, "is not JSON"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "nested more than 64 deep"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "too long to read"),
        (b"{}", "does not describe a model; keys seen: none"),
        (b'\xef\xbb\xbf{"a": 1}', "begins with a byte order mark; expected JSON without one"),
        (b'{"a": 1,\n "b": [1, 2],\n}', "not JSON: trailing comma at line 2, column 13"),
        (b'{"a": [1, 2 , ]}', "not JSON: trailing comma at line 1, column 13"),
        (
            b'{"a": 1,\n // two\n "b": 2}',
            "a comment, which JSON does not have, at line 2, column 2",
        ),
        (b'{"a": 1, # two\n "b": 2}', "a comment, which JSON does not have, at line 1, column 10"),
        (b"{'a': 1}", "a single quote instead of a double one at line 1, column 2"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "but a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "but a web page or XML"),
        (b"<<<<<<< HEAD\n{}", "but an unresolved merge"),
        (b" \n", "is empty"),
    ],
)
def test_bytes_that_are_no_config(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(write(tmp_path, content))
    assert words in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": 1,}',
        b'{"a": 1 // one\n}',
        b"\xff{}",
        b'{"a": NaN, "b": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"\xc3\xa9": "\\ud800"}',
    ],
)
def test_a_file_is_read_exactly_when_the_engines_reader_reads_it(content: bytes) -> None:
    # transformers 5.12 configuration_utils.py: open(json_file, encoding="utf-8"), json.loads(text)
    try:
        engine = json.loads(content.decode("utf-8"))
    except ValueError:
        engine = None
    try:
        ours = decode_json_object(content, "config.json")
    except ModelError:
        ours = None
    assert repr(ours) == repr(engine)


_WORDS = b'{ } [ ] "a" "b" : , 1 -0 1e5 NaN Infinity true null // # < \' \\u12 \xef\xbb\xbf \xff'
_PIECES = st.sampled_from([*_WORDS.split(), b" ", b"\n"])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=12) | st.lists(_PIECES, max_size=14).map(b"".join))
def test_any_bytes_are_read_as_the_engine_reads_them(content: bytes) -> None:
    try:
        engine = json.loads(content.decode("utf-8"))
    except ValueError:
        engine = None
    try:
        ours = decode_json_object(content, "config.json")
    except ModelError:
        ours = None
    assert repr(ours) == (repr(engine) if isinstance(engine, dict) else "None")


def test_a_repeated_key_counts_as_the_engine_counts_it_and_is_noted(tmp_path: Path) -> None:
    content = (
        b'{"model_type": "mixtral",\n "num_local_experts": 4,\n "num_local_experts": 16,\n'
        b' "a": {"hidden": 1, "hidden": 2}, "b": {"hidden": 3}}'
    )
    model = load_model(write(tmp_path, content))
    assert model.moe_layers[0].spec.num_experts == 16
    (note,) = [note for note in model.notes if note.kind == "repeated-key"]
    assert note.message == (
        'config.json gives "hidden", "num_local_experts" (lines 2 and 3) more than once; '
        "the last value counts"
    )


def test_a_huge_file_is_refused_without_being_parsed(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ModelError, match="larger than 16 MiB"):
        load_model(str(path))


@pytest.mark.parametrize(
    "value",
    [-1, 0.5, "8", True, [8], {"a": 1}, 10**9, pytest.param(1 << 20_000, id="huge")],
)
@pytest.mark.parametrize(
    "key", ["num_local_experts", "num_experts_per_tok", "hidden_size", "num_hidden_layers"]
)
def test_a_count_of_the_wrong_kind_names_its_key(key: str, value: Any) -> None:
    with pytest.raises(ModelError) as caught:
        parse_model({"model_type": "mixtral", key: value}, id="m", source="directory")
    assert key in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "x", [1]])
def test_a_factor_that_is_no_number_is_an_error(value: Any) -> None:
    with pytest.raises(ModelError, match="routed_scaling_factor"):
        parse_model(
            {"model_type": "deepseek_v3", "routed_scaling_factor": value}, id="m", source="hub"
        )


def test_numbers_that_json_does_not_have_are_harmless_where_nobody_reads_them() -> None:
    config = {"model_type": "mixtral", "time_step_limit": [0.0, float("inf")]}
    assert parse_model(config, id="m", source="directory").is_moe


def test_more_experts_per_token_than_experts_is_taken_and_noted() -> None:
    model = parse_model({"model_type": "mixtral", "num_experts_per_tok": 9}, id="m", source="hub")
    assert model.moe_layers[0].spec.top_k == 9
    notes = [note.message for note in model.notes if note.kind == "top-k-above-experts"]
    assert notes == ["32 layers pick 9 experts per token and have 8"]


def test_a_missing_path_and_a_directory_without_config_are_two_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such file or directory"):
        load_model(str(tmp_path / "nowhere" / "at" / "all"))
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_model(str(tmp_path))


def test_a_fifo_and_a_device_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    started = time.monotonic()
    for name in (str(tmp_path), str(tmp_path / "config.json"), "/dev/zero"):
        with pytest.raises(ModelError, match="not a regular file"):
            load_model(name)
    assert time.monotonic() - started < 2


def test_a_symlink_loop_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to(tmp_path / "config.json")
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, b"{}")
    Path(path).chmod(0)
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(path)


@pytest.mark.parametrize(
    "name",
    [
        "https://huggingface.co/Qwen/Qwen3-30B-A3B",
        "https://huggingface.co/Qwen/Qwen3-30B-A3B/tree/main",
        "hf://Qwen/Qwen3-30B-A3B",
        "Qwen/Qwen3-30B-A3B/",
        " Qwen/Qwen3-30B-A3B",
    ],
)
def test_an_address_of_a_model_is_told_its_id(name: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        load_model(name, offline=True)
    assert caught.value.hint == "as an id: Qwen/Qwen3-30B-A3B"


@pytest.mark.parametrize("name", ["", " ", "/"])
def test_an_empty_name_is_not_the_current_directory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, b'{"model_type": "mixtral"}')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DoctorError) as caught:
        load_model(name, offline=True)
    assert ("MODEL is empty" in caught.value.message) is (name != "/")


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "x" * 5000, "../../etc/none", "a/b/c", "é/x"])
def test_a_name_that_is_nothing_is_an_error(name: str) -> None:
    with pytest.raises(DoctorError):
        load_model(name, offline=True)


KEYS = sorted(
    {
        key
        for family in all_families()
        for key in (*family.experts, *family.top_k, *family.width, *family.hidden)
    }
    | {"num_hidden_layers", "moe_layer_freq", "mlp_layer_types", "first_k_dense_replace"}
    | {"mlp_only_layers", "decoder_sparse_step", "hybrid_override_pattern", "block_configs"}
    | {"text_config", "quantization_config", "moe_layers_enum", "moe_layer_start_index"}
    | {"scoring_func", "topk_method", "n_group", "norm_topk_prob", "swiglu_limits", "ffn_config"}
    | {"architectures", "torch_dtype", "expert_layer_period", "interleave_moe_layer_step"}
)
TYPES = [name for family in all_families() for name in family.model_types]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.integers(0, 40)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["sparse", "MEM*E", "re:(a+)+", "1,2,3", "sigmoid", "fp8", *TYPES]),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
total = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def check_total(config: dict[str, Any], quant: dict[str, Any] | None = None) -> None:
    """The parser answers or refuses; nothing else escapes."""
    refusal = ""
    try:
        model = parse_model(config, id="m", source="directory", hf_quant_config=quant)
    except ModelError as error:
        refusal = error.message
    else:
        assert isinstance(model, ModelSpec)
        assert json.dumps(model.to_dict())
    assert len(refusal) < 3000


@total
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), json_values, max_size=12))
def test_the_parser_is_total_over_json_objects(config: dict[str, Any]) -> None:
    check_total(config)


@total
@given(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(KEYS), json_values, max_size=10))
def test_the_parser_is_total_over_every_family(name: str, config: dict[str, Any]) -> None:
    check_total({"num_hidden_layers": 3, **config, "model_type": name})


@total
@given(
    st.sampled_from(sorted(PUBLISHED)),
    st.dictionaries(st.sampled_from(KEYS), json_values, min_size=1, max_size=3),
    st.none() | st.dictionaries(st.sampled_from(["producer", "quantization"]), json_values),
)
def test_the_parser_is_total_over_mutations(
    name: str, changes: dict[str, Any], quant: dict[str, Any] | None
) -> None:
    check_total({**PUBLISHED[name], **changes}, quant)
