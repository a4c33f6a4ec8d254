"""Telling cases of the FP8 oracle, by literals."""

from __future__ import annotations

import pytest

from moe_doctor.backends.fp8_formats import BLOCK, CHANNEL, TENSOR_DYNAMIC, TENSOR_STATIC
from moe_doctor.core.machine import Gpu, MachineSnapshot
from moe_doctor.core.query import MoEQuery, Parallel, QuantQuery
from moe_doctor.core.release import parse_release
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.select import select_moe
from tests.oracle.asking import ask, reason_of

H100 = Gpu("NVIDIA H100", (9, 0))
B200 = Gpu("NVIDIA B200", (10, 0))
RTX_PRO = Gpu("NVIDIA RTX PRO 6000", (12, 0))
A100 = Gpu("NVIDIA A100", (8, 0))
MI300X = Gpu("AMD Instinct MI300X", None, "gfx942")

DEEPSEEK = MoEQuery(
    256,
    8,
    7168,
    256,
    256,
    routing_method="DeepSeekV3",
    router_logits_dtype="float32",
    parallel=Parallel(tp_size=8),
    quant=QuantQuery(*BLOCK),
)
EP8 = Parallel(ep_size=8, use_ep=True)
DEEPEP_LL = Parallel(dp_size=8, ep_size=8, use_ep=True, all2all_backend="deepep_low_latency")


def with_format(weight: str | None, activation: str | None, *, cutlass: bool = True) -> MoEQuery:
    return DEEPSEEK._replace(quant=QuantQuery(weight, activation, allow_vllm_cutlass=cutlass))


def test_hopper_block_fp8_takes_triton_with_tp_and_flashinfer_with_ep() -> None:
    assert ask("fp8", "0.20.0", H100, DEEPSEEK).backend == "TRITON"
    with_ep = DEEPSEEK._replace(parallel=EP8)
    assert ask("fp8", "0.20.0", H100, with_ep).backend == "FLASHINFER_CUTLASS"
    # 0.16.0 has one order for all
    assert ask("fp8", "0.16.0", H100, DEEPSEEK).backend == "FLASHINFER_CUTLASS"


def test_blackwell_routes_deepseek_inside_trtllm() -> None:
    selection = ask("fp8", "0.33.0", B200, DEEPSEEK)
    assert selection.kernel == "TrtLlmFp8ExpertsMonolithic"
    other = ask("fp8", "0.33.0", B200, DEEPSEEK._replace(routing_method="Unspecified"))
    assert other.kernel == "TrtLlmFp8ExpertsModular"


def test_the_function_of_0_16_names_no_class() -> None:
    selection = ask("fp8", "0.16.0", B200, DEEPSEEK)
    assert selection.backend == "FLASHINFER_TRTLLM"
    assert selection.kernel is None
    refused = ask(
        "fp8",
        "0.16.0",
        B200,
        DEEPSEEK._replace(routing_method="Renormalize"),
        environment={"VLLM_USE_FLASHINFER_MOE_FP8": "1", "VLLM_FLASHINFER_MOE_BACKEND": "latency"},
    )
    assert refused.error is not None
    assert refused.error.message == (
        "FP8 MoE backend FLASHINFER_TRTLLM does not support the deployment configuration since "
        "kernel does not support float32 router_logits with non-DeepSeekV3 routing."
    )


def test_0_16_names_no_values_in_its_reasons() -> None:
    selection = ask("fp8", "0.16.0", H100, DEEPSEEK)
    reasons = {one.kernel: one.engine_reason for one in selection.trace}
    assert reasons["AiterExperts"] == "kernel does not support current device"


def test_a_model_that_deep_gemm_harms_goes_to_triton_on_blackwell_from_0_33() -> None:
    query = DEEPSEEK._replace(
        quant=QuantQuery(*BLOCK, model_type="qwen3_5_moe_text"), activation="swiglustep"
    )
    assert ask("fp8", "0.32.0", B200, query).backend == "DEEPGEMM"
    newer = ask("fp8", "0.33.0", B200, query)
    assert newer.backend == "TRITON"
    assert "qwen3_5_moe_text" in reason_of(newer, "TritonOrDeepGemmExperts")


def test_vllm_cutlass_needs_the_methods_leave() -> None:
    query = with_format(*CHANNEL)._replace(moe_backend="cutlass")
    assert ask("fp8", "0.24.0", H100, query).kernel == "TritonOrCutlassExperts"
    refused = ask(
        "fp8", "0.24.0", H100, with_format(*CHANNEL, cutlass=False)._replace(moe_backend="cutlass")
    )
    assert refused.error is not None
    assert (
        refused.error.message == "vLLM CUTLASS FP8 MoE backend is disabled for this configuration."
    )


