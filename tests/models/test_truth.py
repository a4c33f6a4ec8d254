"""The parser against what real vLLM releases built from the same configs (recorded answers)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from moe_doctor.core.spec import ModelSpec, RoutingSpec
from moe_doctor.models.parse import parse_model
from tests.models.build_catalogue import real_configs

GOLDEN = Path(__file__).parents[3] / "shared" / "truth" / "golden"
RELEASES = ("0.20.0", "0.33.0")


@lru_cache
def recorded(release: str) -> dict[str, list[dict[str, Any]]]:
    """Model folder -> layer groups of one GPU without LoRA, where the release built it."""
    path = GOLDEN / f"model-{release}.jsonl.gz"
    if not path.exists():
        pytest.skip("the recorded answers of vLLM are not beside the repository")
    groups: dict[str, list[dict[str, Any]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record.get("outcome") == "ok" and record.get("tp") == 1 and "dp" not in record:
                groups.setdefault(record["model"], record["groups"])
    return groups


def parsed() -> Iterator[tuple[str, ModelSpec]]:
    for name, config, quant in real_configs():
        yield (
            name.replace("/", "--", 1),
            parse_model(config, id=name, source="directory", hf_quant_config=quant),
        )


def geometry_of_record(group: dict[str, Any]) -> tuple[Any, ...]:
    cfg = group["cfg"]
    activation = cfg["activation"].lower()
    return (
        cfg["num_experts"],
        cfg["experts_per_token"],
        cfg["hidden_dim"],
        cfg.get("intermediate_size") or cfg["intermediate_size_per_partition"],
        activation.removesuffix("_no_mul"),
        not activation.endswith("_no_mul"),
        cfg["has_bias"],
    )


def geometry_of_spec(model: ModelSpec, release: str) -> set[tuple[Any, ...]]:
    return {
        (
            group.spec.num_experts,
            group.spec.top_k,
            group.spec.hidden_size,
            group.spec.intermediate_size,
            # vLLM 0.20 calls Gemma's tanh approximation plain gelu.
            "gelu"
            if release == "0.20.0" and group.spec.activation == "gelu_tanh"
            else group.spec.activation,
            group.spec.gated,
            group.spec.has_bias,
        )
        for group in model.moe_layers
    }


@pytest.mark.parametrize("release", RELEASES)
def test_geometry_and_layer_count_agree_with_vllm(release: str) -> None:
    truth = recorded(release)
    compared = 0
    for folder, model in parsed():
        groups = truth.get(folder)
        if not groups:  # not built, dense, or built by a method without an oracle
            continue
        compared += 1
        expected = {geometry_of_record(group) for group in groups}
        assert geometry_of_spec(model, release) == expected, folder
        assert sum(group.count for group in model.moe_layers) == sum(
            group["count"] for group in groups
        ), folder
    assert compared >= 35, f"only {compared} models could be compared"


@pytest.mark.parametrize("release", RELEASES)
def test_a_model_without_moe_layers_in_vllm_is_dense(release: str) -> None:
    truth = recorded(release)
    built = {folder for folder, groups in truth.items() if not groups}
    dense = {folder for folder, model in parsed() if not model.is_moe}
    # vLLM 0.20 built Kimi-K2.5 by a method that asks no oracle.
    assert built - dense <= {"moonshotai--Kimi-K2.5"}
    assert all(not truth.get(folder) for folder in dense)


def test_the_first_layer_agrees_with_vllm() -> None:
    truth = recorded("0.33.0")
    for folder, model in parsed():
        for group in truth.get(folder, []):
            number = int(group["layer"].split("layers.")[1].split(".")[0])
            firsts = {layers.first_layer for layers in model.moe_layers}
            assert number in firsts, folder


def test_routing_agrees_with_what_vllm_033_calls_it() -> None:
    truth = recorded("0.33.0")
    for folder, model in parsed():
        groups = truth.get(folder, [])
        names = {group["cfg"]["routing_method"] for group in groups}
        if names:
            assert {method_name(group.spec.routing) for group in model.moe_layers} == names, folder


def method_name(routing: RoutingSpec) -> str:
    """vLLM 0.33 get_routing_method_type, for the routings among the real configs."""
    if routing.custom is not None:
        return {"llama4": "Llama4"}.get(routing.custom, "Custom")
    if routing.scoring == "sqrtsoftplus":
        return "DeepseekV4"
    if routing.has_correction_bias:
        return "DeepSeekV3" if routing.num_expert_group else "MiniMax2"
    return "RenormalizeNaive" if routing.renormalize else "Default"


def test_hash_layers_agree_with_vllm_033() -> None:
    truth = recorded("0.33.0")
    for folder, model in parsed():
        for group in truth.get(folder, []):
            if group["cfg"]["has_hash_routing"]:
                ours = [g.count for g in model.moe_layers if g.spec.routing.has_hash_layers]
                assert ours == [group["count"]], folder
                assert model.moe_layers[0].spec.swiglu_limit == group["cfg"]["swiglu_limit"]
