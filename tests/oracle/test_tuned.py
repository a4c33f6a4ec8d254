"""Names of tuned tile files, as vLLM builds them."""

from __future__ import annotations

import pytest

from moe_doctor.core.query import QuantQuery
from moe_doctor.oracle.engines.vllm.tuned import ships_tuned_file, tuned_file_name

H100 = "NVIDIA H100 80GB HBM3"
PLAIN = "E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3"
REFINED = "QuantKey(f8e4m3fn,scale(f32,static,GroupShape(row=64,col=64)),symmetric)"


@pytest.mark.parametrize(
    ("oracle", "weight_key", "dtype", "name"),
    [
        ("unquantized", None, "bfloat16", PLAIN),
        ("unquantized", None, "float32", PLAIN + ",dtype=float32"),
        ("fp8", "kFp8StaticTensorSym", "bfloat16", PLAIN + ",dtype=fp8_w8a8"),
        (
            "fp8",
            "kFp8Static128BlockSym",
            "bfloat16",
            PLAIN + ",dtype=fp8_w8a8,block_shape=[128,128]",
        ),
        ("fp8", REFINED, "bfloat16", PLAIN + ",dtype=fp8_w8a8,block_shape=[64,64]"),
        ("int8", "kInt8StaticChannelSym", "bfloat16", PLAIN),
        ("gpt_oss_mxfp4", "kMxfp4Static", "bfloat16", None),
    ],
)
def test_the_name_tells_dtype_and_block_shape(
    oracle: str, weight_key: str | None, dtype: str, name: str | None
) -> None:
    quant = None if weight_key is None else QuantQuery(weight_key)
    assert tuned_file_name(128, 768, H100, oracle, quant, dtype) == name


def test_the_h200_family_shares_its_files() -> None:
    name = tuned_file_name(128, 384, "NVIDIA H200 NVL", "unquantized", None, "bfloat16")
    assert name == "E=128,N=384,device_name=NVIDIA_H200"


def test_a_file_of_a_scheme_is_found_in_its_release() -> None:
    quant = QuantQuery("kFp8Static128BlockSym")
    name = tuned_file_name(128, 384, "NVIDIA B200", "fp8", quant, "bfloat16")
    assert name is not None
    assert ships_tuned_file(name, (0, 20, 0))
