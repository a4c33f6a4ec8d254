"""Blackwell's kernels, which no machine of ours has: stand-ins undo the layouts and compute."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from moe_doctor.core.machine import Gpu, MachineSnapshot, Present  # noqa: E402
from moe_doctor.core.spec import RoutingSpec  # noqa: E402
from moe_doctor.kernels.activations import resolve  # noqa: E402
from moe_doctor.kernels.e2m1 import decode, requantize_nvfp4, unpack  # noqa: E402
from moe_doctor.kernels.reference import activate, fused_moe_reference  # noqa: E402
from moe_doctor.proof.adapters import find_adapters  # noqa: E402
from moe_doctor.proof.adapters.base import Question, UnfitError  # noqa: E402
from moe_doctor.proof.adapters.flashinfer_cutlass import FlashInferCutlassAdapter  # noqa: E402
from moe_doctor.proof.adapters.flashinfer_layouts import make_layout  # noqa: E402
from moe_doctor.proof.adapters.flashinfer_trtllm import FlashInferTrtllmAdapter  # noqa: E402
from moe_doctor.proof.case import Geometry, ProofCase  # noqa: E402
from moe_doctor.proof.compare import compare  # noqa: E402
from moe_doctor.proof.inputs import Batch, Weights, make_batch, make_weights  # noqa: E402

Tensor = torch.Tensor
PLAIN = Geometry(4, 4, 2, 2, 256, 128, 128, "silu", True, "bfloat16", "bfloat16")
NVFP4 = replace(PLAIN, scheme="nvfp4", hidden_size=192, intermediate_size_per_partition=96)
OSS = replace(
    NVFP4, scheme="mxfp4", activation="swigluoai", has_bias=True, limit=7.0, alpha=1.702, beta=1.0
)
PACKAGES = {"torch": Present("2.11.0"), "flashinfer-python": Present("0.6.13")}
B200 = MachineSnapshot("cuda", gpus=(Gpu("NVIDIA B200", (10, 0)),), packages=PACKAGES)
SWIGLU = Question(B200, "bfloat16", "silu", gated=True, lora=False, build=True)

# ---- undoing layouts, by index ---------------------------------------------------------------


def unshuffled(rows: Tensor, tile_m: int) -> Tensor:
    """Row by row: FlashInfer's table of places for blocks of 32 (16) rows, the other way round."""
    block = 32 if tile_m % 128 == 0 else 16
    places = [r // (block // 8) + 8 * (r % (block // 8)) for r in range(block)]
    old = torch.empty_like(rows)
    for row in range(rows.shape[1]):
        old[:, row] = rows[:, row // block * block + places[row % block]]
    return old


def gate_up(rows: Tensor) -> Tensor:
    """Up, gate, up, gate, ... as gate rows and up rows."""
    return torch.cat((rows[:, 1::2], rows[:, 0::2]), dim=1)


def untiled(scales: Tensor) -> Tensor:
    """Scale (m, k) of a tile of 128 x 4 lies at 16 * (m % 32) + 4 * (m // 32) + k."""
    experts, rows, columns = scales.shape
    flat = scales.view(torch.uint8).reshape(experts, rows // 128, columns // 4, 512)
    m, k = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    at = 16 * (m % 32) + 4 * (m % 128 // 32) + k % 4
    return flat[:, m // 128, k // 4, at]


def unblocked(rows: Tensor) -> Tensor:  # [E, blocks, M, columns] to [E, M, K]
    return torch.cat(tuple(rows.unbind(1)), dim=2)


def wide(values: Tensor, scales: Tensor, experts: Tensor | None) -> Tensor:
    """e2m1 weights in float32; `experts` are nvfp4's scales of the whole, None for mxfp4."""
    if experts is None:
        spread = torch.exp2(scales.float() - 127).repeat_interleave(32, 2)
        return decode(unpack(values.flatten(0, 1))).view_as(spread) * spread
    spread = scales.view(torch.float8_e4m3fn).float().repeat_interleave(16, 2)
    return decode(unpack(values.flatten(0, 1))).view_as(spread) * spread * experts[:, None, None]


# ---- a kernel -----------------------------------------------------------------------------------


def computed(
    x: Tensor,
    w13: Tensor,
    w2: Tensor,
    ids: Tensor,
    weights: Tensor,
    geometry: Geometry,
    seen: Callable[[Tensor], Tensor],
    biases: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The layer in float32, one pair at a time; `seen` is what happens before the second GEMM."""
    act = resolve(geometry.activation, geometry.gated, geometry.limit, None, None)
    out = torch.zeros(len(x), w2.shape[1])
    for token in range(len(x)):
        for slot, expert in enumerate(ids[token].tolist()):
            rows = w13[expert] @ x[token]
            rows = rows if biases is None else rows + biases[0][expert]
            down = w2[expert] @ seen(activate(rows[None], act))[0]
            down = down if biases is None else down + biases[1][expert]
            out[token] += weights[token, slot] * down
    return out.bfloat16()


def routes(packed: Tensor) -> tuple[Tensor, Tensor]:
    low = (packed & 0xFFFF).to(torch.int32)
    return packed >> 16, (low << 16).view(torch.float32)


def stand_in(geometry: Geometry, calls: list[str]) -> ModuleType:
    """A module with FlashInfer's three functions, computing from what they are given."""

    def plain(hidden_states: Tensor, topk_ids: Tensor, **kw: Any) -> Tensor:
        calls.append("bf16")
        w13, w2 = (
            unshuffled(unblocked(kw[name].view(torch.uint8)), 128).view(torch.bfloat16).float()
            for name in ("gemm1_weights", "gemm2_weights")
        )
        w13 = gate_up(w13) if kw["activation_type"] == 3 else w13
        return computed(hidden_states.float(), w13, w2, *routes(topk_ids), geometry, lambda r: r)

    def fp8(hidden_states: Tensor, hidden_states_scale: Tensor, **kw: Any) -> Tensor:
        calls.append("fp8")
        x = hidden_states.float() * hidden_states_scale.T.repeat_interleave(128, 1)

        def matrix(name: str) -> Tensor:
            rows = unshuffled(unblocked(kw[name].view(torch.uint8)), 64)
            blocks = kw[f"{name}_scale"].repeat_interleave(128, 1).repeat_interleave(128, 2)
            return rows.view(torch.float8_e4m3fn).float() * blocks

        up, gate = matrix("gemm1_weights").chunk(2, dim=1)
        w13, w2 = torch.cat((gate, up), dim=1), matrix("gemm2_weights")

        def seen(rows: Tensor) -> Tensor:
            groups = rows.view(1, -1, 128)
            scale = groups.abs().amax(2, True).clamp_min(1e-10) / 448
            return ((groups / scale).to(torch.float8_e4m3fn).float() * scale).flatten(1)

        return computed(x, w13, w2, *routes(kw["topk_ids"]), geometry, seen)

    def fp4(hidden_states: Tensor, hidden_states_scale: Tensor | None, **kw: Any) -> list[Tensor]:
        calls.append("fp4")
        nvfp4 = hidden_states_scale is not None
        gate_scale, out_scale = kw["output1_scale_gate_scalar"], kw["output2_scale_scalar"]
        scales = [
            unshuffled(untiled(kw[f"{name}_scale"]), 128)
            for name in ("gemm1_weights", "gemm2_weights")
        ]
        values = [unshuffled(kw[name], 128) for name in ("gemm1_weights", "gemm2_weights")]
        w13 = wide(values[0], scales[0], gate_scale if nvfp4 else None)
        w2 = wide(values[1], scales[1], out_scale if nvfp4 else None)
        w13 = gate_up(w13) if geometry.gated else w13
        x = hidden_states.float()
        if hidden_states_scale is not None:
            # The input's own scale is in the experts' scalars.
            spread = hidden_states_scale.float().repeat_interleave(16, 1)
            x = decode(unpack(hidden_states)) * spread
        biases = None
        if kw["gemm1_bias"] is not None:
            first = gate_up(unshuffled(kw["gemm1_bias"], 128))
            biases = first, unshuffled(kw["gemm2_bias"], 128)
            assert kw["gemm1_clamp_limit"].tolist() == [7.0] * 4

        def seen(rows: Tensor) -> Tensor:
            if not nvfp4:
                return rows
            second = kw["output1_scale_scalar"]
            second = second / gate_scale if geometry.gated else second  # 1 / the input's scale
            whole = torch.ones(1)
            return requantize_nvfp4(rows.bfloat16().float() * second[:1], whole)

        return [computed(x, w13, w2, *routes(kw["topk_ids"]), geometry, seen, biases)]

    fake = ModuleType("flashinfer.fused_moe")
    fake.trtllm_bf16_routed_moe = plain  # type: ignore[attr-defined]
    fake.trtllm_fp8_block_scale_routed_moe = fp8  # type: ignore[attr-defined]
    fake.trtllm_fp4_block_scale_routed_moe = fp4  # type: ignore[attr-defined]
    return fake


def layer(geometry: Geometry) -> tuple[Weights, Batch]:
    weights = make_weights(geometry, None, torch.device("cpu"))
    return weights, make_batch(ProofCase("x", 5, seed=2), weights, RoutingSpec())


def judged(weights: Weights, batch: Batch, out: Tensor) -> float:
    """The relative error against the weights as the backend means them; fails beyond its limit."""
    wanted = fused_moe_reference(
        batch.hidden_states,
        weights.w13,
        weights.w2,
        batch.topk_weights,
        batch.topk_ids,
        **weights.arguments(),
    )
    scheme = weights.geometry.scheme if scheme_is_plain(weights) else weights.w13.scheme
    found = compare(out, wanted, dtype="bfloat16", depth=256, scheme=scheme)
    assert found.passed, found.detail
    return found.relative_error


def scheme_is_plain(weights: Weights) -> bool:
    return isinstance(weights.w13, Tensor)


@pytest.mark.parametrize(
    ("geometry", "called"),
    [
        (PLAIN, "bf16"),
        (replace(PLAIN, activation="relu2", gated=False), "bf16"),
        (replace(PLAIN, scheme="fp8_block_128x128"), "fp8"),
        (NVFP4, "fp4"),
        (replace(NVFP4, activation="relu2", gated=False), "fp4"),
        (OSS, "fp4"),
        (replace(NVFP4, scheme="mxfp4"), "fp4"),
    ],
)
def test_what_trtllm_is_handed_means_the_same_layer(
    geometry: Geometry, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    package = ModuleType("flashinfer")
    package.fused_moe = stand_in(geometry, calls)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flashinfer", package)
    weights, batch = layer(geometry)
    adapter = FlashInferTrtllmAdapter()
    out = adapter.run(adapter.prepare(weights), batch, torch.empty_like(batch.hidden_states))
    assert judged(adapter.meant(weights), batch, out) > 0
    assert calls == [called]


@pytest.mark.parametrize("gated", [True, False])
def test_what_cutlass_is_handed_as_nvfp4_means_the_same_layer(gated: bool) -> None:
    geometry = NVFP4 if gated else replace(NVFP4, activation="relu2", gated=False)
    weights, batch = layer(geometry)
    layout = make_layout(weights)
    one, first, gate, two, second, out = layout.quant_scales
    assert layout.w13.dtype == torch.long
    assert first.dtype == torch.int32
    w13 = wide(layout.w13.view(torch.uint8), untiled(first.view(torch.uint8)), gate)
    w2 = wide(layout.w2.view(torch.uint8), untiled(second.view(torch.uint8)), out)
    if gated:
        up, half = w13.chunk(2, dim=1)
        w13 = torch.cat((half, up), dim=1)
    x = requantize_nvfp4(layout.input(batch.hidden_states).float() * one[:1], torch.ones(1))

    def seen(rows: Tensor) -> Tensor:
        return requantize_nvfp4(rows.bfloat16().float() * two[:1], torch.ones(1))

    got = computed(x, w13, w2, batch.topk_ids, batch.topk_weights, geometry, seen)
    meant = FlashInferCutlassAdapter().meant(weights)
    assert judged(meant, batch, got[:, : geometry.hidden_size]) > 0


def test_sizes_that_have_no_blocks_are_unfit() -> None:
    weights, _ = layer(replace(PLAIN, intermediate_size_per_partition=96))
    with pytest.raises(UnfitError, match="multiples of 128; these are 256 and 96"):
        FlashInferTrtllmAdapter().prepare(weights)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (replace(SWIGLU, lora=True), "takes a LoRA delta, not adapters"),
        (
            replace(SWIGLU, machine=replace(B200, gpus=(Gpu("H100", (9, 0)),))),
            "needs a GPU of compute capability 10.x; this one is 9.0",
        ),
        (replace(SWIGLU, machine=MachineSnapshot("cpu")), "there is no GPU here"),
        (replace(SWIGLU, scheme="fp8_tensor_static"), "these weights are fp8_tensor_static"),
        (replace(SWIGLU, dtype="float16"), "these are float16"),
        (replace(SWIGLU, activation="gelu"), "has silu and relu2 for none; this layer is gated"),
        (replace(SWIGLU, scheme="mxfp4", activation="gelu"), "has gated silu and SwiGLU-OAI"),
        (replace(SWIGLU, has_bias=True), "takes a bias and a clamp with mxfp4 alone"),
        (
            replace(SWIGLU, machine=replace(B200, packages={"torch": Present("2.11.0")})),
            "flashinfer-python not installed",
        ),
        (replace(SWIGLU, build=False), "fused_moe_trtllm_sm100.so is not built"),
    ],
)
def test_trtllm_says_what_it_needs(
    question: Question, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("FLASHINFER_WORKSPACE_BASE", str(tmp_path))
    assert reason in (FlashInferTrtllmAdapter().unavailable(question) or "")
    assert FlashInferTrtllmAdapter().unavailable(SWIGLU) is None


def test_the_option_has_an_adapter_of_ours() -> None:
    names = [type(one).__name__ for one in find_adapters("flashinfer_trtllm")]
    assert "FlashInferTrtllmAdapter" in names
