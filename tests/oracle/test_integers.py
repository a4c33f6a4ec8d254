"""Integer weights: what a checkpoint's layout rules out, and odd corners by release."""

from __future__ import annotations

import pytest

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.query import MoEQuery, Parallel, QuantQuery
from moe_doctor.core.release import parse_release
from moe_doctor.core.selection import Selection
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.select import select_moe
from tests.oracle.recorded import told
from tests.truth import emulated_machine

INT4 = QuantQuery(weight_key="kInt4Static", kind="ct", group_size=128)
GPTQ = QuantQuery(weight_key="kInt4Static", kind="gptq", group_size=128)
INT8 = QuantQuery(weight_key="kInt8StaticChannelSym", activation_key="kInt8DynamicTokenSym")
W4A8 = QuantQuery(weight_key="kInt4Static", activation_key="kFp8DynamicTokenSym")
DYNAMIC = QuantQuery(weight_key="kInt4W4A8StaticGroup128Sym")
BATCHED = Parallel(
    tp_size=1, dp_size=8, ep_size=8, use_ep=True, all2all_backend="deepep_low_latency"
)


def ask(
    oracle: str,
    release: str,
    quant: QuantQuery,
    machine: MachineSnapshot | None = None,
    capability: str = "9.0",
    environment: dict[str, str] | None = None,
    **changes: object,
) -> Selection:
    number = parse_release(release)
    assert number is not None
    here = machine or emulated_machine(release, capability, "docker", environment)
    base: dict[str, object] = {
        "num_experts": 128,
        "top_k": 8,
        "hidden_size": 2048,
        "intermediate_size_per_partition": 768,
        "num_local_experts": 128,
        "quant": quant,
    }
    query = MoEQuery(**(base | changes))  # type: ignore[arg-type]
    return select_moe(oracle, query, make_facts(here, number), number, here.environment)


def reason_against(selection: Selection, kernel: str) -> str:
    return next(one.reason for one in selection.trace if one.kernel == kernel)


def test_hopper_turns_from_marlin_to_humming_in_0_32_0() -> None:
    assert ask("int_wna16", "0.31.0", INT4).kernel == "MarlinExperts"
    assert ask("int_wna16", "0.32.0", INT4).kernel == "HummingIndexedExperts"
    assert ask("int_wna16", "0.32.0", INT4, capability="10.0").kernel == "MarlinExperts"


def test_expert_parallelism_groups_the_humming_gemm_from_0_30_0() -> None:
    spread = Parallel(ep_size=8, use_ep=True)
    assert ask("int8", "0.29.0", INT8, moe_backend="humming", parallel=spread).kernel == (
        "HummingIndexedExperts"
    )
    assert ask("int8", "0.30.0", INT8, moe_backend="humming", parallel=spread).kernel == (
        "HummingGroupedExperts"
    )


def test_a_whole_column_of_compressed_tensors_crashes_marlin_until_0_29_0() -> None:
    column = INT4._replace(group_size=-1)
    crash = "TypeError: '<=' not supported between instances of 'NoneType' and 'int'"
    assert told(ask("int_wna16", "0.29.0", column)) == (None, None, crash)
    assert ask("int_wna16", "0.30.0", column).kernel == "MarlinExperts"


def test_reordered_gptq_is_refused_from_0_30_0() -> None:
    reordered = GPTQ._replace(desc_act=True)
    assert ask("int_wna16", "0.29.0", reordered).kernel == "MarlinExperts"
    assert told(ask("int_wna16", "0.30.0", reordered)) == (
        None,
        None,
        "ValueError: GPTQ group activation ordering (desc_act=True) is no longer supported. "
        "Use a checkpoint with static activation ordering or desc_act=False.",
    )


def test_asymmetric_gptq_has_no_configuration() -> None:
    assert told(ask("int_wna16", "0.33.0", GPTQ._replace(symmetric=False))) == (
        None,
        None,
        "ValueError: Unsupported quantization config: bits=4, sym=False",
    )


