"""Telling cases of the way from a declaration to an oracle, by literals.

The answers were given by the releases' own code on an emulated H100.
"""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.query import MoEQuery, Parallel
from moe_doctor.core.release import Release
from moe_doctor.core.spec import MoESpec, QuantSpec
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.methods.names import known_methods
from moe_doctor.oracle.engines.vllm.methods.outcome import NoOracle, OracleCall
from moe_doctor.oracle.engines.vllm.methods.select import method_of
from moe_doctor.oracle.engines.vllm.setting import Setting

SPEC = MoESpec(128, 8, 2048, 768)
HOPPER = (9, 0)


def build(
    details: dict[str, Any] | None,
    release: Release,
    *,
    tp: int = 1,
    platform: str = "cuda",
    capability: tuple[int, int] | None = HOPPER,
    model_type: str = "qwen3_moe",
    algorithm: str | None = None,
    source: str = "config.json",
    **deployment: Any,
) -> OracleCall | NoOracle | EngineRefusal:
    quantization = None
    if details is not None:
        method = str(details.get("quant_method", "modelopt"))
        quantization = QuantSpec(method, algorithm, source=source, details=details)
    options = Deployment(tensor_parallel_size=tp, **deployment)
    return method_of(
        quantization,
        options,
        release=release,
        setting=Setting(platform, capability),
        spec=SPEC,
        query=MoEQuery(128, 8, 2048, 768 // tp, 128, parallel=Parallel(tp_size=tp)),
        model_type=model_type,
    )


def call(*args: Any, **kwargs: Any) -> OracleCall:
    answer = build(*args, **kwargs)
    assert isinstance(answer, OracleCall)
    return answer


def refusal(*args: Any, **kwargs: Any) -> EngineRefusal:
    answer = build(*args, **kwargs)
    assert isinstance(answer, EngineRefusal)
    return answer


def keys(answer: OracleCall) -> tuple[str, str | None, str | None]:
    assert answer.quant is not None
    return answer.oracle, answer.quant.weight_key, answer.quant.activation_key


BLOCKS = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
INT4 = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True}


def compressed(
    weights: dict[str, Any], inputs: dict[str, Any] | None = None, layout: str = "pack-quantized"
) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "config_groups": {"group_0": group},
    }


def test_a_shard_that_cuts_a_block_is_refused_after_the_oracle_until_0_28() -> None:
    answer = call(BLOCKS, (0, 28, 0), tp=4)
    assert keys(answer) == ("fp8", "kFp8Static128BlockSym", "kFp8Dynamic128Sym")
    late = answer.refused_with("TRITON")
    assert late is not None
    assert late.error.message == (
        "The output_size of gate's and up's weight = 192 is not divisible by weight quantization "
        "block_n = 128."
    )


def test_0_29_cuts_the_blocks_finer_instead() -> None:
    answer = call(BLOCKS, (0, 29, 0), tp=4)
    shape = "GroupShape(row=64, col=64)"
    assert keys(answer)[1] == f"QuantKey(f8e4m3fn,scale(f32,static,{shape}),symmetric)"
    assert answer.refused_with("TRITON") is None


@pytest.mark.parametrize(
    ("backend", "width"), [("marlin", 256), ("triton", 192), ("auto", 192), ("b12x", 192)]
)
def test_0_31_pads_the_shard_for_an_explicit_backend_without_finer_blocks(
    backend: str, width: int
) -> None:
    answer = call(BLOCKS, (0, 31, 0), tp=4, moe_backend=backend)
    assert answer.query.intermediate_size_per_partition == width


def test_gpt_oss_and_other_mxfp4_checkpoints_part_in_0_27() -> None:
    raw = {"quant_method": "mxfp4"}
    asked = {
        release: (call(raw, release, model_type=kind).oracle)
        for kind in ("gpt_oss",)
        for release in ((0, 18, 1), (0, 19, 1), (0, 20, 2), (0, 21, 0), (0, 33, 0))
    }
    assert asked == {
        (0, 18, 1): "legacy_mxfp4",
        (0, 19, 1): "mxfp4",
        (0, 20, 2): "gpt_oss_mxfp4",
        (0, 21, 0): "mxfp4",
        (0, 33, 0): "mxfp4",
    }
    assert call(raw, (0, 26, 0)).method == "GptOssMxfp4MoEMethod"
    assert call(raw, (0, 27, 0)).oracle == "deepseek_v4_mxfp4"


def test_deepseek_v4_with_nvfp4_experts_needs_0_22() -> None:
    raw = {**BLOCKS, "expert_dtype": "fp4", "moe_quant_algo": "NVFP4"}
    assert call(raw, (0, 20, 2), model_type="deepseek_v4").oracle == "mxfp4"
    assert call(raw, (0, 22, 0), model_type="deepseek_v4").oracle == "nvfp4"


def test_modelopts_own_file_without_a_producer_is_an_unquantized_model() -> None:
    answer = call(
        {"quant_algo": "NVFP4", "producer": None}, (0, 33, 0), source="hf_quant_config.json"
    )
    assert (answer.oracle, answer.quant) == ("unquantized", None)


