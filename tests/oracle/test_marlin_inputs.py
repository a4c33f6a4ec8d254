"""VLLM_MARLIN_INPUT_DTYPE: which configs read it, where it is refused, and for which widths."""

from __future__ import annotations

from typing import Any

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.release import Release
from moe_doctor.core.spec import QuantSpec
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal
from moe_doctor.oracle.engines.vllm.methods.outcome import NoOracle, OracleCall
from moe_doctor.oracle.engines.vllm.methods.select import left_out_of, method_of
from moe_doctor.oracle.engines.vllm.setting import Setting
from tests.oracle.test_methods import SPEC

BLOCKS = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
WRONG_GPU = "Marlin W4A8-FP8 only support SM89 or SM12"


def answer(
    raw: dict[str, Any],
    release: Release,
    value: str,
    capability: tuple[int, int] = (9, 0),
    *,
    left_out: bool = False,
) -> OracleCall | NoOracle | EngineRefusal:
    return (left_out_of if left_out else method_of)(
        QuantSpec(str(raw["quant_method"]), None, details=raw),
        Deployment(),
        release=release,
        setting=Setting("cuda", capability, environment={"VLLM_MARLIN_INPUT_DTYPE": value}),
        spec=SPEC,
        query=MoEQuery(128, 8, 2048, 768, 128),
        model_type="qwen3_moe",
    )


def error(*args: Any, **kwargs: Any) -> str:
    found = answer(*args, **kwargs)
    assert isinstance(found, EngineRefusal)
    return f"{found.error.type}: {found.error.message}"


@pytest.mark.parametrize("raw", [GPTQ, AWQ, BLOCKS])
@pytest.mark.parametrize("release", [(0, 16, 0), (0, 24, 0), (0, 33, 0)])
def test_fp8_inputs_are_refused_where_marlin_would_be_slow(
    raw: dict[str, Any], release: Release
) -> None:
    assert error(raw, release, "fp8").startswith(f"ValueError: {WRONG_GPU}")
    assert isinstance(answer(raw, release, "int8"), (OracleCall, NoOracle))


def test_every_blackwell_desktop_may_take_them_from_0_22() -> None:
    assert error(AWQ, (0, 21, 0), "fp8", (12, 1)).startswith(f"ValueError: {WRONG_GPU}0 device")
    assert isinstance(answer(AWQ, (0, 22, 0), "fp8", (12, 1)), OracleCall)


def test_another_value_is_refused_where_it_is_read() -> None:
    text = "Invalid value 'FP8' for VLLM_MARLIN_INPUT_DTYPE. Valid options: ['int8', 'fp8']."
    assert error(GPTQ, (0, 33, 0), "FP8") == f"ValueError: {text}"
    assert isinstance(answer({"quant_method": "mxfp4"}, (0, 33, 0), "FP8"), OracleCall)


def test_the_test_of_the_width_is_the_wrong_way_round_from_0_20() -> None:
    text = "W8A8-INT8 is not supported by marlin kernel."
    for bits, release in ((8, (0, 19, 1)), (4, (0, 20, 0)), (4, (0, 33, 0))):
        found = answer({**GPTQ, "bits": bits}, release, "int8", (8, 9))
        late = found if isinstance(found, EngineRefusal) else None
        if isinstance(found, OracleCall):
            late = found.refused_with("MARLIN")
        assert late is not None
        assert late.error.message == text
    fine = answer({**GPTQ, "bits": 8}, (0, 33, 0), "int8", (8, 9))
    assert isinstance(fine, OracleCall)
    assert fine.refused_with("MARLIN") is None


def test_experts_that_are_left_out_are_refused_with_the_layers_around_them() -> None:
    assert error(GPTQ, (0, 33, 0), "fp8", left_out=True).startswith(f"ValueError: {WRONG_GPU}")
