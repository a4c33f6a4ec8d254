"""What is handed to FlashInfer, read back as its kernel reads it, gives the layer's output."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from moe_doctor.core.spec import RoutingSpec  # noqa: E402
from moe_doctor.kernels.activations import resolve  # noqa: E402
from moe_doctor.kernels.quantized import dequantize, requantize_rows  # noqa: E402
from moe_doctor.kernels.reference import activate, fused_moe_reference  # noqa: E402
from moe_doctor.kernels.schemes import find_scheme  # noqa: E402
from moe_doctor.proof.adapters.base import UnfitError  # noqa: E402
from moe_doctor.proof.adapters.flashinfer_cutlass import FlashInferCutlassAdapter  # noqa: E402
from moe_doctor.proof.adapters.flashinfer_layouts import Layout, make_layout  # noqa: E402
from moe_doctor.proof.adapters.vllm import VllmFlashInferCutlass  # noqa: E402
from moe_doctor.proof.case import Geometry, ProofCase  # noqa: E402
from moe_doctor.proof.compare import compare  # noqa: E402
from moe_doctor.proof.inputs import Batch, Weights, make_batch, make_weights  # noqa: E402

PLAIN = Geometry(4, 4, 2, 2, 128, 128, 128, "silu", True, "bfloat16", "bfloat16")
E4M3 = torch.float8_e4m3fn


def layer(geometry: Geometry) -> tuple[Weights, Batch]:
    weights = make_weights(geometry, None, torch.device("cpu"))
    return weights, make_batch(ProofCase("x", 6), weights, RoutingSpec())


def judged(weights: Weights, batch: Batch, out: torch.Tensor) -> float:
    """The relative error; fails beyond the scheme's limit."""
    wanted = fused_moe_reference(
        batch.hidden_states,
        weights.w13,
        weights.w2,
        batch.topk_weights,
        batch.topk_ids,
        **weights.arguments(),
    )
    geometry = weights.geometry
    found = compare(out, wanted, dtype=geometry.dtype, depth=256, scheme=geometry.scheme)
    assert found.passed, found.detail
    return found.relative_error


def as_read(layout: Layout, batch: Batch, width: int, per_tensor: bool) -> torch.Tensor:
    """Up rows first, then gate; scales as the table in `flashinfer_layouts` says."""
    geometry = layout.geometry
    act = resolve(geometry.activation, geometry.gated, geometry.limit, None, None)
    x = layout.input(batch.hidden_states)
    out = torch.zeros(len(x), layout.w2.shape[1])
    for token in range(len(x)):
        for slot, expert in enumerate(batch.topk_ids[token].tolist()):
            rows = x[token].float() @ layout.w13[expert].float().T
            rows = rows * (layout.quant_scales[0][expert] if per_tensor else 1)
            if "fc1_expert_biases" in layout.options:
                rows = rows + layout.options["fc1_expert_biases"][expert].float()
            if geometry.gated:
                up, gate = rows.chunk(2)
                rows = torch.cat((gate, up))
            inner = activate(rows[None], act)[0]
            if per_tensor:
                scaled = inner * layout.quant_scales[1]
                inner = scaled.clamp(-448, 448).to(E4M3).float()
            down = layout.w2[expert].float() @ inner
            down = down * (layout.quant_scales[2][expert] if per_tensor else 1)
            if "fc2_expert_biases" in layout.options:
                down = down + layout.options["fc2_expert_biases"][expert].float()
            out[token] += batch.topk_weights[token, slot] * down
    return out[:, :width].to(torch.bfloat16)


@pytest.mark.parametrize(
    "geometry",
    [
        PLAIN,
        replace(PLAIN, activation="relu2", gated=False),
        replace(PLAIN, scheme="fp8_tensor_static"),
        replace(PLAIN, scheme="fp8_tensor_static", intermediate_size_per_partition=120),
        replace(PLAIN, scheme="fp8_tensor_static", activation="relu2", gated=False),
    ],
)
def test_what_is_handed_over_means_the_same_layer(geometry: Geometry) -> None:
    weights, batch = layer(geometry)
    layout = make_layout(weights)
    per_tensor = geometry.scheme != "none"
    assert judged(weights, batch, as_read(layout, batch, geometry.hidden_size, per_tensor)) > 0
    if per_tensor and geometry.gated:
        assert layout.w2.shape[2] % 16 == 0


