"""What Humming is asked for a declaration, and which of its classes answers.

The answers were given by the releases' own code on emulated GPUs.
"""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.machine import Gpu
from moe_doctor.core.query import MoEQuery, Parallel, QuantQuery
from moe_doctor.core.selection import EngineError, Outcome
from tests.oracle.asking import ask
from tests.oracle.test_methods import call, keys, refusal

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}
ROUNDED = {
    "quant_method": "auto-round",
    "bits": 2,
    "group_size": 128,
    "sym": True,
    "data_type": "int",
    "packing_format": "auto_round:auto_gptq",
}
NVFP4 = {
    "quant_method": "modelopt",
    "quant_algo": "NVFP4",
    "ignore": [],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 4, "type": "float", "group_size": 16},
            "input_activations": {"num_bits": 4, "type": "float", "group_size": 16},
        }
    },
}
HOPPER = Gpu("H100", (9, 0))


def humming(raw: dict[str, Any], release: tuple[int, int, int], **more: Any) -> Any:
    return keys(call(raw, release, quantization="humming", **more))[1:]


def group(dtype: str, scale: str, size: int, sign: str = "symmetric") -> str:
    return f"QuantKey({dtype},scale({scale},static,GroupShape(row=1, col={size})),{sign})"


def test_integers_keep_their_width_and_the_models_dtype_from_0_31() -> None:
    assert humming(GPTQ, (0, 30, 0)) == (group("uint4b8", "f16", 128), None)
    assert humming(GPTQ, (0, 31, 0)) == (group("uint4b8", "bf16", 128), None)
    assert humming({**GPTQ, "bits": 8}, (0, 30, 0)) == (group("uint4b8", "f16", 128), None)
    assert humming({**GPTQ, "bits": 8}, (0, 33, 0)) == (group("uint8b128", "bf16", 128), None)
    assert humming({**GPTQ, "bits": 3}, (0, 33, 0)) == (group("u8", "bf16", 128), None)


@pytest.mark.parametrize(
    ("capability", "inputs"),
    [((8, 0), None), ((9, 0), "kFp8DynamicTokenSym"), ((10, 0), None)],
)
def test_fp8_inputs_depend_on_the_gpu_from_0_31(
    capability: tuple[int, int], inputs: str | None
) -> None:
    asked = humming(FP8, (0, 33, 0), capability=capability)
    assert asked == ("kFp8StaticTensorSym", inputs)
    assert humming(FP8, (0, 28, 0), capability=capability) == (
        "kFp8StaticChannelSym",
        "kFp8DynamicTokenSym",
    )


def test_nvfp4_inputs_stay_plain_below_blackwells_desktops() -> None:
    assert humming(NVFP4, (0, 33, 0)) == ("kNvfp4Static", None)
    assert humming(NVFP4, (0, 33, 0), capability=(12, 0)) == ("kNvfp4Static", "kNvfp4Dynamic")
    assert humming(NVFP4, (0, 30, 0)) == ("kNvfp4Static", "kFp8DynamicTokenSym")
    by_token = "QuantKey(u8,scale(f32,dynamic,per_token),symmetric)"
    assert humming(NVFP4, (0, 31, 0), capability=(12, 0)) == ("kNvfp4Static", by_token)
    assert humming(NVFP4, (0, 32, 0), capability=(12, 0)) == ("kNvfp4Static", "kNvfp4Dynamic")


@pytest.mark.parametrize("bits", [2, 3, 5, 6, 7])
def test_auto_rounds_narrow_integers_are_hummings_from_0_30(bits: int) -> None:
    answer = call({**ROUNDED, "bits": bits}, (0, 33, 0))
    assert (answer.oracle, answer.method) == ("humming", "HummingMoEMethod")
    assert keys(answer)[1] == group("u8", "bf16", 128)
    assert call({**ROUNDED, "bits": bits}, (0, 30, 0)).oracle == "humming"


def test_before_0_30_linear_layers_refuse_them_first() -> None:
    said = refusal(ROUNDED, (0, 29, 0))
    assert said.error.message.startswith("INC quantization with bits=2, sym=True")
    awq = {**ROUNDED, "packing_format": "auto_round:auto_awq"}
    assert refusal(awq, (0, 29, 0)).error.message.startswith("Unsupported num_bits = 2.")
    old = "Currently, only 4-bit weight quantization is supported for AWQ, but got 8 bits."
    assert refusal({**awq, "bits": 8}, (0, 20, 0)).error.message == old


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"quant_method": "bitsandbytes"}, "unsupported weight quant_method: bitsandbytes"),
        ({**GPTQ, "group_size": -1}, "Trying to create tensor with negative dimension -2048: ["),
        ({**NVFP4, "quant_algo": "FP8"}, "unsupported modelopt algo: fp8"),
        ({"quant_method": "quark"}, "QuarkWeightSchema.__init__() missing 1 required keyword-only"),
    ],
)
def test_what_humming_does_not_read_is_refused_in_its_words(raw: dict[str, Any], text: str) -> None:
    assert refusal(raw, (0, 33, 0), quantization="humming").error.message.startswith(text)


def query(weights: str, inputs: str | None = None, **more: Any) -> MoEQuery:
    base = MoEQuery(128, 8, 2048, 768, 128, quant=QuantQuery(weights, inputs))
    return base._replace(**more)


def test_the_indexed_class_is_taken_without_and_the_grouped_one_with_expert_parallelism() -> None:
    weights = group("u8", "bf16", 64, "asymmetric")
    assert ask("humming", "0.33.0", HOPPER, query(weights)).kernel == "HummingIndexedExperts"
    parallel = Parallel(ep_size=8, use_ep=True)
    spread = ask("humming", "0.33.0", HOPPER, query(weights, parallel=parallel))
    assert spread.kernel == "HummingGroupedExperts"


def test_without_a_class_the_weights_cannot_be_converted() -> None:
    answer = ask("humming", "0.33.0", HOPPER, query("kNvfp4Static", lora=True))
    assert (answer.outcome, answer.backend, answer.kernel) == (Outcome.SELECTED, "HUMMING", None)
    assert answer.crash == EngineError("AssertionError", "")
    assert answer.note == "no class of Humming fits; vLLM finds out while it converts the weights"


def test_a_reason_about_integers_cannot_be_printed_until_0_26() -> None:
    answer = ask("humming", "0.26.0", HOPPER, query(group("uint4b8", "f16", 128)))
    assert answer.error is not None
    assert (answer.error.type, answer.error.message) == ("KeyError", "ScalarType.uint4b8")
