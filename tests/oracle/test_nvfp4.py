"""Telling cases of the NVFP4 oracle, by literals."""

from __future__ import annotations

import pytest

from moe_doctor.core.machine import Gpu, MachineSnapshot
from moe_doctor.core.query import MoEQuery, Parallel, QuantQuery
from moe_doctor.core.selection import EngineError
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.select import select_moe
from tests.oracle.asking import ask, reason_of

W4A4 = QuantQuery("kNvfp4Static", "kNvfp4Dynamic")
W4A16 = QuantQuery("kNvfp4Static", None)
DEEPSEEK = MoEQuery(256, 8, 7168, 2048, 256, routing_method="DeepSeekV3", quant=W4A4)
LOW_LATENCY = Parallel(dp_size=8, ep_size=8, use_ep=True, all2all_backend="deepep_low_latency")
B200 = Gpu("NVIDIA B200", (10, 0))
H100 = Gpu("NVIDIA H100", (9, 0))
RTX_PRO = Gpu("NVIDIA RTX PRO 6000", (12, 0))
MI355X = Gpu("AMD Instinct MI355X", None, "gfx950")


def test_blackwell_takes_trtllm_and_the_info_line_quotes_it() -> None:
    selection = ask("nvfp4", "0.20.0", B200, DEEPSEEK)
    assert selection.backend == "FLASHINFER_TRTLLM"
    assert selection.kernel == "TrtLlmNvFp4ExpertsMonolithic"
    assert selection.engine_log == (
        "Using 'FLASHINFER_TRTLLM' NvFp4 MoE backend out of potential backends: "
        "['FLASHINFER_TRTLLM', 'FLASHINFER_CUTEDSL', 'FLASHINFER_CUTEDSL_BATCHED', "
        "'FLASHINFER_CUTLASS', 'VLLM_CUTLASS', 'MARLIN', 'EMULATION']."
    )


@pytest.mark.parametrize(
    ("version", "backend"), [("0.20.0", "MARLIN"), ("0.31.0", "MARLIN"), ("0.32.0", "HUMMING")]
)
def test_hopper_has_no_fp4_arithmetic(version: str, backend: str) -> None:
    assert ask("nvfp4", version, H100, DEEPSEEK).backend == backend


def test_0_16_names_no_class_for_trtllm() -> None:
    selection = ask("nvfp4", "0.16.0", B200, DEEPSEEK)
    assert (selection.backend, selection.kernel) == ("FLASHINFER_TRTLLM", None)
    assert selection.runs == "flashinfer_trtllm_fp4_moe"


def test_0_19_fails_on_import_without_flashinfer() -> None:
    machine = MachineSnapshot("cuda", (H100,), simulated=True)
    release = (0, 19, 1)
    selection = select_moe("nvfp4", DEEPSEEK, make_facts(machine, release), release, {})
    assert selection.error == EngineError("ModuleNotFoundError", "No module named 'flashinfer'")


def test_cutedsl_by_name_means_its_batched_class_behind_a_batched_dispatch() -> None:
    query = DEEPSEEK._replace(moe_backend="flashinfer_cutedsl", parallel=LOW_LATENCY)
    selection = ask("nvfp4", "0.20.0", B200, query)
    assert selection.backend == "FLASHINFER_CUTEDSL_BATCHED"
    assert selection.kernel == "FlashInferCuteDSLBatchedExperts"


def test_a_models_clamp_leaves_the_backends_that_apply_it() -> None:
    clamped = DEEPSEEK._replace(swiglu_limit=7.0)
    selection = ask("nvfp4", "0.22.0", H100, clamped)
    assert selection.error == EngineError(
        "NotImplementedError", "No NvFp4 MoE backend supports the deployment configuration."
    )
    assert reason_of(selection, "MarlinExperts") == (
        "does not apply the clamp that swiglu_limit=7.0 asks for"
    )
    assert ask("nvfp4", "0.24.0", H100, clamped).backend == "MARLIN"


def test_a_backend_without_the_clamp_is_refused_by_name() -> None:
    query = DEEPSEEK._replace(swiglu_limit=7.0, moe_backend="marlin")
    error = ask("nvfp4", "0.22.0", B200, query).error
    assert error == EngineError(
        "ValueError",
        "Model sets swiglu_limit=7.0, but the explicitly requested moe_backend='marlin' does not "
        "apply the SwiGLU clamp. Use 'flashinfer_trtllm' or 'flashinfer_cutlass' instead.",
    )


def test_variables_pick_among_flashinfer_until_0_23() -> None:
    wanted = {"VLLM_USE_FLASHINFER_MOE_FP4": "1", "VLLM_FLASHINFER_MOE_BACKEND": "throughput"}
    assert ask("nvfp4", "0.23.0", B200, DEEPSEEK, environment=wanted).backend == (
        "FLASHINFER_CUTLASS"
    )
    assert ask("nvfp4", "0.24.0", B200, DEEPSEEK, environment=wanted).backend == (
        "FLASHINFER_TRTLLM"
    )
    off = {"VLLM_USE_FLASHINFER_MOE_FP4": "0"}
    selection = ask("nvfp4", "0.23.0", B200, DEEPSEEK, environment=off)
    assert selection.backend == "VLLM_CUTLASS"
    assert reason_of(selection, "TrtLlmNvFp4ExpertsModular") == (
        "VLLM_USE_FLASHINFER_MOE_FP4=0 takes it off the list"
    )


def test_b12x_can_leave_the_inputs_in_16_bits() -> None:
    query = DEEPSEEK._replace(
        moe_backend="b12x", activation="swigluoai_uninterleave", swiglu_alpha=1.702
    )
    plain = ask("nvfp4", "0.29.0", RTX_PRO, query, with_=("b12x",))
    assert plain.error is not None
    assert plain.error.message.endswith("does not support swigluoai_uninterleave with W4A8.")
    forced = {"VLLM_B12X_MOE_FP4_FORCE_A16": "1"}
    selection = ask("nvfp4", "0.29.0", RTX_PRO, query, with_=("b12x",), environment=forced)
    assert selection.kernel == "B12xExperts"


def test_situ_needs_a_flashinfer_that_has_it() -> None:
    query = DEEPSEEK._replace(activation="situ", situ_betas=(4.0, 25.0))
    assert ask("nvfp4", "0.27.0", B200, query).backend == "FLASHINFER_TRTLLM"
    assert ask("nvfp4", "0.26.0", B200, query).backend != "FLASHINFER_TRTLLM"


def test_amd_runs_weights_expanded_to_16_bits_from_0_20() -> None:
    assert ask("nvfp4", "0.20.0", MI355X, DEEPSEEK).kernel == (
        "Nvfp4QuantizationEmulationTritonExperts"
    )
    refused = ask("nvfp4", "0.20.0", MI355X, DEEPSEEK._replace(quant=W4A16))
    assert refused.error is not None
    assert refused.error.type == "NotImplementedError"


def test_emulation_gives_lora_up_in_0_25() -> None:
    lora = DEEPSEEK._replace(lora=True, moe_backend="emulation")
    assert ask("nvfp4", "0.24.0", H100, lora).backend == "EMULATION"
    error = ask("nvfp4", "0.25.0", H100, lora).error
    assert error == EngineError(
        "ValueError",
        "NvFp4 MoE backend 'EMULATION' does not support the deployment configuration since "
        "kernel does not support LoRA.",
    )