def test_an_explicit_name_means_the_batched_variant_behind_low_latency_dispatch() -> None:
    query = DEEPSEEK._replace(parallel=DEEPEP_LL, moe_backend="deep_gemm")
    assert ask("fp8", "0.28.0", H100, query).kernel == "BatchedDeepGemmExperts"


def test_lora_took_triton_at_once_until_0_19_and_crashed_behind_low_latency_dispatch() -> None:
    lora = DEEPSEEK._replace(lora=True, parallel=DEEPEP_LL)
    early = ask("fp8", "0.19.1", H100, lora)
    assert early.kernel == "TritonExperts"
    assert early.crash is not None
    assert early.crash.type == "TypeError"
    late = ask("fp8", "0.20.0", H100, lora)
    assert late.error is not None
    assert late.error.type == "NotImplementedError"


def test_lora_on_a_block_checkpoint_keeps_triton_from_0_20() -> None:
    selection = ask("fp8", "0.20.0", B200, DEEPSEEK._replace(lora=True))
    assert selection.kernel == "TritonExperts"
    assert reason_of(selection, "TrtLlmFp8ExpertsMonolithic").startswith("cannot apply LoRA")


def test_ampere_falls_back_to_marlin_and_its_force_variable_is_gone_from_0_29() -> None:
    assert ask("fp8", "0.33.0", A100, DEEPSEEK).backend == "MARLIN"
    force = {"VLLM_TEST_FORCE_FP8_MARLIN": "1"}
    assert ask("fp8", "0.28.0", H100, DEEPSEEK, environment=force).backend == "MARLIN"
    assert ask("fp8", "0.29.0", H100, DEEPSEEK, environment=force).backend == "TRITON"


def test_mi300_prints_its_own_fp8_type() -> None:
    query = with_format("kFp8StaticTensorSym", None)
    selection = ask("fp8", "0.28.0", MI300X, query, environment={"VLLM_ROCM_USE_AITER": "1"})
    assert selection.error is not None
    assert "QuantKey(f8e4m3fnuz,scale(f32,static,per_tensor),symmetric)xNone" in (
        selection.error.message
    )


def test_blocks_that_were_cut_finer_are_tritons_alone_from_0_29() -> None:
    fine = "QuantKey(f8e4m3fn,scale(f32,static,GroupShape(row=64, col=64)),symmetric)"
    query = with_format(fine, "kFp8Dynamic128Sym")
    selection = ask("fp8", "0.33.0", H100, query)
    assert selection.kernel == "TritonExperts"
    assert [one.kernel for one in selection.trace if one.accepted] == ["TritonExperts"]
    assert ask("fp8", "0.28.0", H100, query).error is not None


def test_trtllm_clamps_block_scaled_weights_from_0_30() -> None:
    query = DEEPSEEK._replace(swiglu_limit=7.0)
    assert ask("fp8", "0.28.0", B200, query).backend == "FLASHINFER_TRTLLM"
    assert ask("fp8", "0.29.0", B200, query).backend == "DEEPGEMM"
    assert ask("fp8", "0.30.0", B200, query).backend == "FLASHINFER_TRTLLM"


@pytest.mark.parametrize(
    ("version", "backend"), [("0.20.0", "NONE"), ("0.21.0", "CPU"), ("0.33.0", "CPU")]
)
def test_a_cpu_has_no_kernel_before_0_21(version: str, backend: str) -> None:
    release = parse_release(version)
    assert release is not None
    machine = MachineSnapshot("cpu", cpu_features=("amx_tile",))
    query = DEEPSEEK._replace(routing_method="Renormalize")
    selection = select_moe("fp8", query, make_facts(machine, release), release, {})
    assert selection.backend == backend


def test_flashinfer_takes_fixed_input_scales_and_not_dynamic_ones() -> None:
    fixed = with_format(*TENSOR_STATIC, cutlass=False)
    assert ask("fp8", "0.33.0", RTX_PRO, fixed).backend == "FLASHINFER_CUTLASS"
    dynamic = with_format(*TENSOR_DYNAMIC, cutlass=False)
    assert ask("fp8", "0.33.0", RTX_PRO, dynamic).backend == "TRITON"


def test_humming_stands_before_marlin_on_hopper_from_0_32() -> None:
    order = [one.backend for one in ask("fp8", "0.32.0", H100, DEEPSEEK).trace]
    assert order.index("HUMMING") < order.index("MARLIN")
    before = [one.backend for one in ask("fp8", "0.31.0", H100, DEEPSEEK).trace]
    assert before.index("MARLIN") < before.index("HUMMING")
