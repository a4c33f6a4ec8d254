from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.query import QuantQuery
from moe_doctor.core.spec import QuantSpec
from moe_doctor.kernels.schemes import find_scheme
from moe_doctor.proof.schemes import scheme_of

REFINED = "QuantKey(f8e4m3fn,scale(f32,static,GroupShape(row=64, col=64)),symmetric)"


def ct(weights: dict[str, Any], inputs: dict[str, Any] | None = None) -> QuantSpec:
    groups = {"group_0": {"weights": weights, "input_activations": inputs}}
    return QuantSpec("compressed-tensors", details={"config_groups": groups})


@pytest.mark.parametrize(
    ("quant", "scheme"),
    [
        (QuantQuery("kFp8StaticTensorSym", "kFp8StaticTensorSym"), "fp8_tensor_static"),
        (QuantQuery("kFp8StaticTensorSym", "kFp8DynamicTensorSym"), "fp8_tensor"),
        (QuantQuery("kFp8StaticChannelSym", "kFp8DynamicTokenSym"), "fp8_channel"),
        (QuantQuery("kFp8Static128BlockSym", "kFp8Dynamic128Sym"), "fp8_block_128x128"),
        (QuantQuery(REFINED, "kFp8Dynamic128Sym"), "fp8_block_64x64"),
        (QuantQuery("kInt8StaticChannelSym", "kInt8DynamicTokenSym"), "int8_channel"),
        (QuantQuery("kInt4Static", group_size=128), "int4_g128"),
        (QuantQuery("kInt4Static32", group_size=32), "int4_g32"),
        (QuantQuery("kInt4Static", group_size=-1), "int4_channel"),
        (QuantQuery("kInt4StaticAsym", group_size=64, symmetric=False), "int4_g64_zeros"),
        (QuantQuery("kInt8Static", bits=8, group_size=-1), "int8_weight_channel"),
        (QuantQuery("kMxfp4Static"), "mxfp4"),
        (QuantQuery("kNvfp4Static", "kNvfp4Dynamic"), "nvfp4"),
    ],
)
def test_the_engines_formats_name_the_scheme(quant: QuantQuery, scheme: str) -> None:
    assert scheme_of(QuantSpec("whatever"), quant) == (scheme, "")
    assert find_scheme(scheme).name == scheme


@pytest.mark.parametrize(
    ("spec", "scheme"),
    [
        (None, "none"),
        (QuantSpec("fp8"), "fp8_tensor"),
        (QuantSpec("fp8", details={"activation_scheme": "static"}), "fp8_tensor_static"),
        (QuantSpec("fp8", details={"weight_block_size": [128, 128]}), "fp8_block_128x128"),
        (QuantSpec("mxfp4"), "mxfp4"),
        (QuantSpec("gptq", details={"bits": 4, "group_size": 128, "sym": True}), "int4_g128"),
        (QuantSpec("awq", details={"group_size": 64, "zero_point": True}), "int4_g64_zeros"),
        (QuantSpec("modelopt", "FP8"), "fp8_tensor_static"),
        (QuantSpec("modelopt", "NVFP4"), "nvfp4"),
        (
            ct(
                {"type": "float", "num_bits": 8, "strategy": "channel"},
                {"dynamic": True, "strategy": "token"},
            ),
            "fp8_channel",
        ),
        (
            ct({"type": "int", "num_bits": 8, "strategy": "channel"}, {"dynamic": True}),
            "int8_channel",
        ),
        (ct({"type": "int", "num_bits": 4, "group_size": 32, "symmetric": True}), "int4_g32"),
    ],
)
def test_the_declaration_speaks_where_the_engine_does_not(
    spec: QuantSpec | None, scheme: str
) -> None:
    assert scheme_of(spec, QuantQuery()).scheme == scheme


@pytest.mark.parametrize(
    ("spec", "quant", "reason"),
    [
        (QuantSpec("quark"), None, "the experts are stored as quark"),
        (QuantSpec("gptq", details={"bits": 3, "group_size": 128}), None, "stored as gptq"),
        (
            QuantSpec("modelopt"),
            QuantQuery("kNvfp4Static", "kNvfp4DynamicToken"),
            "the experts have kNvfp4Static weights with kNvfp4DynamicToken inputs",
        ),
        (
            QuantSpec("gptq"),
            QuantQuery("kInt4Static", group_size=128, desc_act=True),
            "columns are reordered across groups",
        ),
    ],
)
def test_what_proofs_do_not_have_is_said(
    spec: QuantSpec, quant: QuantQuery | None, reason: str
) -> None:
    found = scheme_of(spec, quant)
    assert found.scheme is None
    assert reason in found.reason


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="scheme is 'int3_g128'; expected one of none, fp8_tensor"):
        find_scheme("int3_g128")
    with pytest.raises(ValueError, match="groups hold a power of two"):
        find_scheme("int4_g96")
