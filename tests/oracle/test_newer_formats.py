"""Quark's packed INT4 and MXFP8, integers on ROCm, and lists that split fused projections.

The answers were given by the releases' own code on emulated GPUs.
"""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import Gpu
from moe_doctor.core.query import MoEQuery, QuantQuery
from moe_doctor.core.release import Release
from moe_doctor.core.spec import QuantSpec
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.methods.outcome import NoOracle, OracleCall
from moe_doctor.oracle.engines.vllm.methods.select import left_out_of, method_of
from moe_doctor.oracle.engines.vllm.setting import Setting
from tests.oracle.asking import ask
from tests.oracle.test_methods import SPEC, call, compressed, keys, refusal


def quark(
    weights: Any, inputs: Any = None, *, export: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "quant_method": "quark",
        "global_quant_config": {"weight": weights, "input_tensors": inputs},
        "export": {"kv_cache_group": [], "pack_method": "reorder"} | (export or {}),
        "exclude": ["lm_head"],
        "layer_quant_config": {},
    }


def int4(size: int, *, symmetric: bool) -> dict[str, Any]:
    return {"dtype": "int4", "qscheme": "per_group", "group_size": size, "symmetric": symmetric}


MX8 = {"dtype": "fp8_e4m3", "qscheme": "per_group", "group_size": 32, "scale_format": "e8m0"}
SMALL = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True}
HOPPER = Gpu("H100", (9, 0))


@pytest.mark.parametrize(
    ("size", "symmetric", "key"),
    [
        (128, True, "kInt4Static"),
        (32, True, "kInt4Static32"),
        (128, False, "kInt4StaticAsym"),
        (32, False, "kInt4Static32Asym"),
    ],
)
def test_quarks_packed_int4_asks_from_0_31(size: int, symmetric: bool, key: str) -> None:
    raw = quark(int4(size, symmetric=symmetric))
    answer = call(raw, (0, 31, 0))
    assert (answer.method, keys(answer)) == (
        "QuarkW4A16Int4MoEMethod",
        ("int_wna16", key, None),
    )
    assert refusal(raw, (0, 30, 0)).error.type == "NotImplementedError"


def test_marlin_does_not_take_quarks_int4_layout() -> None:
    quant = QuantQuery("kInt4Static", kind="quark")
    query = MoEQuery(128, 8, 2048, 768, 128, quant=quant)
    assert ask("int_wna16", "0.31.0", HOPPER, query).kernel == "TritonWNA16Experts"
    assert ask("int_wna16", "0.33.0", HOPPER, query).kernel == "HummingIndexedExperts"
    refused = ask("int_wna16", "0.33.0", HOPPER, query._replace(moe_backend="marlin"))
    assert refused.error is not None
    assert refused.error.message.endswith("since Marlin not supported for this layer.")


def test_quarks_mxfp8_is_read_in_0_31_and_run_in_0_33() -> None:
    raw = quark({**MX8, "is_dynamic": False}, {**MX8, "is_dynamic": True})
    answer = call(raw, (0, 33, 0))
    assert (answer.oracle, answer.method) == ("mxfp8", "QuarkW8A8Mxfp8MoEMethod")
    text = "Unsupported OCP MX dtype combination for MoE: input_dtype=mxfp8_e4m3"
    assert refusal(raw, (0, 32, 0)).error.message.startswith(text)
    assert refusal(raw, (0, 30, 0)).error.type == "NotImplementedError"


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        (None, "None"),
        ({"dtype": "fp4", "qscheme": "per_group", "group_size": 32, "is_dynamic": True}, "mxfp4"),
    ],
)
def test_quarks_mxfp8_experts_are_refused_with_the_name_of_their_inputs(
    inputs: dict[str, Any] | None, named: str
) -> None:
    # Dynamic weights are no FP8 of the older kind, whatever the inputs are.
    raw = quark({**MX8, "is_dynamic": True}, inputs)
    text = f"Unsupported OCP MX dtype combination for MoE: input_dtype={named}, "
    for release in ((0, 31, 0), (0, 32, 0)):
        assert refusal(raw, release).error.message.startswith(text)
    newest = refusal(raw, (0, 33, 0)).error
    assert newest.type == "ValueError"
    assert newest.message.startswith("Unsupported activation quant key: ")


def test_quarks_mxfp8_experts_have_one_scale_a_row() -> None:
    inputs = {**MX8, "is_dynamic": True}
    block = {"dtype": "fp8_e4m3", "qscheme": "per_block", "symmetric": True}
    block["scale_type"] = "float8_e8m0fnu"
    rows = quark({**block, "block_size": [1, 32]}, inputs)
    assert call(rows, (0, 33, 0)).method == "QuarkW8A8Mxfp8MoEMethod"
    square = refusal(quark({**block, "block_size": [32, 32]}, inputs), (0, 33, 0)).error
    assert square.type == "NotImplementedError"
    assert square.message.startswith("Quark MXFP8 MoE experts support only the 1-D per_group")