def test_a_layout_is_named_before_a_class_is_asked() -> None:
    selection = ask("int_wna16", "0.30.0", INT4._replace(kind="moe_wna16"))
    assert selection.kernel == "TritonWNA16Experts"
    marlin = next(one for one in selection.trace if one.kernel == "MarlinExperts")
    assert (marlin.accepted, marlin.asked) == (False, False)
    assert marlin.reason == "the MoeWNA16 checkpoint layout is not supported"


def test_an_explicit_backend_refuses_a_layout_in_the_engines_words() -> None:
    assert told(ask("int_wna16", "0.33.0", GPTQ, moe_backend="triton")) == (
        None,
        None,
        "ValueError: WNA16 MoE backend 'TRITON' does not support the deployment configuration "
        "since expert bias is not supported.",
    )


def test_moe_backend_is_not_read_before_0_25_0() -> None:
    assert ask("int_wna16", "0.24.0", INT4, moe_backend="deep_gemm").kernel == "MarlinExperts"
    assert ask("int_wna16", "0.25.0", INT4, moe_backend="deep_gemm").kernel is None


@pytest.mark.parametrize("release", ["0.20.2", "0.21.0"])
def test_int8_with_lora_behind_a_batched_dispatch(release: str) -> None:
    selection = ask("int8", release, INT8, lora=True, parallel=BATCHED)
    assert selection.kernel == ("TritonExperts" if release == "0.20.2" else None)


def test_int8_names_the_formats_in_its_error_from_0_27_0() -> None:
    early = told(ask("int8", "0.24.0", INT8, parallel=BATCHED))[2]
    late = told(ask("int8", "0.28.0", INT8, parallel=BATCHED))[2]
    assert early == (
        "NotImplementedError: No Int8 MoE backend supports the deployment configuration."
    )
    assert late is not None
    assert "(weight_key=QuantKey(i8,scale(f32,static,per_channel),symmetric), " in late


def test_an_integer_format_that_cannot_be_printed_ends_the_oracle_until_0_26_0() -> None:
    asymmetric = W4A8._replace(weight_key="kInt4StaticAsym")
    assert told(ask("w4a8", "0.26.0", asymmetric))[2] == "KeyError: ScalarType.uint4"
    late = told(ask("w4a8", "0.27.0", asymmetric))[2]
    assert late is not None
    assert late.startswith("NotImplementedError: W4A8 MoE backend CUTLASS")


def test_w4a8_needs_hopper_or_humming_from_0_31_0() -> None:
    assert ask("w4a8", "0.30.0", W4A8, capability="10.0").kernel == "CutlassExpertsW4A8Fp8"
    selection = ask("w4a8", "0.31.0", W4A8, capability="10.0")
    assert selection.kernel == "HummingIndexedExperts"
    assert reason_against(selection, "CutlassExpertsW4A8Fp8") == (
        "needs compute capability 9.0; this GPU is 10.0"
    )


def test_w4a8_with_integer_inputs_is_for_arm_processors() -> None:
    arm = MachineSnapshot(platform="cpu", simulated=True, cpu_arch="aarch64")
    x86 = MachineSnapshot(platform="cpu", simulated=True)
    assert told(ask("w4a8_int8", "0.33.0", DYNAMIC, arm)) == ("CPU_INT4", "CPUExpertsInt4", None)
    refused = ask("w4a8_int8", "0.33.0", DYNAMIC, x86)
    assert refused.kernel is None
    assert reason_against(refused, "CPUExpertsInt4") == ("needs an Arm processor; this is x86_64")
    assert told(ask("w4a8_int8", "0.33.0", DYNAMIC))[2] == (
        "NotImplementedError: W4A8 Int8 MoE is only supported on CPU platforms"
    )


def test_a_cpu_needs_amx_for_16_bit_inputs_from_0_28_0() -> None:
    plain = MachineSnapshot(platform="cpu", simulated=True)
    amx = MachineSnapshot(platform="cpu", simulated=True, cpu_features=("amx_tile",))
    assert ask("int_wna16", "0.27.1", INT4, plain).kernel == "CPUExpertsInt4"
    assert ask("int_wna16", "0.28.0", INT4, plain).kernel is None
    assert ask("int_wna16", "0.28.0", INT4, amx).kernel == "CPUExpertsInt4"