def test_weights_only_nvfp4_keeps_its_inputs_from_0_22() -> None:
    raw = {"quant_method": "modelopt", "quant_algo": "W4A16_NVFP4"}
    said = refusal(raw, (0, 20, 0))
    assert said.stage == "config"
    assert "ModelOpt currently only supports" in said.error.message
    assert said.reason.endswith("0.21.0 is the first that does")
    assert keys(call(raw, (0, 22, 0))) == ("nvfp4", "kNvfp4Static", None)


def test_an_old_gpu_is_refused_with_both_numbers() -> None:
    raw = {"quant_method": "modelopt", "quant_algo": "FP8"}
    said = refusal(raw, (0, 26, 0), capability=(8, 0))
    assert said.error.message.endswith("Minimum capability: 89. Current capability: 80.")
    assert call(raw, (0, 27, 0), capability=(8, 0)).oracle == "fp8"


def test_petit_takes_modelopts_newer_name_on_amd_and_is_deprecated() -> None:
    raw = {"quant_method": "modelopt_fp4", "quant_algo": "NVFP4"}
    refused = refusal(raw, (0, 17, 1), platform="rocm", capability=None)
    assert "The quantization method %s is deprecated" in refused.error.message
    assert "'petit_nvfp4'" in refused.error.message
    older = {**raw, "quant_method": "modelopt"}
    refused = refusal(older, (0, 17, 1), platform="rocm", capability=None)
    assert refused.error.message.endswith(
        "modelopt_fp4 quantization is currently not supported in rocm."
    )


def test_integer_weights_of_compressed_tensors_get_an_oracle_in_0_23() -> None:
    old = build(compressed(INT4), (0, 22, 0))
    assert isinstance(old, NoOracle)
    assert (old.method, old.backend) == ("CompressedTensorsWNA16MarlinMoEMethod", "Marlin")
    assert keys(call(compressed(INT4), (0, 23, 0)))[:2] == ("int_wna16", "kInt4Static32")


def test_gptq_moves_to_its_merged_method_in_0_22() -> None:
    raw = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}
    methods = [call(raw, release).method for release in ((0, 20, 0), (0, 22, 0))]
    assert methods == ["GPTQMarlinMoEMethod", "AutoGPTQMoEMethod"]
    ordered = refusal({**raw, "desc_act": True}, (0, 30, 0))
    assert "GPTQ group activation ordering" in ordered.error.message


def test_quantization_that_contradicts_the_checkpoint_is_refused() -> None:
    said = refusal(BLOCKS, (0, 33, 0), quantization="modelopt")
    assert said.error.message.endswith(
        "Quantization method specified in the model config (fp8) does not match the quantization "
        "method specified in the `quantization` argument (modelopt)."
    )


def test_an_unknown_method_names_all_that_the_release_knows() -> None:
    said = refusal({"quant_method": "nvfp4_per_token"}, (0, 25, 0))
    assert "Unknown quantization method: nvfp4_per_token." in said.error.message
    assert said.reason.endswith("0.26.0 is the first that does")
    assert "bitsandbytes" in known_methods((0, 27, 1))
    assert "bitsandbytes" not in known_methods((0, 28, 0))


def test_quantizing_while_loading_asks_the_same_oracles() -> None:
    assert call(None, (0, 24, 0), quantization="fp8").method == "Fp8OnlineMoEMethod"
    assert call(None, (0, 25, 0), quantization="fp8").method == "Fp8PerTensorOnlineMoEMethod"
    per_channel = call(None, (0, 24, 0), quantization="fp8_per_channel")
    assert per_channel.quant is not None
    assert per_channel.quant.allow_vllm_cutlass
    assert per_channel.refused_with("MARLIN") is not None
    assert per_channel.refused_with("VLLM_CUTLASS") is None


def test_what_the_tables_do_not_know_is_said_and_not_guessed() -> None:
    answer = build({"quant_method": "bitnet"}, (0, 31, 0), quantization="humming")
    why = "HummingMoEMethod: a checkpoint of its own kind (bitnet); the tables do not state it"
    assert answer == NoOracle("", why)


@pytest.mark.parametrize(
    "raw",
    [
        {**BLOCKS, "weight_block_size": 128},
        {**BLOCKS, "weight_block_size": ["a", "b"]},
        {**BLOCKS, "weight_block_size": [0, 0]},
        {**BLOCKS, "weight_block_size": [128, -1]},
        {"quant_method": "awq", "bits": 4, "group_size": "128", "zero_point": True},
        {"quant_method": "compressed-tensors", "config_groups": [1]},
        {"quant_method": "quark", "global_quant_config": [], "export": {}, "exclude": []},
    ],
)
def test_a_declaration_of_the_wrong_shape_is_not_guessed_at(raw: dict[str, Any]) -> None:
    answer = build(raw, (0, 33, 0))
    assert isinstance(answer, NoOracle)
    assert answer.why