def test_blocks_come_with_their_scales_swapped_like_their_rows() -> None:
    weights, _ = layer(replace(PLAIN, scheme="fp8_block_128x128"))
    layout = make_layout(weights)
    assert layout.options == {"use_deepseek_fp8_block_scale": True}
    scheme = find_scheme("fp8_block_128x128")
    read = dequantize(scheme, layout.w13[2], layout.quant_scales[0][2], None, 2)
    gate, up = weights.w13.expert(2).chunk(2)
    assert torch.equal(read, torch.cat((up, gate)))


def test_a_scale_of_zero_is_lifted_and_the_reference_keeps_its_own() -> None:
    weights, _ = layer(replace(PLAIN, hidden_size=256, scheme="fp8_block_128x128"))
    assert weights.w13.scales.min() == 0
    assert make_layout(weights).quant_scales[0].min() == torch.tensor(1e-10)
    assert weights.w13.scales.min() == 0


def test_the_reference_reads_tiny_blocks_as_the_kernel_does() -> None:
    """Seen on an H100: a token of a zero and a tiny expert, whose scales of 1e-24 became 1e-10."""
    geometry = replace(PLAIN, scheme="fp8_block_128x128", odd_experts=True)
    weights, _ = layer(geometry)
    states = torch.randn(1, 128, generator=torch.Generator().manual_seed(1)).bfloat16()
    routes = torch.tensor([[0.9, 0.1]]), torch.tensor([[1, 2]], dtype=torch.int32)

    def output(weights: Weights) -> torch.Tensor:
        how = weights.arguments()
        return fused_moe_reference(states, weights.w13, weights.w2, *routes, **how)

    lifted = FlashInferCutlassAdapter().meant(weights)
    assert torch.equal(output(weights), torch.zeros(1, 128))
    assert 1e-22 < float(output(lifted).norm()) < 1e-16
    assert torch.equal(lifted.w13.expert(3), weights.w13.expert(3))
    assert VllmFlashInferCutlass().meant(weights).w2.scales.min() == torch.tensor(1e-10)
    plain, _ = layer(PLAIN)
    assert FlashInferCutlassAdapter().meant(plain) is plain


def test_a_rule_without_a_floor_quantizes_the_smallest_rows_and_leaves_zeros_alone() -> None:
    scheme = replace(find_scheme("fp8_block_128x128"), scale_floor=0.0)
    rows = torch.tensor([1e-20, -0.0, 448e-20, 256e-20]).repeat(1, 32)
    assert torch.allclose(requantize_rows(rows, scheme), rows, rtol=1e-6, atol=0)
    assert torch.equal(requantize_rows(rows * 0, scheme), rows * 0)
    assert requantize_rows(rows, find_scheme("fp8_block_128x128")).abs().max() == 0


def test_blocks_that_do_not_divide_are_unfit() -> None:
    weights, _ = layer(
        replace(PLAIN, scheme="fp8_block_128x128", intermediate_size_per_partition=96)
    )
    with pytest.raises(UnfitError, match="multiples of 128; these are 128 and 96"):
        make_layout(weights)


def test_mxfp4_is_padded_to_whole_blocks_and_told_its_activation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = ModuleType("flashinfer.fused_moe")
    fake.interleave_moe_weights_for_sm90_mixed_gemm = lambda rows, kind: rows  # type: ignore[attr-defined]
    fake.interleave_moe_scales_for_sm90_mixed_gemm = lambda scales: scales  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flashinfer", ModuleType("flashinfer"))
    monkeypatch.setitem(sys.modules, "flashinfer.fused_moe", fake)
    geometry = replace(
        PLAIN,
        hidden_size=96,
        intermediate_size_per_partition=160,
        activation="swigluoai",
        scheme="mxfp4",
        has_bias=True,
        limit=7.0,
        alpha=1.702,
        beta=1.0,
    )
    weights, batch = layer(geometry)
    layout = make_layout(weights)
    assert layout.w13.shape == (4, 512, 64)
    assert layout.w2.shape == (4, 128, 128)
    assert [tuple(scales.shape) for scales in layout.quant_scales] == [(4, 512, 4), (4, 128, 8)]
    numbers = {
        name: layout.options[name].unique().tolist() for name in layout.options if "swi" in name
    }
    assert numbers["swiglu_limit"] == [7.0]
    assert numbers["swiglu_beta"] == [1.0]
    scheme = find_scheme("mxfp4")

    def plain(values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        pairs = zip(values, scales, strict=True)
        return torch.stack([dequantize(scheme, one, two, None, 1) for one, two in pairs])

    read = replace(
        layout,
        w13=plain(layout.w13, layout.quant_scales[0]),
        w2=plain(layout.w2, layout.quant_scales[1]),
    )
    assert judged(weights, batch, as_read(read, batch, 96, per_tensor=False)) > 0
