"""Telling cases of the MXFP4 oracles, by literals."""

from __future__ import annotations

from moe_doctor.core.machine import Gpu, MachineSnapshot
from moe_doctor.core.query import MoEQuery, Parallel, QuantQuery
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.select import select_moe
from tests.oracle.asking import ask, reason_of

GPT_OSS = MoEQuery(128, 4, 2880, 2880, 128, activation="swigluoai", has_bias=True)
DEEPSEEK_V4 = MoEQuery(256, 6, 4096, 2048, 256, routing_method="DeepseekV4")
QWEN_SHAPE = MoEQuery(
    512,
    10,
    2560,
    640,
    64,
    parallel=Parallel(ep_size=8, use_ep=True),
    quant=QuantQuery(activation_key="kMxfp4Dynamic"),
)
H100 = Gpu("NVIDIA H100", (9, 0))
B200 = Gpu("NVIDIA B200", (10, 0))
RTX_PRO = Gpu("NVIDIA RTX PRO 6000", (12, 0))
MI355X = Gpu("AMD Instinct MI355X", None, "gfx950")


def test_gpt_oss_on_hopper_runs_openais_triton_kernels() -> None:
    selection = ask("gpt_oss_mxfp4", "0.20.0", H100, GPT_OSS)
    assert selection.backend == "TRITON"
    assert selection.kernel == "OAITritonMxfp4ExpertsMonolithic"
    assert selection.engine_log == "Using 'TRITON' Mxfp4 MoE backend."


def test_lora_in_0_20_goes_to_marlin_unless_the_variable_says_no() -> None:
    lora = GPT_OSS._replace(lora=True)
    assert ask("gpt_oss_mxfp4", "0.20.0", H100, lora).kernel == "MarlinExperts"
    refused = ask("gpt_oss_mxfp4", "0.20.0", H100, lora, environment={"VLLM_MXFP4_USE_MARLIN": "0"})
    assert refused.kernel == "UnfusedOAITritonExperts"


def test_xpu_is_asked_once_more_with_plain_inputs() -> None:
    layer = MoEQuery(
        512,
        22,
        5120,
        2688,
        64,
        activation="swigluoai",
        parallel=Parallel(
            dp_size=8,
            ep_size=8,
            use_ep=True,
            all2all_backend="flashinfer_nvlink_one_sided",
        ),
        quant=QuantQuery(activation_key="kMxfp8Dynamic"),
    )
    facts = make_facts(MachineSnapshot("xpu", (), simulated=True), (0, 21, 0))
    selection = select_moe("mxfp4", layer, facts, (0, 21, 0), {})
    assert (selection.backend, selection.kernel) == ("XPU", "XPUExpertsMXFp4")
    said = [(one.accepted, one.asked) for one in selection.trace if one.backend == "XPU"]
    assert said == [(False, True), (True, True)]


def test_lora_on_rocm_is_refused_in_0_20() -> None:
    selection = ask("gpt_oss_mxfp4", "0.20.0", MI355X, GPT_OSS._replace(lora=True))
    assert selection.error is not None
    assert selection.error.message == "Mxfp4 LoRA is currently only supported on CUDA."


def test_the_same_class_is_judged_once_for_each_kind_of_inputs() -> None:
    selection = ask("deepseek_v4_mxfp4", "0.28.0", B200, DEEPSEEK_V4)
    assert selection.backend == "FLASHINFER_TRTLLM_MXFP4_MXFP8"
    assert selection.kernel == "TrtLlmMxfp4ExpertsModular"
    assert "Renormalize" in reason_of(selection, "TrtLlmMxfp4ExpertsMonolithic")


def test_humming_comes_before_marlin_on_hopper_from_0_32() -> None:
    assert ask("deepseek_v4_mxfp4", "0.31.0", H100, DEEPSEEK_V4).kernel == "MarlinExperts"
    newer = ask("deepseek_v4_mxfp4", "0.33.0", H100, DEEPSEEK_V4)
    assert newer.backend == "HUMMING"
    assert newer.kernel == "HummingIndexedExperts"


def test_triton_comes_after_marlin_on_consumer_blackwell_from_0_32() -> None:
    order = [one.backend for one in ask("mxfp4", "0.33.0", RTX_PRO, GPT_OSS).trace]
    assert order.index("TRITON") > order.index("BATCHED_MARLIN")


def test_an_explicit_name_with_lora_takes_the_lora_class_in_0_33() -> None:
    query = GPT_OSS._replace(lora=True, moe_backend="flashinfer_trtllm")
    assert ask("mxfp4", "0.33.0", B200, query).kernel == "TrtLlmMxfp4LoRAExperts"
    older = ask("mxfp4", "0.32.0", B200, query)
    assert older.error is not None
    assert older.error.message.endswith("since kernel does not support LoRA.")


def test_wanted_inputs_that_a_backend_does_not_take_are_refused() -> None:
    query = GPT_OSS._replace(
        moe_backend="deep_gemm", quant=QuantQuery(activation_key="kMxfp8Dynamic")
    )
    selection = ask("mxfp4", "0.24.0", B200, query)
    assert selection.error is not None
    assert selection.error.message.endswith("; supported variants: ['DEEPGEMM_MXFP4']")


def test_emulation_needs_quark_from_0_28() -> None:
    query = GPT_OSS._replace(moe_backend="emulation")
    selection = ask("mxfp4", "0.28.0", H100, query)
    assert selection.error is not None
    assert selection.error.message.endswith("since kernel requires amd-quark package.")
    assert ask("mxfp4", "0.28.0", H100, query, with_=("amd-quark",)).backend == "EMULATION"


def test_humming_that_is_not_installed_fails_on_import_until_0_24() -> None:
    query = GPT_OSS._replace(moe_backend="humming")
    selection = ask("mxfp4", "0.21.0", H100, query)
    assert selection.error is not None
    assert selection.error.type == "ModuleNotFoundError"


def test_one_shape_is_emulated_on_mi350_from_0_29_to_0_32() -> None:
    on = {"VLLM_ROCM_USE_AITER": "1"}
    with_ = ("amd-quark",)
    emulated = ask("mxfp4", "0.30.0", MI355X, QWEN_SHAPE, environment=on, with_=with_)
    assert emulated.backend == "EMULATION"
    assert "not reliable" in emulated.note
    native = ask("mxfp4", "0.33.0", MI355X, QWEN_SHAPE, environment=on, with_=with_)
    assert native.backend == "AITER_MXFP4_MXFP4"
