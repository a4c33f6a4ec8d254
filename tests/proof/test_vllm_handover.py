"""What vLLM's own kernels are handed, undone by stand-ins on the CPU."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from moe_doctor.core.spec import RoutingSpec  # noqa: E402
from moe_doctor.kernels.e2m1 import decode, unpack  # noqa: E402
from moe_doctor.kernels.reference import fused_moe_reference  # noqa: E402
from moe_doctor.proof.adapters import vllm_hints, vllm_kernel, vllm_rounding  # noqa: E402
from moe_doctor.proof.adapters import vllm_wna16 as wna16  # noqa: E402
from moe_doctor.proof.adapters.base import UnfitError  # noqa: E402
from moe_doctor.proof.adapters.vllm import VllmFlashInferCutlass, VllmMarlin  # noqa: E402
from moe_doctor.proof.adapters.vllm_kernel import VllmKernel, logits_for  # noqa: E402
from moe_doctor.proof.adapters.vllm_lora import give_adapters, knows_original_states  # noqa: E402
from moe_doctor.proof.adapters.vllm_schemes import WNA16  # noqa: E402
from moe_doctor.proof.adapters.vllm_session import LAYERS  # noqa: E402
from moe_doctor.proof.adapters.vllm_stored import nvfp4_scales, stored_in_turns  # noqa: E402
from moe_doctor.proof.case import Geometry, LoRASetup, ProofCase  # noqa: E402
from moe_doctor.proof.inputs import Batch, Weights, make_batch, make_weights  # noqa: E402

Tensor = torch.Tensor
PLAIN = Geometry(4, 4, 2, 2, 128, 64, 64, "silu", True, "float32", "float32")
CPU = torch.device("cpu")


def layer(
    geometry: Geometry, lora: LoRASetup | None = None, tokens: int = 6
) -> tuple[Weights, Batch]:
    weights = make_weights(geometry, lora, CPU)
    ids = "none" if lora is None else "mixed"
    return weights, make_batch(ProofCase("x", tokens, lora_ids=ids), weights, RoutingSpec())


def reference(weights: Weights, batch: Batch) -> Tensor:
    return fused_moe_reference(
        batch.hidden_states,
        weights.w13,
        weights.w2,
        batch.topk_weights,
        batch.topk_ids,
        **weights.arguments(),
        lora=batch.lora,
    )


# ---- WNA16 ---------------------------------------------------------------------------------------


def wna16_package(geometry: Geometry) -> SimpleNamespace:
    """`fused_experts` as `fused_moe_kernel_gptq_awq` reads its operands."""

    def config(
        w1_scale: Tensor, w2_scale: Tensor, w1_zp: Any, w2_zp: Any, block_shape: list[int]
    ) -> dict[str, Any]:
        return {"scales": (w1_scale, w2_scale), "zeros": (w1_zp, w2_zp), "group": block_shape[1]}

    def matrix(codes: Tensor, scales: Tensor, zeros: Tensor | None, group: int) -> Tensor:
        four = codes.shape[2] * group != scales.shape[2] * group * group
        wide = unpack(codes.flatten(0, 1)).view(*codes.shape[:2], -1) if four else codes
        offset = torch.tensor(8.0 if four else 128.0)
        if zeros is not None:
            both = torch.stack((zeros & 15, zeros >> 4), dim=2).flatten(1, 2)
            offset = both.repeat_interleave(group, 2).float()
        return (wide.float() - offset) * scales.float().repeat_interleave(group, 2)

    def fused_experts(
        hidden_states: Tensor,
        w1: Tensor,
        w2: Tensor,
        topk_weights: Tensor,
        topk_ids: Tensor,
        inplace: bool = False,
        quant_config: Any = None,
    ) -> Tensor:
        assert not inplace
        made = (
            matrix(w, *pair, quant_config["group"])
            for w, *pair in zip(
                (w1, w2), quant_config["scales"], quant_config["zeros"], strict=True
            )
        )
        return fused_moe_reference(hidden_states, *made, topk_weights, topk_ids)

    return SimpleNamespace(
        __name__="fused_moe",
        fused_experts=fused_experts,
        int4_w4a16_moe_quant_config=config,
        int8_w8a16_moe_quant_config=config,
    )


@pytest.mark.parametrize("scheme", ["int4_g32", "int4_g64_zeros", "int8_weight_g32"])
def test_groups_of_integers_mean_the_same_layer_to_wna16(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    geometry = replace(PLAIN, scheme=scheme)
    weights, batch = layer(geometry)
    monkeypatch.setattr(wna16, "find_module", lambda name: wna16_package(geometry))
    monkeypatch.setattr(vllm_kernel, "poison_workspace", lambda: None)
    kernel = wna16.build_wna16(weights, "triton", "0.20.0")
    assert torch.allclose(kernel(batch), reference(weights, batch), rtol=1e-4, atol=1e-4)
    assert scheme in WNA16


@pytest.mark.parametrize(
    ("changes", "option", "reason"),
    [
        ({}, "marlin", "handed to vLLM's Triton kernel alone"),
        ({"activation": "gelu"}, "triton", "has gated silu without a bias"),
        ({"limit": 7.0}, "triton", "has no clamp"),
        ({"scheme": "int4_channel"}, "triton", "needs groups"),
    ],
)
def test_wna16_says_what_it_has_not(changes: dict[str, Any], option: str, reason: str) -> None:
    weights, _ = layer(replace(PLAIN, **{"scheme": "int4_g32", **changes}))
    with pytest.raises(UnfitError, match=reason):
        wna16.build_wna16(weights, option, "0.20.0")


# ---- gpt-oss -------------------------------------------------------------------------------------


def test_gpt_oss_rows_take_turns_and_are_padded_with_zeros() -> None:
    geometry = replace(
        PLAIN, scheme="mxfp4", has_bias=True, hidden_size=96, intermediate_size_per_partition=32
    )
    weights, _ = layer(geometry)
    found = stored_in_turns(weights, 128, 64)
    assert found.w13.shape == (4, 128, 64)
    assert found.w2.shape == (4, 128, 32)
    assert found.w13_scale is not None
    spread = torch.exp2(found.w13_scale.float() - 127).repeat_interleave(32, 2)
    wide = decode(unpack(found.w13.flatten(0, 1))).view_as(spread) * spread
    gate, up = weights.w13.expert(2).chunk(2)
    assert torch.equal(wide[2, 0:64:2, :96], gate)
    assert torch.equal(wide[2, 1:64:2, :96], up)
    assert wide[:, 64:].abs().max() == 0
    assert wide[:, :, 96:].abs().max() == 0
    assert found.w13_bias is not None
    assert weights.bias13 is not None
    assert torch.equal(found.w13_bias[3, 0:64:2], weights.bias13[3, :32])


def test_a_kernel_that_routes_itself_is_led_to_the_same_routes() -> None:
    _, batch = layer(PLAIN)
    logits = logits_for(batch, 4, 2)
    best, ids = logits.topk(2, dim=1)
    assert torch.equal(ids.int(), batch.topk_ids)
    assert torch.allclose(best.softmax(1), batch.topk_weights, atol=1e-6)


def test_routes_that_no_router_makes_are_unfit() -> None:
    _, batch = layer(PLAIN)
    with pytest.raises(UnfitError, match="routes each token to 3 experts by itself"):
        logits_for(batch, 4, 3)
    doubled = replace(batch, topk_weights=batch.topk_weights * 2)
    with pytest.raises(UnfitError, match="weights that add up to 1"):
        logits_for(doubled, 4, 2)


def test_a_padded_layer_gets_wide_states_and_gives_narrow_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vllm_kernel, "poison_workspace", lambda: None)
    seen: list[tuple[int, ...]] = []

    def apply(hidden_states: Tensor, router_logits: Tensor) -> Tensor:
        seen.append(tuple(hidden_states.shape))
        return hidden_states + router_logits.new_ones(1)

    _, batch = layer(PLAIN)
    kernel = VllmKernel("k", apply, {}, hidden_size=256, routed=(4, 2))
    assert torch.equal(kernel(batch), batch.hidden_states + 1)
    assert seen == [(6, 256)]
    with pytest.raises(UnfitError, match="take 3 experts for each token"):
        replace(kernel, top_k=3)(batch)


# ---- LoRA ----------------------------------------------------------------------------------------


class Punica:
    """`PunicaWrapperGPU` with what it was made with and told."""

    def __init__(self, tokens: int, max_batches: int, device: Any, lora_config: Any) -> None:
        self.lora_config = lora_config
        self.token_mapping_meta = SimpleNamespace(prepare_tensors=self._take)
        self.told: list[list[int]] = []

    def _take(self, ids: Tensor) -> None:
        self.told.append(ids[:8].tolist())


@dataclass
class Context:
    """`MoELoRAContext` of 0.20.0, in part."""

    w13_lora_a_stacked: tuple[Tensor, ...]
    w13_lora_b_stacked: tuple[Tensor, ...]
    w2_lora_a_stacked: tuple[Tensor, ...]
    w2_lora_b_stacked: tuple[Tensor, ...]
    adapter_enabled: Tensor
    max_loras: int
    w13_num_slices: int
    punica_wrapper: Punica


@pytest.fixture
def lora_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, parts in (
        (f"{LAYERS}.fused_moe.experts.lora_context", {"MoELoRAContext": Context}),
        ("vllm.lora.punica_wrapper.punica_gpu", {"PunicaWrapperGPU": Punica}),
        ("vllm.config.lora", {"LoRAConfig": lambda **kw: SimpleNamespace(**kw)}),
    ):
        module = ModuleType(name)
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, name, module)


def test_adapters_in_vllms_stacks_are_the_same_adapters(lora_modules: None) -> None:
    weights, batch = layer(PLAIN, LoRASetup((16, 8), (2.0, 0.5)))
    adapters = weights.adapters
    assert adapters is not None
    assert batch.lora is not None
    given: list[Context] = []
    kernel = SimpleNamespace(fused_experts=SimpleNamespace(set_lora_context=given.append))
    load = give_adapters(kernel, adapters, PLAIN, "0.20.0")
    (context,) = given
    delta = torch.cat(
        [
            b[1, 3] @ a[1, 3]
            for a, b in zip(context.w13_lora_a_stacked, context.w13_lora_b_stacked, strict=True)
        ]
    )
    assert torch.allclose(delta, 0.5 * adapters.b13[1, 3] @ adapters.a13[1, 3], atol=1e-6)
    (a2,), (b2,) = context.w2_lora_a_stacked, context.w2_lora_b_stacked
    assert torch.allclose(b2[0, 1] @ a2[0, 1], 2 * adapters.b2[0, 1] @ adapters.a2[0, 1], atol=1e-6)
    assert context.adapter_enabled.tolist() == [1, 1, 0]
    assert context.punica_wrapper.lora_config.max_loras == 2
    load(batch.lora.lora_ids)
    # What a server's warm-up leaves, then this batch.
    assert context.punica_wrapper.told == [[0] * 8, [-1, 0, 1, -1, 0, 1]]
    assert not knows_original_states("0.20.0")


def test_experts_without_adapters_and_older_releases_are_unfit(
    lora_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, _ = layer(PLAIN, LoRASetup((16, 8), (2.0, 0.5)))
    assert weights.adapters is not None
    kernel = SimpleNamespace(fused_experts=SimpleNamespace())
    with pytest.raises(UnfitError, match=r"of vLLM 0\.20\.0 takes no LoRA adapters"):
        give_adapters(kernel, weights.adapters, PLAIN, "0.20.0")

    def nothing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("moe_doctor.proof.adapters.vllm_lora.importlib.import_module", nothing)
    kernel = SimpleNamespace(fused_experts=SimpleNamespace(set_lora_context=print))
    with pytest.raises(UnfitError, match=r"vLLM 0\.19\.1 applies adapters by patching its layer"):
        give_adapters(kernel, weights.adapters, PLAIN, "0.19.1")


# ---- what is known -------------------------------------------------------------------------------


def hint(
    ids: list[int],
    tokens: int,
    *,
    reads_quantized: bool = False,
    slots: int = 2,
    version: str = "0.20.0",
) -> str:
    setup = LoRASetup((8,) * slots, (1.0,) * slots)
    _, batch = layer(PLAIN, setup, tokens)
    assert batch.lora is not None
    batch.lora.lora_ids.copy_(torch.tensor(ids, dtype=torch.int32).repeat(tokens)[:tokens])
    geometry = replace(PLAIN, num_experts=64)
    return vllm_hints.about_adapters(batch, geometry, version, reads_quantized=reads_quantized)


def test_what_vllms_adapters_are_known_for_is_said() -> None:
    assert "#42008" in hint([-1], 2)
    assert hint([-1], 64) == ""
    assert "aligns max_loras=2 kinds of tokens" in hint([-1, 0, 1], 64)
    assert hint([-1, 0, 1], 64, slots=3) == ""
    assert hint([0, 1], 64) == ""
    assert hint([0, 1], 64, reads_quantized=True).endswith("kernels quantized hidden states")
    assert hint([-1], 2, version="0.24.0") == ""
    assert hint([-1, 0, 1], 64, version="0.22.0") == ""


def test_another_release_than_the_pinned_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    releases = {"vllm": "0.20.0", "flashinfer-python": "0.6.13"}
    monkeypatch.setattr(vllm_hints.metadata, "version", releases.__getitem__)
    monkeypatch.setattr(
        vllm_hints.metadata, "requires", lambda name: ["flashinfer-python==0.6.8.post1"]
    )
    assert vllm_hints.pinned_otherwise("vllm", "flashinfer-python") == (
        "vllm 0.20.0 pins flashinfer-python 0.6.8.post1; 0.6.13 is installed"
    )
    releases["flashinfer-python"] = "0.6.8.post1"
    assert vllm_hints.pinned_otherwise("vllm", "flashinfer-python") == ""


@pytest.mark.parametrize("keeps", [True, False])
def test_int8_is_compared_as_this_release_multiplies_it(
    keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(w1_scale: Tensor, a1_scale: None, per_act_token_quant: bool) -> SimpleNamespace:
        return SimpleNamespace(use_int8_w8a16=keeps)

    oracle = ModuleType("int8")
    oracle.make_int8_moe_quant_config = make  # type: ignore[attr-defined]
    oracle.Int8MoeBackend = SimpleNamespace(TRITON="TRITON")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"{LAYERS}.fused_moe.oracle.int8", oracle)
    weights, _ = layer(replace(PLAIN, scheme="int8_channel"))
    meant = vllm_rounding.as_rounded(weights, "triton")
    assert meant.w13.scheme.quantizes_activations is not keeps


# ---- nvfp4 ---------------------------------------------------------------------------------------


def test_nvfp4_goes_with_a_scale_per_expert_and_one_for_each_input() -> None:
    weights, _ = layer(replace(PLAIN, scheme="nvfp4"))
    found = nvfp4_scales(weights)
    assert torch.equal(found["w13_scale_2"], weights.w13.expert_scales)
    assert found["a13_scale"].shape == (4, 2)
    assert found["a2_scale"].shape == (4,)
    meant = vllm_rounding.as_rounded(weights, "emulation")
    assert meant.w2.scheme.activations == "nvfp4"
    assert meant.w2.input_scale.tolist() == found["a2_scale"][:1].tolist()
    assert VllmFlashInferCutlass().meant(weights).w13.scheme.activations == "nvfp4"
    assert VllmMarlin().meant(weights).w13.scheme.activations == "plain"
