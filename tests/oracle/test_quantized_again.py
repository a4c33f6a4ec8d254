"""`--quantization NAME` on checkpoints that are quantized already, and 8-bit inputs for Marlin.

The answers were given by the releases' own code on emulated GPUs.
"""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.models.parse import parse_model
from moe_doctor.oracle.answer import select_layers
from moe_doctor.oracle.engines.vllm.methods.outcome import NoOracle
from tests.oracle.test_linear_refusals import QWEN3
from tests.oracle.test_methods import BLOCKS, build, call, keys, refusal
from tests.truth import emulated_machine

STORED = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": []}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}


def test_a_shorthand_on_a_claimed_checkpoint_is_refused_ignored_refused_and_followed() -> None:
    asked = {"quantization": "fp8_per_block"}
    first = refusal(STORED, (0, 21, 0), **asked)
    assert first.stage == "config"
    assert "the model checkpoint already has a `quantization_config`" in first.error.message
    assert call(STORED, (0, 22, 0), **asked).method == "ModelOptFp8MoEMethod"
    assert call(STORED, (0, 29, 0), **asked).method == "ModelOptFp8MoEMethod"
    again = refusal(STORED, (0, 31, 0), **asked)
    assert again.error.message == "Cannot apply requested online quantization "
    assert again.by_linear
    said = call(STORED, (0, 32, 0), **asked)
    assert said.method == "ModelOptFp8MoEMethod"
    assert [one.refusal.error.message for one in said.afterwards] == [
        "Requantizing checkpoint-quantized MoE layers is not supported."
    ]
    newest = call(STORED, (0, 33, 0), **asked)
    assert newest.method == "Fp8PerBlockOnlineMoEMethod"
    assert keys(newest) == ("fp8", "kFp8Static128BlockSym", "kFp8Dynamic128Sym")
    # The checkpoint's own method is made as well, and its oracle has to find a kernel.
    assert newest.stored is not None
    assert newest.stored.method == "ModelOptFp8MoEMethod"


@pytest.mark.parametrize("release", ["0.16.0", "0.22.1", "0.31.0", "0.33.0"])
def test_an_empty_declaration_is_one_of_no_method(release: str) -> None:
    model = parse_model(QWEN3 | {"quantization_config": {}}, id="m", source="directory")
    machine, engine = emulated_machine(release, "9.0", "docker"), Engine("vllm", release)

    def said(asked: str | None) -> str | None:
        wanted = Deployment(quantization=asked)
        error = select_layers(model, wanted, machine, engine, lora=False)[0].selection.error
        return None if error is None else error.message

    assert said(None) is None
    for asked in ("fp8", "gptq", "fp8_per_block"):
        assert "specified in the model config (None) does not match" in str(said(asked))
    if release != "0.16.0":
        assert said("humming") == "unsupported weight quant_method: "


def test_in_0_32_the_stored_experts_oracle_refuses_before_their_second_method() -> None:
    model = parse_model(QWEN3 | {"quantization_config": STORED}, id="m", source="directory")
    machine = emulated_machine("0.32.0", "10.0", "none", None, "cuda")
    said = []
    for backend in ("auto", "flashinfer_cutlass"):
        asked = Deployment(quantization="fp8_per_channel", moe_backend=backend)
        answer = select_layers(model, asked, machine, Engine("vllm", "0.32.0"), lora=False)[0]
        assert answer.selection.error is not None
        said.append(answer.selection.error.text)
    assert said == [
        "NotImplementedError: Requantizing checkpoint-quantized MoE layers is not supported.",
        "ValueError: FP8 MoE backend FLASHINFER_CUTLASS does not support the deployment "
        "configuration since kernel does not support current device cuda.",
    ]


@pytest.mark.parametrize(
    ("algorithm", "asked"), [("NVFP4", "fp8_per_tensor"), ("FP8", "fp8_per_block")]
)
@pytest.mark.parametrize("lora", [False, True])
def test_stored_experts_are_asked_about_before_and_the_new_ones_after(
    algorithm: str, asked: str, lora: bool
) -> None:
    declared = {"quant_method": "modelopt", "quant_algo": algorithm, "ignore": []}

    def kernels(config: dict[str, Any]) -> list[str | None]:
        model = parse_model(config, id="m", source="directory")
        machine = emulated_machine("0.33.0", "9.0", "none", None, "cuda")
        chosen = Deployment(quantization=asked)
        answers = select_layers(model, chosen, machine, Engine("vllm", "0.33.0"), lora=lora)
        return [f"{one.selection.oracle} {one.selection.kernel}" for one in answers]

    # What the new format gets on a plain checkpoint, not what the stored one would.
    assert kernels(QWEN3 | {"quantization_config": declared}) == kernels(QWEN3)
    assert kernels(QWEN3) == ["fp8 TritonExperts"]


def test_mxfp8_is_a_checkpoints_name_too_and_leaves_it_alone() -> None:
    assert refusal(STORED, (0, 21, 0), quantization="mxfp8").stage == "config"
    assert call(STORED, (0, 33, 0), quantization="mxfp8").method == "ModelOptFp8MoEMethod"


def test_gguf_takes_every_checkpoint_from_0_20_to_0_23() -> None:
    answer = build(BLOCKS, (0, 20, 2), quantization="gguf")
    assert isinstance(answer, NoOracle)
    assert answer.method == "GGUFMoEMethod"
    said = refusal(BLOCKS, (0, 19, 1), quantization="gguf")
    assert "does not match the quantization method specified" in said.error.message


@pytest.mark.parametrize("name", ["online", "fp8_per_tensor", "int8_per_channel_weight_only"])
def test_a_checkpoint_cannot_declare_what_is_done_while_loading(name: str) -> None:
    said = refusal({"quant_method": name}, (0, 33, 0))
    assert (said.error.type, said.stage) == ("NotImplementedError", "config")


def test_torchao_and_the_lists_of_bitsandbytes_do_not_reach_experts() -> None:
    raw = {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig"}}}
    assert call(raw, (0, 33, 0)).oracle == "unquantized"
    assert (
        "quant_type must be specified"
        in refusal({"quant_method": "torchao"}, (0, 33, 0)).error.message
    )
    answer = build({"quant_method": "bitsandbytes", "load_in_4bit": True}, (0, 27, 0))
    assert isinstance(answer, NoOracle)
    assert answer.backend == "TRITON"
    eight = {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}
    assert refusal(eight, (0, 27, 0)).error.type == "NotImplementedError"
    stored = {"quant_method": "bitsandbytes", "bnb_4bit_quant_storage": "bfloat16"}
    text = "Unsupported bnb_4bit_quant_storage: bfloat16"
    assert refusal(stored, (0, 27, 0)).error.message.endswith(text)


def test_gguf_leaves_bfloat16_away_on_blackwell() -> None:
    for release in ((0, 16, 0), (0, 23, 0)):
        said = refusal(None, release, quantization="gguf", capability=(10, 0))
        assert said.error.message.endswith(
            "torch.bfloat16 is not supported for quantization method gguf. Supported dtypes: "
            "[torch.float16, torch.float32]"
        )
        assert isinstance(build(None, release, quantization="gguf"), NoOracle)