@pytest.mark.parametrize(
    ("release", "text"),
    [
        ((0, 26, 0), "QuarkOCP_MX with static input scales is currently not implemented. "),
        ((0, 27, 1), "Unsupported input_dtype=mxfp8_e4m3 for QuarkOCP_MX. "),
        ((0, 31, 0), "No quark compatible scheme was found. Weight config: "),
    ],
)
def test_static_fp8_inputs_go_with_mxfp4_weights_alone(release: Release, text: str) -> None:
    given = {"dtype": "fp8_e4m3", "qscheme": "per_tensor", "symmetric": True}
    weights = {"qscheme": "per_group", "group_size": 32, "scale_format": "e8m0"}
    refused = refusal(quark({**weights, "dtype": "fp6_e3m2"}, given), release)
    assert refused.by_linear
    assert refused.error.message.startswith(text)
    grouped = {**given, "qscheme": "per_group", "group_size": 128}
    assert refusal(quark({**weights, "dtype": "fp4"}, grouped), release).error == refused.error
    assert call(quark({**weights, "dtype": "fp4"}, given), release).oracle == "mxfp4"


def test_quarks_nvfp4_has_static_second_scales() -> None:
    def steps(dynamic: bool, second: bool) -> list[dict[str, Any]]:
        first = {"dtype": "fp4", "qscheme": "per_group", "group_size": 16, "is_dynamic": dynamic}
        return [first, {"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": second}]

    raw = quark(steps(False, False), steps(True, False))
    assert call(raw, (0, 27, 1)).method == "QuarkNvfp4MoEMethod"
    odd = quark(steps(False, False), steps(True, True))
    assert refusal(odd, (0, 27, 1)).error.message == "'list' object has no attribute 'get'"
    newer = "Multi-entry weight or activation quantization configs are only supported for NVFP4."
    assert refusal(odd, (0, 31, 0)).error.message == newer


def test_a_kv_cache_group_needs_its_settings() -> None:
    raw = quark(int4(128, symmetric=True), export={"kv_cache_group": ["*k_proj", "*v_proj"]})
    said = refusal(raw, (0, 33, 0))
    assert said.stage == "config"
    assert "no kv_cache quantization settings were found" in said.error.message


def on_rocm(
    raw: dict[str, Any], release: Release, arch: str, **deployment: Any
) -> OracleCall | NoOracle | EngineRefusal:
    return method_of(
        QuantSpec(raw["quant_method"], None, details=raw),
        Deployment(**deployment),
        release=release,
        setting=Setting("rocm", arch=arch),
        spec=SPEC,
        query=MoEQuery(128, 8, 2048, 768, 128),
        model_type="qwen3_moe",
    )


def test_amds_gpus_take_integers_with_triton_until_the_oracle_is_asked() -> None:
    raw = compressed(SMALL)
    before = on_rocm(raw, (0, 26, 0), "gfx942")
    assert isinstance(before, NoOracle)
    assert (before.method, before.backend) == ("CompressedTensorsWNA16MoEMethod", "TRITON")
    after = on_rocm(raw, (0, 27, 0), "gfx942")
    assert isinstance(after, OracleCall)
    assert (after.oracle, after.method) == ("int_wna16", "CompressedTensorsWNA16MoEMethod")


@pytest.mark.parametrize(
    ("release", "arch", "backend", "method"),
    [
        ((0, 24, 0), "gfx950", "flydsl", "CompressedTensorsW4A16FlydslMoEMethod"),
        ((0, 24, 0), "gfx942", "flydsl", "CompressedTensorsWNA16MoEMethod"),
        ((0, 26, 0), "gfx942", "emulation", "CompressedTensorsWNA16MarlinMoEMethod"),
        ((0, 23, 0), "gfx1100", "auto", "CompressedTensorsWNA16RDNA3MoEMethod"),
    ],
)
def test_kernels_of_one_architecture_come_first(
    release: Release, arch: str, backend: str, method: str
) -> None:
    answer = on_rocm(compressed(SMALL), release, arch, moe_backend=backend)
    assert not isinstance(answer, EngineRefusal)
    assert answer.method == method


def left_out(declared: QuantSpec, release: Release) -> OracleCall | NoOracle | EngineRefusal:
    """What a release makes of experts that a declaration leaves out."""
    return left_out_of(
        declared,
        Deployment(),
        release=release,
        setting=Setting("cuda", (9, 0)),
        spec=SPEC,
        query=MoEQuery(128, 8, 2048, 768, 128),
        model_type="qwen3_moe",
    )


def modelopt(raw: dict[str, Any], release: Release) -> OracleCall | NoOracle | EngineRefusal:
    return left_out(QuantSpec("modelopt", "FP8", details=raw), release)


def test_config_json_says_exclude_modules_from_0_33_only() -> None:
    raw = {"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["*experts*"]}
    before, after = modelopt(raw, (0, 32, 0)), modelopt(raw, (0, 33, 0))
    assert isinstance(before, OracleCall)
    assert isinstance(after, OracleCall)
    assert (before.oracle, after.oracle) == ("fp8", "unquantized")
    named = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["*experts*"]}
    read = modelopt(named, (0, 32, 0))
    assert isinstance(read, OracleCall)
    assert read.oracle == "unquantized"
