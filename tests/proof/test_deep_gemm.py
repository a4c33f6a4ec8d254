"""DeepGEMM around a stand-in of its GEMM that computes from what it is handed."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from moe_doctor.core.machine import Gpu, MachineSnapshot, Present  # noqa: E402
from moe_doctor.core.spec import RoutingSpec  # noqa: E402
from moe_doctor.kernels.reference import fused_moe_reference  # noqa: E402
from moe_doctor.proof.adapters import find_adapters  # noqa: E402
from moe_doctor.proof.adapters.base import Question, UnfitError  # noqa: E402
from moe_doctor.proof.adapters.deep_gemm import DeepGemmAdapter  # noqa: E402
from moe_doctor.proof.adapters.deep_gemm_rows import placed  # noqa: E402
from moe_doctor.proof.case import Geometry, ProofCase  # noqa: E402
from moe_doctor.proof.compare import compare  # noqa: E402
from moe_doctor.proof.inputs import make_batch, make_weights  # noqa: E402

Tensor = torch.Tensor
BLOCKS = Geometry(4, 4, 2, 2, 256, 128, 128, "silu", True, "bfloat16", "bfloat16")
BLOCKS = replace(BLOCKS, scheme="fp8_block_128x128")
H100 = MachineSnapshot(
    "cuda", gpus=(Gpu("NVIDIA H100", (9, 0)),), packages={"torch": Present("2.11.0")}
)
QUESTION = Question(H100, "bfloat16", "silu", gated=True, lora=False, scheme="fp8_block_128x128")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module with DeepGEMM's function; rows of expert -1 stay unwritten."""

    def gemm(
        a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], d: Tensor, m_indices: Tensor
    ) -> None:
        d.fill_(float("nan"))
        x = a[0].float() * a[1].repeat_interleave(128, 1)
        for start in range(0, len(d), 128):
            (expert,) = m_indices[start : start + 128].unique().tolist()  # one for a block
            if expert >= 0:
                blocks = b[1][expert].repeat_interleave(128, 0).repeat_interleave(128, 1)
                w = b[0][expert].float() * blocks
                d[start : start + 128] = (x[start : start + 128] @ w.T).to(d.dtype)

    fake = ModuleType("deep_gemm")
    fake.m_grouped_fp8_gemm_nt_contiguous = gemm  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deep_gemm", fake)
    monkeypatch.setattr("moe_doctor.proof.adapters.deep_gemm.deep_gemm_is_installed", lambda: True)
    return fake


@pytest.mark.parametrize("geometry", [BLOCKS, replace(BLOCKS, activation="relu2", gated=False)])
def test_two_grouped_gemms_make_the_layer(geometry: Geometry, installed: ModuleType) -> None:
    weights = make_weights(geometry, None, torch.device("cpu"))
    batch = make_batch(ProofCase("x", 7, "experts-without-tokens"), weights, RoutingSpec())
    adapter = DeepGemmAdapter()
    out = adapter.run(adapter.prepare(weights), batch, torch.empty_like(batch.hidden_states))
    how = weights.arguments()
    routes = batch.topk_weights, batch.topk_ids
    wanted = fused_moe_reference(batch.hidden_states, weights.w13, weights.w2, *routes, **how)
    found = compare(out, wanted, dtype="bfloat16", depth=256, scheme=geometry.scheme)
    assert found.passed, found.detail


def test_every_expert_begins_at_the_alignment() -> None:
    ids = torch.tensor([[2, 0], [2, 3], [0, 2]])
    place, experts = placed(ids, 4, 8)
    assert place.tolist() == [[8, 0], [9, 16], [1, 10]]
    assert experts.unique_consecutive().tolist() == [0, 2, 3, -1]
    assert len(experts) % 8 == 0
    assert placed(torch.tensor([[1]]), 4, 8)[1].tolist() == [1] * 8


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (replace(QUESTION, lora=True), "takes no LoRA adapters"),
        (replace(QUESTION, scheme="none"), "takes fp8_block_128x128 weights; these are none"),
        (replace(QUESTION, dtype="float16"), "the hidden states are float16"),
        (replace(QUESTION, has_bias=True), "a bias is not added"),
        (replace(QUESTION, activation="swiglustep"), "activation is swiglustep"),
        (replace(QUESTION, machine=MachineSnapshot("cpu")), "9.0; there is no GPU here"),
        (
            replace(QUESTION, machine=replace(H100, gpus=(Gpu("B200", (10, 0)),))),
            "needs a GPU of compute capability 9.0; this one is 10.0",
        ),
    ],
)
def test_deep_gemm_says_what_it_needs(
    question: Question, reason: str, installed: ModuleType
) -> None:
    assert reason in (DeepGemmAdapter().unavailable(question) or "")
    assert DeepGemmAdapter().unavailable(QUESTION) is None


def test_without_the_package_it_is_said_who_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moe_doctor.proof.adapters.deep_gemm.deep_gemm_is_installed", lambda: False)
    reason = DeepGemmAdapter().unavailable(QUESTION) or ""
    assert reason.startswith("deep_gemm is not installed in this environment (vLLM from 0.20.0")


def test_an_old_release_and_odd_sizes_are_unfit(installed: ModuleType) -> None:
    odd = replace(BLOCKS, intermediate_size_per_partition=96)
    with pytest.raises(UnfitError, match="multiples of 128; these are 256 and 96"):
        DeepGemmAdapter().prepare(make_weights(odd, None, torch.device("cpu")))
    del installed.m_grouped_fp8_gemm_nt_contiguous
    with pytest.raises(UnfitError, match="deep_gemm of unknown release has no m_grouped_fp8"):
        DeepGemmAdapter().prepare(make_weights(BLOCKS, None, torch.device("cpu")))


def test_the_option_has_an_adapter_of_ours() -> None:
    assert "DeepGemmAdapter" in [type(one).__name__ for one in find_adapters("deep_gemm")]
