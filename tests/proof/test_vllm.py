"""vLLM's own kernels: a fake package in a real child, and what the parent says without one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from moe_doctor.core.machine import Gpu, MachineSnapshot, Present
from moe_doctor.core.proof import ProofOutcome
from moe_doctor.core.spec import MoESpec, RoutingSpec
from moe_doctor.proof.adapters import find_adapters
from moe_doctor.proof.adapters.base import Question
from moe_doctor.proof.adapters.vllm import VLLM_ADAPTERS, VllmMarlin, VllmTriton
from moe_doctor.proof.case import ProofCase, ProofPlan
from moe_doctor.proof.classify import classify
from moe_doctor.proof.prove import prove
from moe_doctor.proof.runner import ChildEnd, run_children
from tests.proof.conftest import ROOT, SMALL
from tests.proof.fake_vllm import write_fake_vllm

PACKAGES = {"torch": Present("2.11.0"), "triton": Present("3.6.0")}
H100 = MachineSnapshot("cuda", gpus=(Gpu("NVIDIA H100", (9, 0)),), packages=PACKAGES)
CPU = MachineSnapshot("cpu", packages=PACKAGES, memory_bytes=8 << 30)
SWIGLU = Question(H100, "bfloat16", "silu", gated=True, lora=False)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moe_doctor.proof.adapters.vllm_is_installed", lambda: True)
    monkeypatch.setattr("moe_doctor.proof.adapters.vllm.vllm_is_installed", lambda: True)


def run_in_children(folder: Path, *names: str) -> list[ChildEnd]:
    """One child per adapter, on the CPU, with the package of `folder` before everything."""
    plans = [
        ProofPlan(
            implementation=f"moe_doctor.proof.adapters.vllm:{name}",
            mode="cpu",
            geometry=SMALL,
            routing=RoutingSpec(),
            cases=(ProofCase("first", 2),),
        ).to_dict()
        for name in names
    ]
    environment = {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
    return run_children(plans, environments=[environment] * len(plans), timeout_s=90)


def test_the_class_that_the_oracle_chose_runs_or_its_refusal_is_told(
    tmp_path: Path, torch_is_there: None
) -> None:
    names = ("VllmTriton", "VllmDeepGemm", "VllmFlashInferTrtllm", "VllmAiter")
    passed, refused, monolithic, crashed = run_in_children(write_fake_vllm(tmp_path), *names)
    assert classify(passed, 90) == (ProofOutcome.PASSED, "")
    ready = next(event for event in passed.events if event["event"] == "ready")
    assert ready["implementation"] == (
        "vllm.model_executor.layers.fused_moe.oracle.unquantized.TritonExperts"
    )
    assert classify(refused, 90) == (
        ProofOutcome.SKIPPED,
        "vLLM 0.20.0 refuses deep_gemm: moe_backend='deep_gemm' is not supported",
    )
    assert classify(monolithic, 90) == (
        ProofOutcome.SKIPPED,
        "RoutingExperts of vLLM 0.20.0 routes tokens by itself; a proof hands its routes over",
    )
    outcome, reason = classify(crashed, 90)
    assert outcome is ProofOutcome.CRASHED
    assert reason.startswith("killed by SIGABRT in case first, 2 tokens")


def test_a_release_that_asks_for_more_is_skipped_with_what_it_asks_for(
    tmp_path: Path, torch_is_there: None
) -> None:
    (end,) = run_in_children(write_fake_vllm(tmp_path, extra=", moon_phase"), "VllmTriton")
    assert classify(end, 90) == (
        ProofOutcome.SKIPPED,
        "make_unquantized_moe_kernel of this vLLM asks for moon_phase",
    )


def test_an_installation_that_does_not_import_is_skipped_with_why(
    tmp_path: Path, torch_is_there: None
) -> None:
    broken = "raise ImportError('libcudart.so.13: cannot open shared object file')"
    (end,) = run_in_children(write_fake_vllm(tmp_path, broken=broken), "VllmTriton")
    assert classify(end, 90) == (
        ProofOutcome.SKIPPED,
        "the installed vLLM does not import here: "
        "ImportError: libcudart.so.13: cannot open shared object file",
    )


def test_the_engines_own_kernels_go_before_our_stand_in(installed: None) -> None:
    names = [type(adapter).__name__ for adapter in find_adapters("triton")]
    assert names == ["VllmTriton", "TritonAdapter"]
    assert [a.options for a in VLLM_ADAPTERS if len(a.options) != 1] == []


def test_without_vllm_only_ours_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moe_doctor.proof.adapters.vllm_is_installed", lambda: False)
    assert [type(one).__name__ for one in find_adapters("triton")] == ["TritonAdapter"]
    assert find_adapters("marlin") == ()


def test_the_stand_in_says_why_the_engines_own_kernels_did_not_run(installed: None) -> None:
    (proof,) = prove(
        MoESpec(16, 2, 96, 48),
        backend_option="triton",
        lora=False,
        intermediate_size_per_partition=48,
        num_local_experts=16,
        machine=replace(CPU, packages={}),
        dtype="bfloat16",
    )
    assert proof.reason == (
        "torch and triton not installed: pip install 'moe-doctor[kernels]'; "
        "vLLM's own kernels did not run: needs a GPU; this machine's platform is cpu"
    )
    assert proof.implementation == "moe_doctor.kernels.fused_moe"


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (replace(SWIGLU, machine=CPU), "needs a GPU; this machine's platform is cpu"),
        (replace(SWIGLU, scheme="int4_channel"), "int4_channel weights are not handed to vLLM's"),
        (replace(SWIGLU, scheme="fp8_block_64x64"), "fp8_block_64x64 weights are not handed"),
    ],
)
def test_the_parent_says_what_keeps_vllm_from_running(
    question: Question, reason: str, installed: None
) -> None:
    assert reason in (VllmTriton().unavailable(question) or "")


def test_what_waits_for_the_gpu_is_not_captured(installed: None) -> None:
    torch = pytest.importorskip("torch")
    from moe_doctor.proof.inputs import make_weights
    from moe_doctor.proof.trials import run_trial

    (adapter,) = (one for one in VLLM_ADAPTERS if one.options == ("batched_triton",))
    case = ProofCase("cuda-graph-replay", 2, how="graph")
    weights = make_weights(SMALL, None, torch.device("cpu"))
    weights = replace(weights, w13=SimpleNamespace(device=torch.device("cuda")))
    fields = run_trial(adapter, None, weights, case, RoutingSpec())
    assert fields["outcome"] == "skipped"
    assert "BatchedPrepareAndFinalize, which waits for the GPU" in fields["detail"]


def test_every_handed_over_scheme_can_be_asked_for(installed: None) -> None:
    for scheme in ("none", "fp8_tensor", "fp8_block_128x128", "int8_channel", "int4_g64", "mxfp4"):
        assert VllmTriton().unavailable(replace(SWIGLU, scheme=scheme, lora=True)) is None


def test_marlin_is_compared_with_weights_alone_quantized() -> None:
    torch = pytest.importorskip("torch")
    from moe_doctor.proof.inputs import make_weights

    geometry = replace(SMALL, scheme="fp8_channel")
    weights = make_weights(geometry, None, torch.device("cpu"))
    meant = VllmMarlin().meant(weights)
    assert meant.w13.scheme.quantizes_activations is False
    assert weights.w13.scheme.quantizes_activations is True
    assert torch.equal(meant.w13.expert(1), weights.w13.expert(1))


def test_scales_are_powers_of_two_where_vllm_rounds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from moe_doctor.kernels.quantized import requantize_rows
    from moe_doctor.proof.adapters import vllm_rounding
    from moe_doctor.proof.inputs import make_weights

    geometry = replace(SMALL, hidden_size=256, scheme="fp8_block_128x128")
    weights = make_weights(geometry, None, torch.device("cpu"))
    monkeypatch.setattr(vllm_rounding, "rounds_scales", lambda: True)
    assert vllm_rounding.as_rounded(weights, "flashinfer_cutlass") is weights
    triton = vllm_rounding.as_rounded(weights, "triton")
    assert torch.equal(triton.w13.scales, weights.w13.scales)
    again = vllm_rounding.as_rounded(weights, "deep_gemm")
    assert torch.equal(torch.log2(again.w2.scales), torch.log2(again.w2.scales).round())
    wide, narrow = weights.w13.expert(2), again.w13.expert(2)
    assert 0 < float((wide - narrow).norm() / wide.norm()) < 0.04
    rows = torch.full((1, 128), 3.0)
    # 3 / 448 rounded up is 2^-7: 384 is an e4m3 value, 448 would be the type's largest.
    assert torch.equal(requantize_rows(rows, triton.w13.scheme), rows)
    monkeypatch.setattr(vllm_rounding, "rounds_scales", lambda: False)
    assert vllm_rounding.as_rounded(weights, "triton") is weights
