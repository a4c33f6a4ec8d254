"""What each release's quantization methods asked their oracles, for every recorded model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.query import QuantQuery
from moe_doctor.core.release import Release, parse_release
from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.load import load_model
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.layers import build_query
from moe_doctor.oracle.engines.vllm.methods.outcome import NoOracle, OracleCall
from moe_doctor.oracle.engines.vllm.methods.select import method_of
from moe_doctor.oracle.engines.vllm.setting import Setting
from tests.truth import CONFIGS, needs_truth, quant_of, records, releases

Built = OracleCall | NoOracle | EngineRefusal


class Asked(NamedTuple):
    """One group of layers: the question's formats and sizes."""

    oracle: str
    weight_key: str | None
    activation_key: str | None
    allow_vllm_cutlass: bool
    width: int
    hidden_size: int


@lru_cache(maxsize=128)
def model(name: str) -> ModelSpec:
    return load_model(str(CONFIGS / name))


def deployment(record: dict[str, Any]) -> Deployment:
    return Deployment(
        tensor_parallel_size=record.get("tp", 1),
        data_parallel_size=record.get("dp", 1),
        expert_parallel=record.get("ep", False),
        all2all_backend=record.get("all2all"),
    )


def built(record: dict[str, Any], release: Release, capability: str) -> list[tuple[Built, int]]:
    """Our answer for every kind of layer, with how many layers there are of it."""
    spec, lora = model(record["model"]), record.get("lora", False)
    major, minor = map(int, capability.split("."))
    answers: list[tuple[Built, int]] = []
    for index, kind in enumerate(spec.moe_layers):
        question = build_query(
            spec,
            index,
            deployment(record),
            release=release,
            platform="cuda",
            lora=lora,
            capability=(major, minor),
        )
        if isinstance(question, EngineRefusal):
            answers.append((question, kind.count))
            continue
        answer = method_of(
            kind.spec.quantization,
            deployment(record),
            release=release,
            setting=Setting("cuda", (major, minor), lora),
            spec=kind.spec,
            query=question.query,
            model_type=spec.model_type,
            architecture=spec.architecture,
        )
        answers.append((answer, kind.count))
    return answers


def asked_by_us(answers: list[tuple[Built, int]]) -> Counter[Asked]:
    asked: Counter[Asked] = Counter()
    for call, count in answers:
        if isinstance(call, OracleCall):
            quant, query = call.quant or QuantQuery(), call.query
            asked[
                Asked(
                    call.oracle,
                    quant.weight_key,
                    quant.activation_key,
                    quant.allow_vllm_cutlass,
                    query.intermediate_size_per_partition,
                    query.hidden_size,
                )
            ] += count
    return asked


def asked_by_vllm(record: dict[str, Any]) -> Counter[Asked]:
    asked: Counter[Asked] = Counter()
    for group in record["groups"]:
        quant = quant_of({"oracle": group["oracle"], **(group.get("args") or {})}) or QuantQuery()
        asked[
            Asked(
                group["oracle"],
                quant.weight_key,
                quant.activation_key,
                quant.allow_vllm_cutlass,
                group["cfg"]["intermediate_size_per_partition"],
                group["cfg"]["hidden_dim"],
            )
        ] += group["count"]
    return asked


def quantized_records(release: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Records of models with a declaration, each with the capability that it was made for."""
    capability = ""
    for record in records("model", release):
        if "header" in record:
            capability = record["capability"]
        elif "outcome" in record:
            spec = model(record["model"])
            if any(kind.spec.quantization is not None for kind in spec.moe_layers):
                yield record, capability


def method_classes(record: dict[str, Any]) -> set[str]:
    classes = {method["quant_method"] for method in record.get("methods", ())}
    return classes - {"UnquantizedFusedMoEMethod"}


@needs_truth
@pytest.mark.parametrize("release", releases("model"))
def test_every_method_asks_what_the_release_asked(release: str) -> None:
    """Oracle, formats, options and sizes of every group, and the class of the method."""
    number = parse_release(release)
    assert number is not None
    differ, compared = [], 0
    for record, capability in quantized_records(release):
        if record["outcome"] != "ok":
            continue
        answers = built(record, number, capability)
        compared += 1
        wanted, ours = asked_by_vllm(record), asked_by_us(answers)
        classes = {one.method for one, _ in answers if isinstance(one, OracleCall | NoOracle)} - {
            "UnquantizedFusedMoEMethod"
        }
        recorded = method_classes(record)
        if ours != wanted or (recorded and classes != recorded):
            differ.append((record["model"], capability, wanted, ours, recorded, classes))
    assert compared > 1000
    assert differ == []


@needs_truth
@pytest.mark.parametrize("release", releases("model"))
def test_what_a_method_refuses_is_refused_in_the_same_words(release: str) -> None:
    """Errors of kind moe that are not an oracle's own: a shard that cuts a quantization block."""
    number = parse_release(release)
    assert number is not None
    differ = []
    for record, capability in quantized_records(release):
        if record.get("kind") != "moe" or record["groups"][-1].get("exc") is not None:
            continue
        backend = record["groups"][-1]["backend"]
        said = []
        for call, _ in built(record, number, capability):
            late = call.refused_with(backend) if isinstance(call, OracleCall) else None
            refusal = call if isinstance(call, EngineRefusal) else late
            said.append(None if refusal is None else refusal.error)
        if [f"{error.type}: {error.message}" for error in said if error] != [record["error"]]:
            differ.append((record["model"], capability, record["error"], said))
    assert differ == []
